"""`faithful study seeds`: do SAEs that differ in their init seed find the same features, and which ones?"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faithful.errors import FaithfulError
from faithful.files import folder_lock, write_atomically
from faithful.sae.autoencoder import Autoencoder
from studies import seeds_figures
from studies.codes import CodedText, code_text
from studies.examples import latent_examples, write_examples
from studies.floors import Moments, gaussian_saes, initial_decoder, moments_of
from studies.grid import Trained, by_shape
from studies.inference import EXPLORATORY, summarise
from studies.inputs import StudyConfig, StudyInput, resolve_input
from studies.matching import (
    CURVE,
    Directions,
    covariance_rows,
    match,
    panel_figures,
    random_rows,
)
from studies.panel import Panel, load_panel
from studies.results import Row, write_results

Told = Callable[[str, int, int], None]
FLOORS = ("floor_random", "floor_covariance", "floor_init", "floor_gaussian")
SMALL_WIDTH, FLOOR_DRAWS = 4096, 3
BINS, LEAST_COSINE = 60, -0.2


@dataclass(frozen=True)
class SeedsConfig(StudyConfig):
    """What to compare.

    Attributes:
        gaussian_seeds: SAEs trained per corpus and shape on Gaussian activations for `floor_gaussian`; 0 leaves it out.
        examples: latents shown per corpus, of the most and of the least reproducible ones.
    """

    gaussian_seeds: int = 2
    examples: int = 5


@dataclass(frozen=True)
class SeedsStudy:
    """What came out.

    Attributes:
        folder: where results.parquet, summary.json, examples.parquet and the figures are.
        summary: what summary.json holds.
        reused: pairs whose figures were there already.
    """

    folder: Path
    summary: dict[str, Any]
    reused: int = 0


def _silent(step: str, done: int, total: int) -> None:
    return None


def study_seeds(config: SeedsConfig, report: Told = _silent) -> SeedsStudy:
    """Match every two SAEs of a shape, within a corpus and across corpora; a pair's figures are kept by their hashes.

    Raises:
        FaithfulError: fewer than two SAEs of a shape, and what `resolve_input` and `load_panel` refuse.
    """
    found = resolve_input(config)
    groups = {name: saes for name, saes in _groups(found.saes).items() if len(saes) > 1}
    if not groups:
        raise FaithfulError("There are no two SAEs to compare; train more --seeds, or name further SAEs.")
    panel = load_panel(found, config.tokens) if found.corpora else None
    with folder_lock(config.out):
        order = sorted(groups, key=lambda name: (-len(groups[name]), -_width(groups[name])))
        studied = {name: _Shape(config, found, panel, name, groups[name], report).run() for name in order}
        for name in order[1:]:
            _mark_exploratory(studied[name].summary["contrasts"])
        first = studied[order[0]]
        summary = {
            "study": "seeds",
            "model": {"name": found.spec.name, "revision": found.spec.revision, "dtype": found.spec.dtype},
            "hook": found.hook.name,
            "own": found.own,
            "shape": order[0],
            "seed": config.seed,
            "sizes": first.sizes,
            **first.summary,
            "shapes": {name: one.summary for name, one in studied.items()},
            "examples": first.examples,
            "reused": sum(one.reused for one in studied.values()),
        }
        write_results(config.out, summary, [row for one in studied.values() for row in one.rows])
        write_examples(config.out / "examples.parquet", first.examples)
        seeds_figures.draw(first.curves, first.histograms, first.across, config.out / "figures")
    return SeedsStudy(config.out, summary, summary["reused"])


def seeds_tables(summary: dict[str, Any]) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Tables for the terminal and the report: title, header, rows."""
    metrics = (
        "shared_feature_ratio", "pw_mcc", "top1_ratio", "sfr_alive", "sfr_weighted", "sfr_encoder", "sfr_both",
        "activation_correlation", "unmatched_explained",
    )  # fmt: skip
    names = list(summary["corpora"])
    rows: list[tuple[str, ...]] = [
        (metric, *(_shown(summary["corpora"][name].get(metric)) for name in names))
        for metric in metrics
        if any(metric in summary["corpora"][name] for name in names)
    ]
    floors: list[tuple[str, ...]] = [
        (floor, *(_shown(summary["corpora"][name].get(floor)) for name in names))
        for floor in FLOORS
        if any(floor in summary["corpora"][name] for name in names)
    ]
    tables = [
        (f"Within a corpus, {summary['shape']}: mean over pairs of seeds, 95 % interval", ("metric", *names), rows),
        ("Floors: shared features where there is nothing to share", ("floor", *names), floors),
    ]
    if summary["across"]:
        across = [
            (name, *(_shown(values.get(metric)) for metric in ("shared_feature_ratio", "pw_mcc")))
            for name, values in summary["across"].items()
        ]
        tables.append(("Across corpora, other seeds", ("corpora", "shared feature ratio", "pw mcc"), across))
    contrasts: list[tuple[str, ...]] = [
        (f"{one['a']} − {one['b']}", f"{one['difference']:+.4f}", _ends(one["ci95"]), _p(one["p_holm"]), one["verdict"])
        for one in summary["contrasts"]
        if one["headline"] and one["difference"] is not None
    ]
    if contrasts:
        header = ("corpora", "difference", "95 % interval", "p (Holm)", "verdict")
        tables.append(("Shared feature ratio: contrasts", header, contrasts))
    return tables


@dataclass
class _Studied:
    """What came out for one shape."""

    summary: dict[str, Any]
    rows: list[Row]
    curves: dict[str, Any]
    histograms: dict[str, np.ndarray]
    across: dict[tuple[str, str], float | None]
    examples: list[dict[str, Any]]
    sizes: dict[str, Any]
    reused: int


@dataclass(frozen=True)
class _Pair:
    """Two SAEs and what matching them gave."""

    one: Trained
    other: Trained
    figures: dict[str, Any]
    columns: np.ndarray
    cosines: np.ndarray


@dataclass
class _Shape:
    """The study of one shape."""

    config: SeedsConfig
    found: StudyInput
    panel: Panel | None
    name: str
    saes: Sequence[Trained]
    report: Told
    reused: int = 0
    rows: list[Row] = field(default_factory=list)

    def run(self) -> _Studied:
        """Codes, pairs, floors, statistics, examples."""
        self.loaded: list[Autoencoder] = [sae.load() for sae in self.saes]
        self.coded: CodedText | None = None
        if self.panel is not None:
            self.coded = code_text(
                self.found.truncated, self.loaded, self.panel.rows, self.panel.ordinary,
                lambda done, total: self.report(f"codes {self.name}", done, total),
            )  # fmt: skip
        self.names = [name for name in self.found.names if any(sae.corpus == name for sae in self.saes)]
        within, across = self._pairs()
        floors = self._floors()
        figures: dict[str, dict[str, Any]] = {}
        for name, pairs in within.items():
            for pair in pairs:
                for metric, value in pair.figures.items():
                    if not isinstance(value, list):
                        seeds = (_seed(pair.one), _seed(pair.other))
                        figures.setdefault(metric, {}).setdefault(name, {})[seeds] = value
        statistics = summarise("seeds", figures, self.found.own, positions=self._positions())
        for name, values in floors.items():
            for floor, found in values.items():
                statistics["corpora"].setdefault(name, {})[floor] = found["shared_feature_ratio"]
                statistics["corpora"][name][f"{floor}_pw_mcc"] = found["pw_mcc"]
        summary = statistics | {"across": self._across(across), "floors": floors}
        self._rows(within, across, floors)
        return _Studied(
            summary,
            self.rows,
            self._curves(within, floors),
            {name: _histogram(pairs) for name, pairs in within.items()},
            self._matrix(within, across),
            self._examples(within),
            self._sizes(),
            self.reused,
        )

    def _pairs(self) -> tuple[dict[str, list[_Pair]], dict[tuple[str, str], list[_Pair]]]:
        """Pairs within each corpus (each once), and across each two corpora (other seeds, both directions)."""
        places = {name: [i for i, sae in enumerate(self.saes) if sae.corpus == name] for name in self.names}
        wanted: list[tuple[int, int]] = []
        for chosen in places.values():
            wanted += combinations(chosen, 2)
        for one, other in combinations(self.names, 2):
            wanted += [
                (i, j)
                for i in places[one]
                for j in places[other]
                if self.saes[i].seed is None or self.saes[i].seed != self.saes[j].seed
            ]
        within: dict[str, list[_Pair]] = {}
        across: dict[tuple[str, str], list[_Pair]] = {}
        for done, (i, j) in enumerate(wanted):
            pair = self._pair(i, j)
            if self.saes[i].corpus == self.saes[j].corpus:
                within.setdefault(self.saes[i].corpus, []).append(pair)
            else:
                across.setdefault((self.saes[i].corpus, self.saes[j].corpus), []).append(pair)
            self.report(f"pairs {self.name}", done + 1, len(wanted))
        return within, across

    def _pair(self, i: int, j: int) -> _Pair:
        one, other = self.saes[i], self.saes[j]
        key = self._key(one, other)
        path = self.config.out / "pairs" / f"{key}.npz"
        if path.exists():
            with np.load(path) as stored:
                self.reused += 1
                return _Pair(one, other, json.loads(str(stored["figures"])), stored["columns"], stored["cosines"])
        a, b = self.loaded[i], self.loaded[j]
        codes = None if self.coded is None else (self.coded.codes[i], self.coded.codes[j])
        densities = None if codes is None else (codes[0].density, codes[1].density)
        found = match(Directions(a.W_dec, a.W_enc.T), Directions(b.W_dec, b.W_enc.T), densities)
        figures = found.figures()
        if codes is not None:
            figures |= panel_figures(found, codes, (a.W_dec, b.W_dec), seed=_number(key))
        columns = np.full(a.d_sae, -1, np.int32)
        columns[found.assignment.rows] = found.assignment.columns
        cosines = np.full(a.d_sae, np.nan, np.float32)
        cosines[found.assignment.rows] = found.assignment.cosines
        path.parent.mkdir(parents=True, exist_ok=True)

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez(file, figures=json.dumps(figures), columns=columns, cosines=cosines)

        write_atomically(path, write)
        return _Pair(one, other, figures, columns, cosines)

    def _key(self, one: Trained, other: Trained) -> str:
        """Hash of what decides a pair's figures: both SAEs and the panel."""
        digest = hashlib.sha256(f"1/{one.sha256}/{other.sha256}".encode())
        for row in self.panel.rows if self.panel else []:
            digest.update(row.tobytes())
        return digest.hexdigest()[:32]

    def _floors(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Each floor's figures by corpus; those without a cause of their own per corpus are equal for all."""
        d_sae, d_in = self.loaded[0].W_dec.shape
        draws = FLOOR_DRAWS if d_sae <= SMALL_WIDTH else 2
        generator = torch.Generator().manual_seed(self.config.seed)
        rows = [random_rows(d_sae, d_in, generator) for _ in range(draws)]
        shared = {"floor_random": _of_decoders(rows)}
        seeds = sorted({sae.seed for sae in self.saes if sae.seed is not None and sae.record})
        if len(seeds) > 1:
            shared["floor_init"] = _of_decoders([initial_decoder(seed, d_in, d_sae) for seed in seeds[:draws]])
        floors = {name: dict(shared) for name in self.names}
        for place, name in enumerate(self.names):
            if self.panel is None or name not in self.panel.parts:
                continue
            moments = moments_of(self.found.truncated, self.panel.parts[name], self.panel.ordinary)
            rows = [covariance_rows(d_sae, moments.covariance, generator) for _ in range(draws)]
            floors[name]["floor_covariance"] = _of_decoders(rows)
            trained = self._gaussian(name, moments, place)
            if len(trained) > 1:
                floors[name]["floor_gaussian"] = _of_decoders(trained)
        return floors

    def _gaussian(self, name: str, moments: Moments, place: int) -> list[Tensor]:
        """Decoders trained on Gaussian activations as the corpus' SAEs were on its own."""
        recorded = [sae for sae in self.saes if sae.corpus == name and sae.record and sae.seed is not None]
        seeds = [sae.seed for sae in recorded if sae.seed is not None][: self.config.gaussian_seeds]
        if len(seeds) < 2:
            return []
        cell = recorded[0]
        identity, steps = cell.record["identity"], cell.record["training"]["step"]
        path = self.config.out / "gaussian" / f"{self._gaussian_key(cell, moments, seeds)}.npy"
        if not path.exists():
            saes = gaussian_saes(
                moments, identity, steps, seeds, self.config.seed + place,
                lambda done, total: self.report(f"gaussian floor {name}", done, total),
            )  # fmt: skip
            decoders = np.stack([sae.W_dec.numpy() for sae in saes])
            path.parent.mkdir(parents=True, exist_ok=True)

            def write(temporary: Path) -> None:
                with temporary.open("wb") as file:
                    np.save(file, decoders)

            write_atomically(path, write)
        return list(torch.from_numpy(np.load(path)))

    def _gaussian_key(self, cell: Trained, moments: Moments, seeds: Sequence[int]) -> str:
        identity = json.dumps([1, cell.record["identity"], list(seeds), self.config.seed], sort_keys=True)
        return hashlib.sha256(identity.encode() + moments.covariance.numpy().tobytes()).hexdigest()[:32]

    def _positions(self) -> dict[str, np.ndarray]:
        """Histogram of positions of each corpus' contexts."""
        if self.panel is None:
            return {}
        lengths = {name: [len(row) for row in rows] for name, rows in self.panel.parts.items() if name in self.names}
        return {
            name: np.array([sum(length > at for length in found) for at in range(1, self.found.context)])
            for name, found in lengths.items()
        }

    def _across(self, across: dict[tuple[str, str], list[_Pair]]) -> dict[str, Any]:
        """Estimates over pairs of SAEs of two corpora."""
        from studies.estimates import estimate

        found: dict[str, Any] = {}
        for (one, other), pairs in across.items():
            metrics = [metric for metric, value in pairs[0].figures.items() if not isinstance(value, list)]
            found[f"{one} × {other}"] = {
                metric: estimate(
                    {(_seed(pair.one), _seed(pair.other)): pair.figures[metric] for pair in pairs}
                ).summary()
                if all(pair.one.seed is not None and pair.other.seed is not None for pair in pairs)
                else {"value": _mean([pair.figures[metric] for pair in pairs]), "ci95": None, "seeds": 0}
                for metric in metrics
            }
        return found

    def _rows(self, within: dict[str, list[_Pair]], across: dict[tuple[str, str], list[_Pair]], floors: Any) -> None:
        """Every pair and threshold as rows of results.parquet."""
        for pairs in [*within.values(), *across.values()]:
            for pair in pairs:
                other = None if pair.one.corpus == pair.other.corpus else pair.other.corpus
                place: dict[str, Any] = {
                    "other": other,
                    "seed": pair.one.seed,
                    "other_seed": pair.other.seed,
                    "shape": self.name,
                }
                for metric, value in pair.figures.items():
                    if metric == "sfr_curve":
                        self.rows += [
                            Row("seeds", pair.one.corpus, metric, one, at, **place)
                            for at, one in zip(CURVE, value, strict=True)
                        ]
                    elif not isinstance(value, list):
                        self.rows.append(Row("seeds", pair.one.corpus, metric, value, **place))
        for name, values in floors.items():
            for floor, found in values.items():
                self.rows += [
                    Row("seeds", name, floor, one, at, shape=self.name)
                    for at, one in zip(CURVE, found["sfr_curve"], strict=True)
                ]
                self.rows.append(Row("seeds", name, f"{floor}_pw_mcc", found["pw_mcc"], shape=self.name))

    def _curves(self, within: dict[str, list[_Pair]], floors: Any) -> dict[str, Any]:
        """Mean curve of each corpus with its interval, and its floors."""
        from studies.estimates import estimate

        curves: dict[str, Any] = {}
        for name, pairs in within.items():
            points = [
                estimate({(_seed(pair.one), _seed(pair.other)): pair.figures["sfr_curve"][at] for pair in pairs})
                for at in range(len(CURVE))
            ]
            ends = [point.ci95 for point in points]
            certain = [end for end in ends if end is not None]
            curves[name] = {
                "curve": [point.value for point in points],
                "low": [low for low, _ in certain] if len(certain) == len(ends) else None,
                "high": [high for _, high in certain] if len(certain) == len(ends) else None,
                "floors": {floor: values["sfr_curve"] for floor, values in floors.get(name, {}).items()},
            }
        return {"thresholds": list(CURVE), "corpora": curves}

    def _matrix(
        self, within: dict[str, list[_Pair]], across: dict[tuple[str, str], list[_Pair]]
    ) -> dict[tuple[str, str], float | None]:
        """Mean shared feature ratio of every two corpora."""
        found: dict[tuple[str, str], float | None] = {(a, b): None for a in self.names for b in self.names}
        metric = "shared_feature_ratio"
        found |= {(name, name): _mean([pair.figures[metric] for pair in pairs]) for name, pairs in within.items()}
        for (one, other), pairs in across.items():
            found[one, other] = found[other, one] = _mean([pair.figures[metric] for pair in pairs])
        return {pair: found[pair] for pair in [*permutations(self.names, 2), *((name, name) for name in self.names)]}

    def _examples(self, within: dict[str, list[_Pair]]) -> list[dict[str, Any]]:
        """The most and the least reproducible latents of each corpus' first SAE, with their contexts and partners."""
        if self.coded is None or self.panel is None or not self.config.examples:
            return []
        shown = []
        for name, pairs in within.items():
            first = pairs[0].one
            mine = [pair for pair in pairs if pair.one is first]
            mean = np.mean([pair.cosines for pair in mine], axis=0)
            place = self.saes.index(first)
            alive = self.coded.codes[place].density > 0
            order = [int(latent) for latent in np.argsort(-np.nan_to_num(mean, nan=-1), kind="stable") if alive[latent]]
            most, least = order[: self.config.examples], order[::-1][: self.config.examples]
            partner = mine[0]
            for title, latents in (("most", most), ("least", least)):
                notes = {
                    latent: f"latent {latent}; mean matched cosine {mean[latent]:.2f}; partner in seed {partner.other.seed}:"
                    f" latent {int(partner.columns[latent])} (cosine {partner.cosines[latent]:.2f})"
                    for latent in latents
                }
                shown.append(
                    latent_examples(
                        f"{name}, seed {first.seed}: {title} reproducible latents",
                        latents,
                        notes,
                        self.coded,
                        place,
                        list(self.panel.parts),
                        self.panel.part_of_rows(),
                        self.found.tokenizer,
                    )
                )
        return shown

    def _sizes(self) -> dict[str, Any]:
        return {
            "saes": len(self.saes),
            "panel_tokens": None if self.panel is None else self.panel.tokens,
            "gaussian_seeds": self.config.gaussian_seeds,
            "context": self.found.context,
            "layout": self.found.layout,
        }


def _groups(saes: Sequence[Trained]) -> dict[str, list[Trained]]:
    """SAEs that are compared: those of one shape; where no shape has two, all of them."""
    shapes = by_shape(saes)
    return shapes if any(len(group) > 1 for group in shapes.values()) else {"mixed widths": list(saes)}


def _mark_exploratory(contrasts: list[dict[str, Any]]) -> None:
    """Only the first shape's contrasts are the study's family."""
    for one in contrasts:
        one |= {"headline": False, "verdict": EXPLORATORY, "p_holm": None}


def _width(saes: Sequence[Trained]) -> int:
    return saes[0].load().d_sae


def _seed(sae: Trained) -> int:
    return -1 if sae.seed is None else sae.seed


def _of_decoders(decoders: Sequence[Tensor]) -> dict[str, Any]:
    """Mean figures over all pairs of decoders."""
    found = [match(Directions(one), Directions(other)).figures() for one, other in combinations(decoders, 2)]
    return {
        "shared_feature_ratio": _mean([one["shared_feature_ratio"] for one in found]),
        "pw_mcc": _mean([one["pw_mcc"] for one in found]),
        "sfr_curve": np.mean([one["sfr_curve"] for one in found], axis=0).tolist(),
        "pairs": len(found),
    }


def _histogram(pairs: Sequence[_Pair]) -> np.ndarray:
    cosines = np.concatenate([pair.cosines[np.isfinite(pair.cosines)] for pair in pairs])
    return np.histogram(np.clip(cosines, LEAST_COSINE, 1), bins=BINS, range=(LEAST_COSINE, 1))[0]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _number(key: str) -> int:
    return int(key[:12], 16)


def _shown(value: Any) -> str:
    if value is None or value == {}:
        return "–"
    if not isinstance(value, dict):
        return f"{value:.4f}"
    if value["value"] is None:
        return "–"
    return f"{value['value']:.4f}" + (f" ({_ends(value['ci95'])})" if value["ci95"] else "")


def _ends(ends: Sequence[float] | None) -> str:
    return "–" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"

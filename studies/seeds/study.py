"""`faithful study seeds`: do SAEs that differ in their init seed find the same features, and which ones?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.base.progress import Reporter, silent
from faithful.store.saes import TrainedSae, by_corpus, ordered_shapes, seed_numbers
from studies.common.controls import PERMUTED, UNTRAINED, beside, frozen_shapes
from studies.common.examples import write_examples
from studies.common.inputs import StudyInput, resolve_input
from studies.common.panel import Panel, load_panel
from studies.common.results import Done, Row, write_results
from studies.seeds import figures as seeds_figures
from studies.seeds.chance import AT_CHANCE, at_chance
from studies.seeds.config import HEADLINE, SeedsConfig
from studies.seeds.examples import reproducible_latents
from studies.seeds.floors import FloorMaker
from studies.seeds.matching import CURVE, curve_of, numbers_of
from studies.seeds.pairs import Matcher, Pair, SaePair, assignments, mean_of, of_one_init, pairs_of
from studies.seeds.stability import Latents, reappearances, stability, stability_rows
from studies.seeds.summary import Floors, SeedsStatistics, SeedsSummary
from studies.seeds.tables import METRICS
from studies.statistics.estimates import Figures, estimate
from studies.statistics.records import Beside, Figure, Numbers
from studies.statistics.stable import write_reappearance
from studies.statistics.verdicts import summarise

Within = dict[str, list[Pair]]
Across = dict[tuple[str, str], list[Pair]]
BINS, LEAST_COSINE = 60, -0.2


def study_seeds(config: SeedsConfig, report: Reporter = silent) -> Done:
    """Match every two SAEs of a shape, within a corpus and across corpora.

    A pair's figures are kept by the two SAEs' hashes, those on the panel by its hash too.

    SAEs of two shapes are matched where nothing else would compare them: where one shape has no pair of its own, or the
    two have no corpus in common.

    Memory of each worker on a CPU, beside the model: three SAEs' weights (8 bytes × d_sae × d_in each) however many are
    compared; what is larger lies in files, 4 bytes × d_sae² of them in the temporary folder (where that is kept in memory,
    name another with TMPDIR). The floor of Gaussian activations takes what training its SAEs takes, and
    assignments that ten rounds do not prove 8 bytes × d_sae², at most 3 GiB.

    Raises:
        FaithfulError: no two SAEs to compare, a floor of one SAE, and what `resolve_input` and `load_panel` refuse.
    """
    if config.gaussian_seeds == 1:
        raise FaithfulError(
            "A floor is of pairs of SAEs; gaussian_seeds is at least 2, or 0 to leave that of Gaussian activations out."
        )
    found = resolve_input(config)
    own_first = sorted(found.saes, key=lambda sae: found.names.index(sae.corpus))
    groups = ordered_shapes(own_first)
    wanted = {shape: pairs_of(saes) for shape, saes in groups.items()}
    between = [two for two in combinations(groups, 2) if _meet(groups, wanted, *two)]
    crossed = {two: _crossed(groups[two[0]], groups[two[1]]) for two in between}
    if not any(wanted.values()) and not any(crossed.values()):
        raise FaithfulError(
            "There are no two SAEs to compare (SAEs that began with the same weights are not); train more --seeds, or name"
            " further SAEs."
        )
    panel = load_panel(found, config.tokens) if found.corpora else None
    first = next(iter(groups))
    with folder_lock(config.out):
        matcher = Matcher(found, panel, config.out)
        every = [pair for pairs in [*wanted.values(), *crossed.values()] for pair in pairs]
        shown = _shown(wanted[first]) if config.examples and panel is not None else []
        matched = matcher.match_all(every, shown, config.workers, report)
        floors = FloorMaker(config, found, panel, report)
        studied = {
            shape: _Shape(found, panel, shape, groups[shape], [matched[two] for two in pairs], floors, shape == first)
            for shape, pairs in wanted.items()
        }
        for shape in studied.values():
            shape.look_at_latents(matcher)
        others = _between_shapes({two: [matched[one] for one in pairs] for two, pairs in crossed.items()}, floors)
        examples = []
        if panel is not None and shown:
            examples = reproducible_latents(
                studied[first].within, shown, matcher.coded(shown), panel, found.tokenizer, config.examples
            )
        summary: SeedsSummary = {
            **found.heading("seeds", config.seed),
            "shape": first,
            "sizes": _sizes(config, found, panel),
            **studied[first].summary,
            "beside": _beside(studied, first, frozen_shapes(found.saes, first)),
            "between_shapes": others.summary,
            "not_compared": [list(two) for two in combinations(groups, 2) if two not in crossed],
            "shapes": {shape: one.summary for shape, one in studied.items()},
            "assignments": assignments(matched.values()),
            "examples": examples,
            "reused": matcher.reused,
        }
        rows = [row for one in studied.values() for row in one.rows()] + others.rows
        of_latents = [one for shape in studied.values() for of in shape.latents.values() for one in of]
        write_reappearance(config.out, {one.sae.sha256: one.reappears for one in of_latents})
        write_results(config.out, summary, rows)
        matcher.codes.clear()
        write_examples(config.out / "examples.parquet", examples)
        _draw(studied[first], config.out / "figures")
    return Done(config.out, summary, matcher.reused)


def _draw(leading: "_Shape", folder: Path) -> None:
    histograms = {name: _histogram(pairs) for name, pairs in leading.within.items()}
    seeds_figures.draw(leading.curves(), histograms, leading.matrix(), folder)
    seeds_figures.draw_stability(leading.summary, folder)


def _meet(groups: dict[str, list[TrainedSae]], wanted: dict[str, list[SaePair]], one: str, other: str) -> bool:
    """Whether two shapes are compared with each other."""
    apart = not by_corpus(groups[one]).keys() & by_corpus(groups[other]).keys()
    return apart or not wanted[one] or not wanted[other]


def _crossed(ones: Sequence[TrainedSae], others: Sequence[TrainedSae]) -> list[SaePair]:
    return [(one, other) for one in ones for other in others if not of_one_init(one, other)]


def _shown(compared: Sequence[SaePair]) -> list[TrainedSae]:
    """The SAEs whose latents are shown: of each corpus the first pair's."""
    pairs: dict[str, SaePair] = {}
    for one, other in compared:
        if one.corpus == other.corpus:
            pairs.setdefault(one.corpus, (one, other))
    return [sae for pair in pairs.values() for sae in pair]


class _Shape:
    """The study of one shape: pairs within a corpus and across corpora, floors, statistics."""

    def __init__(
        self,
        found: StudyInput,
        panel: Panel | None,
        shape: str,
        saes: Sequence[TrainedSae],
        pairs: Sequence[Pair],
        floors: FloorMaker,
        is_headline: bool,
    ) -> None:
        self.shape = shape
        self.names = [name for name in found.names if name in by_corpus(saes)]
        self.numbers = dict(zip(saes, seed_numbers(saes), strict=True))
        self.within: Within = {}
        self.across: Across = {}
        for pair in pairs:
            if pair.one.corpus == pair.other.corpus:
                self.within.setdefault(pair.one.corpus, []).append(pair)
            else:
                self.across.setdefault((pair.one.corpus, pair.other.corpus), []).append(pair)
        self.floors: Floors
        self.floors, missing = floors.floors(saes, self.names if self.within else [])
        figures: dict[str, dict[str, Any]] = {}
        for name in self.names:
            for pair in self.within.get(name, []):
                for metric, value in pair.metrics.items():
                    figures.setdefault(metric, {}).setdefault(name, {})[self._seeds(pair)] = value
        self.ratios: Mapping[str, Figures] = figures.get(HEADLINE.metric, {})
        positions = {} if panel is None else panel.positions(self.names, found.context)
        statistics = summarise(
            HEADLINE, figures, found.own, positions=positions, is_headline=is_headline, controls=found.controls,
            nothing=self._at_chance(), chance=AT_CHANCE,
        )  # fmt: skip
        for name, values in self.floors.items():
            for floor, one in values.items():
                entry = statistics["corpora"].setdefault(name, {})
                entry[floor] = one["shared_feature_ratio"]
                entry |= {f"{floor}_{metric}": one[metric] for metric in METRICS[1:] if metric in one}
        across = {f"{one} × {other}": self._across(pairs) for (one, other), pairs in self.across.items()}
        self.summary: SeedsStatistics = {
            **statistics,
            "across": across,
            "floors": self.floors,
            "floors_missing": missing,
        }

    def look_at_latents(self, matcher: Matcher) -> None:
        """Which latents reappear within a corpus, and what they do."""
        self.latents = {
            name: [
                Latents(sae, share, others, **matcher.latents(sae))
                for sae, (share, others) in reappearances(pairs).items()
            ]
            for name, pairs in self.within.items()
        }
        self.summary["stability"] = {name: stability(of, self.numbers) for name, of in self.latents.items()}

    def _seeds(self, pair: Pair) -> tuple[int, int]:
        return self.numbers[pair.one], self.numbers[pair.other]

    def _at_chance(self) -> list[str]:
        """Corpora whose SAEs share no more than chance gives."""
        shared = {name: {HEADLINE.metric: estimate(of).summary()} for name, of in self.ratios.items()}
        floors = {name: {floor: one[HEADLINE.metric] for floor, one in of.items()} for name, of in self.floors.items()}
        return at_chance({name: floors.get(name, {}) | of for name, of in shared.items()})

    def _across(self, pairs: Sequence[Pair]) -> dict[str, Figure]:
        """Means over all pairs of SAEs of two corpora; an interval where both corpora have the same seeds."""
        seeds = [{self.numbers[sae] for sae in side} for side in zip(*((p.one, p.other) for p in pairs), strict=True)]
        paired = seeds[0] == seeds[1] and min(seeds[0]) >= 0
        found: dict[str, Figure] = {}
        for metric in pairs[0].metrics:
            values = {self._seeds(pair): pair.metrics[metric] for pair in pairs}
            one = estimate(values) if paired else None
            if one is not None and not one.left_out:
                found[metric] = one.summary()
            else:
                found[metric] = {
                    "value": mean_of(list(values.values())),
                    "ci95": None,
                    "seeds": len(seeds[0] | seeds[1]),
                }
        return found

    def rows(self) -> list[Row]:
        """Every pair, threshold and floor as rows of results.parquet."""
        rows = [
            row for pairs in [*self.within.values(), *self.across.values()] for pair in pairs
            for row in _pair_rows(pair, self.shape)
        ]  # fmt: skip
        for name, values in self.floors.items():
            for floor, found in values.items():
                curve, numbers = zip(CURVE, curve_of(found), strict=True), numbers_of(found)
                rows += [Row("seeds", name, floor, one, at, shape=self.shape) for at, one in curve]
                others = [metric for metric in METRICS[1:] if metric in numbers]
                rows += [
                    Row("seeds", name, f"{floor}_{metric}", numbers[metric], shape=self.shape) for metric in others
                ]
        return rows + [row for of in self.latents.values() for row in stability_rows(of, self.shape)]

    def curves(self) -> dict[str, seeds_figures.Curve]:
        """Mean curve of each corpus with its interval, and its floors."""
        curves = {}
        for name, pairs in self.within.items():
            points = [
                estimate({self._seeds(pair): curve_of(pair.figures)[at] for pair in pairs}) for at in range(len(CURVE))
            ]
            ends = [point.ci95 for point in points]
            certain = [end for end in ends if end is not None]
            whole = len(certain) == len(ends)
            curves[name] = seeds_figures.Curve(
                mean=[point.value for point in points],
                low=[low for low, _ in certain] if whole else None,
                high=[high for _, high in certain] if whole else None,
                floors={floor: curve_of(values) for floor, values in self.floors.get(name, {}).items()},
            )
        return curves

    def matrix(self) -> dict[tuple[str, str], float | None]:
        """Mean shared feature ratio of every two corpora, one corpus' own included."""
        metric = "shared_feature_ratio"
        found = {(name, name): mean_of([pair.metrics[metric] for pair in pairs]) for name, pairs in self.within.items()}
        for (one, other), pairs in self.across.items():
            found[one, other] = found[other, one] = mean_of([pair.metrics[metric] for pair in pairs])
        everyone = [*permutations(self.names, 2), *((name, name) for name in self.names)]
        return {two: found.get(two) for two in everyone}


def _beside(studied: Mapping[str, _Shape], first: str, frozen: Mapping[str, str]) -> list[Beside]:
    """The ratio of the SAEs of a shape beside those of their controls: permuted rows are matched as well in any order, of the
    starts the mean over their pairs is known (`floor_init`)."""
    of = studied[first]
    of_starts = {name: numbers_of(one["floor_init"]) for name, one in of.floors.items() if "floor_init" in one}
    starts = {name: one for name, numbers in of_starts.items() if (one := numbers[HEADLINE.metric]) is not None}
    controls = {PERMUTED: of.ratios, UNTRAINED: starts, **{name: studied[one].ratios for name, one in frozen.items()}}
    return beside(HEADLINE.metric, of.ratios, controls)


@dataclass(frozen=True)
class _Between:
    """Pairs of SAEs of two shapes."""

    summary: dict[str, Numbers]
    rows: list[Row]


def _between_shapes(crossed: dict[tuple[str, str], list[Pair]], floors: FloorMaker) -> _Between:
    """Mean figures of SAEs of two shapes, by shapes and corpora, beside random rows of the same widths."""
    summary: dict[str, Numbers] = {}
    rows: list[Row] = []
    for (shape, other_shape), matched in crossed.items():
        found: dict[tuple[str, str], list[Pair]] = {}
        for pair in matched:
            found.setdefault((pair.one.corpus, pair.other.corpus), []).append(pair)
            rows += _pair_rows(pair, f"{shape} × {other_shape}")
        drawn = numbers_of(floors.random_pair(matched[0].one, matched[0].other)) if matched else {}
        for (corpus, other_corpus), pairs in found.items():
            means = {m: mean_of([pair.metrics[m] for pair in pairs]) for m in pairs[0].metrics}
            name = f"{corpus} {shape} × {other_corpus} {other_shape}"
            summary[name] = means | {"floor_random": drawn["shared_feature_ratio"], "pairs": len(pairs)}
    return _Between(summary, rows)


def _pair_rows(pair: Pair, shape: str) -> list[Row]:
    place: dict[str, Any] = {
        "other": None if pair.one.corpus == pair.other.corpus else pair.other.corpus,
        "seed": pair.one.seed,
        "other_seed": pair.other.seed,
        "shape": shape,
    }
    curve = zip(CURVE, curve_of(pair.figures), strict=True)
    rows = [Row("seeds", pair.one.corpus, "sfr_curve", one, at, **place) for at, one in curve]
    gaps = {f"assignment_gap_{which}".removesuffix("_decoders"): gap for which, (_, gap) in pair.solved.items()}
    figures = pair.metrics | gaps
    return rows + [Row("seeds", pair.one.corpus, metric, value, **place) for metric, value in figures.items()]


def _sizes(config: SeedsConfig, found: StudyInput, panel: Panel | None) -> dict[str, int | str | dict[str, int] | None]:
    return {
        "saes": len(found.saes),
        "panel_tokens": None if panel is None else panel.tokens,
        "gaussian_seeds": config.gaussian_seeds,
        "gaussian_steps": config.gaussian_steps or "as trained",
        "context": found.context,
        "layout": found.layout,
    }


def _histogram(pairs: Sequence[Pair]) -> np.ndarray:
    cosines = np.concatenate([pair.cosines[np.isfinite(pair.cosines)] for pair in pairs])
    return np.histogram(np.clip(cosines, LEAST_COSINE, 1), bins=BINS, range=(LEAST_COSINE, 1))[0]

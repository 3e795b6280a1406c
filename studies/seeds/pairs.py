"""Two SAEs matched: what is computed once per pair and kept under the hashes of what decides it."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path

import numpy as np

from faithful.base.files import write_atomically
from faithful.base.progress import Tally, uncounted
from faithful.base.records import check_archive, read_cache, write_record
from faithful.sae.autoencoder import Autoencoder
from faithful.store.saes import TrainedSae, by_corpus
from studies.common.codes import CodedText, code_text
from studies.common.inputs import StudyInput
from studies.common.panel import Panel
from studies.seeds.assignment import Assignment
from studies.seeds.matching import Directions, Partners, assign_alive, match, panel_figures
from studies.seeds.summary import Assignments
from studies.statistics.records import Measures

VERSION = 3

Solved = dict[str, tuple[str, float]]


@dataclass(frozen=True)
class Pair:
    """Two SAEs and what matching them gave.

    Attributes:
        one, other: the SAEs.
        figures: of the pair (docs/metrics.md, "Study seeds"); `sfr_curve` is a list.
        columns: int32 [d_sae of the one], each latent's partner, −1 where it has none.
        cosines: float64 [d_sae of the one], of the matched decoder rows, nan where there is no partner.
        solved: path and proven gap (see `Assignment`) of the assignments of `decoders`, `encoders` and `alive` latents.
    """

    one: TrainedSae
    other: TrainedSae
    figures: Measures
    columns: np.ndarray
    cosines: np.ndarray
    solved: Solved

    @property
    def metrics(self) -> dict[str, float | None]:
        """Figures that are single numbers."""
        return {name: value for name, value in self.figures.items() if not isinstance(value, list)}

    @property
    def partners(self) -> Partners:
        """Who is matched with whom."""
        rows = np.flatnonzero(self.columns >= 0)
        return Partners(rows, self.columns[rows].astype(np.int64), self.cosines[rows])


def of_one_init(one: TrainedSae, other: TrainedSae) -> bool:
    """Whether two SAEs began with the same weights: alike for that alone, they are never compared."""
    return one.seed is not None and (one.seed, one.d_sae) == (other.seed, other.d_sae)


def pairs_of(saes: Sequence[TrainedSae]) -> list[tuple[int, int]]:
    """Places of SAEs of one shape to compare: within a corpus each pair once, across corpora both directions."""
    places = {sae: place for place, sae in enumerate(saes)}
    groups = [[places[sae] for sae in group] for group in by_corpus(saes).values()]
    wanted = [pair for group in groups for pair in combinations(group, 2)]
    wanted += [pair for one, other in combinations(groups, 2) for pair in product(one, other)]
    return [(i, j) for i, j in wanted if not of_one_init(saes[i], saes[j])]


class Matcher:
    """Matches SAEs of one study: their weights once, what they do on the panel once per panel.

    Args:
        found: model, hook and device of the study.
        panel: held-out text; None without corpora.
        folder: where pairs are kept.

    Attributes:
        reused: pairs of which everything was there already.
        coded, places: the panel with the codes of the SAEs that were read, and the place of each among them.
        solved: path and proven gap of every assignment behind the pairs given out.
    """

    def __init__(self, found: StudyInput, panel: Panel | None, folder: Path) -> None:
        self.found, self.panel, self.folder = found, panel, folder
        self.reused = 0
        self.coded: CodedText | None = None
        self.places: dict[TrainedSae, int] = {}
        self.solved: list[tuple[str, float]] = []
        self._loaded: dict[TrainedSae, Autoencoder] = {}
        spec = found.spec
        digest = hashlib.sha256(f"{spec.revision}/{spec.dtype}/{found.hook.name}".encode())
        for row in panel.rows if panel else []:
            digest.update(len(row).to_bytes(4, "little") + row.tobytes())
        self._panel = digest.hexdigest()

    def read_panel(
        self,
        pairs: Iterable[tuple[TrainedSae, TrainedSae]],
        shown: Iterable[TrainedSae],
        report: Tally = uncounted,
    ) -> None:
        """Code the panel with the SAEs of pairs whose figures there are not kept, and with those to show."""
        if self.panel is None:
            return
        missing = [sae for pair in pairs if not self._panel_path(*pair).exists() for sae in pair]
        wanted = list(dict.fromkeys([*missing, *shown]))
        self.places = {sae: place for place, sae in enumerate(wanted)}
        if wanted:
            saes = [self._load(sae) for sae in wanted]
            self.coded = code_text(self.found.truncated, saes, self.panel.rows, self.panel.ordinary, report)

    def pair(self, one: TrainedSae, other: TrainedSae) -> Pair:
        """Two SAEs matched, from the folder what is there already."""
        path, on_panel = self.folder / f"{_key(one, other)}.npz", self._panel_path(one, other)
        self.reused += path.exists() and (self.panel is None or on_panel.exists())
        if not path.exists():
            self._match(one, other, path)
        check_archive(path)
        with np.load(path) as stored:
            found = json.loads(str(stored["found"]))
            pair = Pair(one, other, found["figures"], stored["columns"], stored["cosines"], found["solved"])
        if self.panel is not None:
            more = read_cache(on_panel)
            if more is None:
                more = self._on_panel(pair, seed=int(on_panel.stem[:12], 16))
                write_record(on_panel, more)
            pair = replace(pair, figures=pair.figures | more["figures"], solved=pair.solved | more["solved"])
        self.solved += pair.solved.values()
        return pair

    def assignments(self) -> Assignments:
        """How the assignments were found: `paths`, how many by each, and the `largest_gap` that was proven."""
        counts = Counter(path for path, _ in self.solved)
        return {"paths": dict(counts.most_common()), "largest_gap": max((gap for _, gap in self.solved), default=None)}

    def _panel_path(self, one: TrainedSae, other: TrainedSae) -> Path:
        return self.folder / f"{_key(one, other, self._panel)}.json"

    def _load(self, sae: TrainedSae) -> Autoencoder:
        if sae not in self._loaded:
            self._loaded[sae] = sae.load()
        return self._loaded[sae]

    def _match(self, one: TrainedSae, other: TrainedSae, path: Path) -> None:
        """Match their weights and keep what comes of it."""
        device, d_sae = self.found.device, one.d_sae
        sides = [
            Directions(sae.W_dec.to(device), sae.W_enc.T.to(device)) for sae in (self._load(one), self._load(other))
        ]
        found = match(*sides)
        columns, cosines = np.full(d_sae, -1, np.int32), np.full(d_sae, np.nan)
        columns[found.assignment.rows] = found.assignment.columns
        cosines[found.assignment.rows] = found.assignment.cosines
        solved = _solved(decoders=found.assignment, encoders=found.encoders)
        told = json.dumps({"figures": found.figures(), "solved": solved})

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez(file, found=told, columns=columns, cosines=cosines)

        write_atomically(path, write)

    def _on_panel(self, pair: Pair, seed: int) -> Measures:
        assert self.coded is not None
        codes, device = self.coded.codes, self.found.device
        a, b = codes[self.places[pair.one]], codes[self.places[pair.other]]
        decoders = self._load(pair.one).W_dec.to(device), self._load(pair.other).W_dec.to(device)
        alive = assign_alive(decoders, (a.density, b.density))
        figures = panel_figures(pair.partners, alive, (a, b), decoders, seed)
        return {"figures": figures, "solved": _solved(alive=alive)}


def mean_of(values: Sequence[float | None]) -> float | None:
    """Mean of those that are defined."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _key(*parts: TrainedSae | str) -> str:
    told = [VERSION, *(part if isinstance(part, str) else part.sha256 for part in parts)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


def _solved(**assignments: Assignment | None) -> Solved:
    return {name: (found.path, found.proof.gap) for name, found in assignments.items() if found is not None}

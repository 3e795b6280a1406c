"""Two SAEs matched: what is computed once per pair and kept under the hashes of what decides it."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch

from faithful.base.digest import digest
from faithful.base.progress import Reporter, counted, remarks_of, silent
from faithful.executor.parts import end_part, is_part, own
from faithful.store.saes import TrainedSae, by_corpus
from studies.common.cache import ResultCache
from studies.common.codes import CodedText, Codes, InTurn, code_text
from studies.common.inputs import StudyInput
from studies.common.panel import Panel
from studies.common.workers import Job, jobs_of, study_crew
from studies.seeds.assignment import Assignment
from studies.seeds.latents import Explained, from_start
from studies.seeds.matching import Directions, OnPanel, Partners, assign_alive, match, numbers_of, panel_figures
from studies.seeds.summary import Assignments, PairFigures
from studies.statistics.records import Numbers

VERSION, CODES_VERSION, START = 3, 4, 2
CODES, PAIRS, LATENTS = "codes", "pairs", "latents"

Solved = dict[str, tuple[str, float]]
SaePair = tuple[TrainedSae, TrainedSae]


class _OnText(TypedDict):
    """What is kept of what a pair does on a text."""

    figures: Numbers
    solved: Solved


class _Matched(TypedDict):
    """What is kept of a pair matched, see `Pair`."""

    figures: PairFigures
    columns: torch.Tensor
    cosines: torch.Tensor
    solved: Solved


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
    figures: PairFigures
    columns: np.ndarray
    cosines: np.ndarray
    solved: Solved

    @property
    def metrics(self) -> Numbers:
        """Figures that are single numbers."""
        return numbers_of(self.figures)

    @property
    def partners(self) -> Partners:
        """Who is matched with whom."""
        rows = np.flatnonzero(self.columns >= 0)
        return Partners(rows, self.columns[rows].astype(np.int64), self.cosines[rows])


def of_one_init(one: TrainedSae, other: TrainedSae) -> bool:
    """Whether two SAEs began with the same weights: alike for that alone, they are never compared."""
    return one.seed is not None and (one.seed, one.d_sae) == (other.seed, other.d_sae)


def pairs_of(saes: Sequence[TrainedSae]) -> list[SaePair]:
    """SAEs of one shape to compare: within a corpus each pair once, across corpora both directions."""
    groups = by_corpus(saes).values()
    wanted = [pair for group in groups for pair in combinations(group, 2)]
    wanted += [pair for a, b in combinations(groups, 2) for pair in product(a, b)]
    return [pair for pair in wanted if not of_one_init(*pair)]


class Matcher:
    """Matches SAEs of one study: their weights once, what they do on the panel once per panel.

    Of the weights one tensor of an SAE is in memory at a time, beside unit rows of the two that are matched.

    Args:
        found: model, hook and device of the study.
        panel: held-out text; None without corpora.
        folder: of the study, where pairs are kept, and till it is done what SAEs do on the panel.

    Attributes:
        reused: pairs of which everything was there already.
    """

    def __init__(self, found: StudyInput, panel: Panel | None, folder: Path) -> None:
        self.found, self.panel = found, panel
        self.reused = 0
        spec = found.spec
        text = hashlib.sha256(f"{spec.revision}/{spec.precision}/{found.hook.name}".encode())
        for row in panel.rows if panel else []:
            text.update(len(row).to_bytes(4, "little") + row.tobytes())
        self._text = text.hexdigest()
        self._cache = ResultCache(folder / "pairs", VERSION)
        self.codes = ResultCache(folder / "codes", CODES_VERSION, self._text)
        self._latents = ResultCache(folder / LATENTS)

    def match_all(
        self, pairs: Sequence[SaePair], shown: Sequence[TrainedSae], workers: int | None, report: Reporter = silent
    ) -> dict[SaePair, Pair]:
        """Every pair matched, in the order given, from the folder what is there already.

        Args:
            pairs: to match.
            shown: SAEs to code the panel with for their latents' examples; not in a part, which shows none.
            workers: processes that share the work, a pair each at a time.
            report: progress.

        Raises:
            PartDone: those of a part of the pairs are kept.
        """
        has_panel = self.panel is not None
        every, pairs, shown = pairs, own(pairs), [] if is_part() else shown
        uncoded = dict.fromkeys(pair for pair in pairs if has_panel and self._cache.get(*self._on_text(pair)) is None)
        missing = [pair for pair in pairs if pair in uncoded or not self._cache.has_tensors(*_hashes(pair))]
        self.reused = len(pairs) - len(missing)
        wanted = dict.fromkeys([*(sae for pair in uncoded for sae in pair), *shown]) if has_panel else {}
        seen = dict.fromkeys(sae for pair in pairs for sae in pair) if has_panel else {}
        unseen = [sae for sae in seen if not self._latents.has_tensors(sae.sha256, self._text)]
        lacking = tuple(dict.fromkeys([*self.codes.lacking(wanted, CODES), *unseen]))
        with study_crew(Matcher.do, self, self.found, workers) as crew:
            if lacking and crew.inherits:
                self.found.truncated  # noqa: B018 (loaded here once)
            crew.run(jobs_of([(CODES, lacking)], crew.count), report)
            tally = counted(report, "pairs", "pairs")
            for done, _ in enumerate(crew.each([(PAIRS, pair) for pair in missing], remarks_of(report))):
                tally(self.reused + done + 1, len(pairs))
        end_part(len(pairs), self.reused, lambda: sum(not self._is_kept(pair) for pair in every))
        return {pair: self._pair(pair) for pair in pairs}

    def _is_kept(self, pair: SaePair) -> bool:
        return self._cache.has_tensors(*_hashes(pair)) and (self.panel is None or self._cache.has(*self._on_text(pair)))

    def do(self, job: Job, report: Reporter) -> None:
        """Code the panel with some SAEs, or match a pair, and keep what comes of it."""
        what, saes = job
        if what == CODES:
            assert self.panel is not None
            loads = InTurn([sae.load for sae in saes])
            tally = counted(report, CODES, "contexts")
            explained = Explained()
            coded = code_text(self.found.truncated, loads, self.panel.rows, self.panel.ordinary, tally, explained)
            tokens = {"owners": torch.from_numpy(coded.owners), "positions": torch.from_numpy(coded.positions)}
            for place, (sae, codes) in enumerate(zip(saes, coded.codes, strict=True)):
                seen = OnPanel.of(codes)
                density = torch.from_numpy(seen.density)
                kept = {"density": density, "covariance": seen.covariance}
                self.codes.keep(sae, CODES, tokens | vars(codes) | kept)
                self._keep_latents(sae, density=density, explained=explained.of(place))
        else:
            one, other = saes
            self._pair((one, other))

    def latents(self, sae: TrainedSae) -> dict[str, np.ndarray]:
        """What is known of the latents of an SAE that was matched, float64 [d_sae]: `decoder` and `encoder` (cosines with the
        start), with a panel `density` and `explained`."""
        found = dict(self._latents.tensors(lambda _: from_start(sae) or {}, sae.sha256, START))
        if self.panel is not None:
            found |= self._latents.tensors(lambda _: {}, sae.sha256, self._text)
        return {name: values.double().numpy() for name, values in found.items()}

    def _keep_latents(self, sae: TrainedSae, **figures: torch.Tensor) -> None:
        self._latents.tensors(lambda _: figures, sae.sha256, self._text)

    def coded(self, saes: Sequence[TrainedSae]) -> CodedText:
        """The panel with the codes of SAEs that were shown or matched."""
        assert self.panel is not None
        tokens = self.codes.kept(saes[0], CODES)
        every = [self._seen(sae).codes for sae in saes]
        return CodedText(self.panel.rows, tokens["owners"].numpy(), tokens["positions"].numpy(), every)

    def _seen(self, sae: TrainedSae) -> OnPanel:
        kept = self.codes.kept(sae, CODES)
        codes = Codes(kept["values"], kept["latents"], kept["d_sae"])
        return OnPanel(codes, kept["density"].numpy(), kept["covariance"])

    def _on_text(self, pair: SaePair) -> tuple[str, ...]:
        """Key of what a pair does on the panel."""
        return *_hashes(pair), self._text

    def _pair(self, saes: SaePair) -> Pair:
        """Two SAEs matched; nothing is read where all is kept."""
        found = self._cache.tensors(lambda _: self._match(saes), *_hashes(saes))
        pair = Pair(*saes, found["figures"], found["columns"].numpy(), found["cosines"].numpy(), found["solved"])
        if self.panel is not None:
            more = self._cache.once(lambda: self._on_panel(pair), *self._on_text(saes))
            pair = replace(pair, figures={**pair.figures, **more["figures"]}, solved=pair.solved | more["solved"])
        return pair

    def _directions(self, sae: TrainedSae) -> Directions:
        device = self.found.device
        return Directions(lambda: sae.tensor("W_dec").to(device), lambda: sae.tensor("W_enc").T.to(device))

    def _match(self, saes: SaePair) -> _Matched:
        """What matching the weights of two SAEs gives."""
        d_sae, found = saes[0].d_sae, match(*map(self._directions, saes))
        columns = torch.full((d_sae,), -1, dtype=torch.int32)
        cosines = torch.full((d_sae,), torch.nan, dtype=torch.float64)
        columns[found.assignment.rows] = torch.from_numpy(found.assignment.columns).int()
        cosines[found.assignment.rows] = torch.from_numpy(found.assignment.cosines)
        solved = _solved(decoders=found.assignment, encoders=found.encoders)
        return {"figures": found.figures(), "columns": columns, "cosines": cosines, "solved": solved}

    def _on_panel(self, pair: Pair) -> _OnText:
        a, b = self._seen(pair.one), self._seen(pair.other)
        decoders = self._directions(pair.one).decoder, self._directions(pair.other).decoder
        alive = assign_alive(decoders, (a.density, b.density))
        seed = int(digest([VERSION, *self._on_text((pair.one, pair.other))])[:12], 16)
        figures = panel_figures(pair.partners, alive, (a, b), decoders, seed)
        return {"figures": figures, "solved": _solved(alive=alive)}


def assignments(pairs: Iterable[Pair]) -> Assignments:
    """How the assignments behind pairs were found: `paths`, how many by each, and the `largest_gap` that was proven."""
    solved = [one for pair in pairs for one in pair.solved.values()]
    counts = Counter(path for path, _ in solved)
    return {"paths": dict(counts.most_common()), "largest_gap": max((gap for _, gap in solved), default=None)}


def mean_of(values: Sequence[float | None]) -> float | None:
    """Mean of those that are defined."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _hashes(pair: SaePair) -> tuple[str, str]:
    return pair[0].sha256, pair[1].sha256


def _solved(**assignments: Assignment | None) -> Solved:
    return {name: (found.path, float(found.proof.gap)) for name, found in assignments.items() if found is not None}

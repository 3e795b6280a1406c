"""Explains and judges latents of SAEs, and of their untrained starts, that are not explained yet."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, TypedDict

from faithful.base.errors import FaithfulError
from faithful.base.progress import Reporter, counted, silent
from faithful.models.tokenizer import pieces_of
from faithful.sae.autoencoder import Autoencoder
from faithful.store.saes import TrainedSae
from studies.common.cache import ResultCache
from studies.common.codes import InTurn, Moments, code_text, moments_of
from studies.common.controls import UNTRAINED, has_untrained, start_of, untrained_sae
from studies.common.inputs import StudyInput
from studies.common.panel import Panel
from studies.common.workers import Job, jobs_of, study_crew
from studies.explanations.asking import AT_ONCE, Asking, Explanation, Judgement, Question
from studies.explanations.config import ExplanationsConfig
from studies.explanations.endpoint import Endpoint
from studies.explanations.evidence import Evidence, Latents, Window
from studies.explanations.prompts import EXPLAIN, JUDGE

FORMAT = 1
EVIDENCE = "evidence"
TRAINED, SHUFFLED = "trained", "another's sentence"
KINDS = TRAINED, UNTRAINED


class Explained(TypedDict):
    """A latent: on which share of tokens it fires, contexts that its explanation is made of, the explanation, in which of
    the judged contexts it fires (1), and what comes of judging them by it (`TRAINED`, `UNTRAINED`) and by that of another
    latent of the SAE (`SHUFFLED`)."""

    latent: int
    density: float
    shown: list[Window]
    explanation: Explanation
    fires: list[int]
    judged: dict[str, Judgement]


class ExplainedCell(TypedDict):
    """Of an SAE latents of its own, the share of its latents that could be explained, and latents of its untrained start
    where that is known."""

    trained: list[Explained]
    untrained: list[Explained]
    eligible: float


class Bench:
    """Explains latents.

    Args:
        config: of the study.
        found: model, hook and device.
        panel: text in which latents fire.
        endpoint: who explains.
    """

    def __init__(self, config: ExplanationsConfig, found: StudyInput, panel: Panel, endpoint: Endpoint) -> None:
        self.config, self.found, self.panel = config, found, panel
        spec = found.spec
        drawn = (
            FORMAT, spec.revision, spec.precision, found.hook.name, panel.sha256, config.latents, config.shown, config.judged,
            config.seed,
        )  # fmt: skip
        asked = (FORMAT, endpoint.name, config.answer_tokens)
        self._evidence = ResultCache(config.out / EVIDENCE, *drawn)
        self._cells = ResultCache(config.out / "cells", *drawn, *asked, EXPLAIN, JUDGE, AT_ONCE)
        self._asking = Asking(
            endpoint, ResultCache(config.out / "answers", *asked), config.requests, config.answer_tokens
        )

    def __getstate__(self) -> object:
        """To be pickled for workers, who ask nobody."""
        return {name: value for name, value in vars(self).items() if name not in ("_asking", "moments")}

    @cached_property
    def moments(self) -> Moments:
        """Of the activations of the text."""
        return moments_of(self.found.truncated, self.panel.rows, self.panel.ordinary)

    @property
    def reused(self) -> int:
        """SAEs whose figures were there already."""
        return self._cells.reused

    def cells(self, workers: int | None, report: Reporter = silent) -> dict[str, ExplainedCell]:
        """Of every SAE by its hash.

        Raises:
            FaithfulError: no latent has enough contexts; nothing was asked then.
        """

        def measure(saes: list[TrainedSae]) -> Iterable[ExplainedCell]:
            lacking = tuple(self._evidence.lacking(saes, EVIDENCE))
            with study_crew(Bench.do, self, self.found, workers) as crew:  # gone before the first question
                crew.run(jobs_of([(EVIDENCE, lacking)], crew.count), report)
            kept = [self._evidence.kept(sae, EVIDENCE) for sae in saes]
            if not any(map(self._has_latents, [*saes, *self.found.saes])):
                raise FaithfulError(
                    f"No latent fires in {self.config.shown + self.config.judged} contexts of the held-out text and is silent"
                    f" in {self.config.judged} others; give more --tokens."
                )
            return self._explained(kept, report)

        return self._cells.figures(self.found.saes, measure)

    def _has_latents(self, sae: TrainedSae) -> bool:
        """Whether an SAE that was read has latents that can be explained."""
        return not self._evidence.lacking([sae], EVIDENCE) and bool(self._evidence.kept(sae, EVIDENCE)[TRAINED])

    def do(self, job: Job, report: Reporter) -> None:
        """Read the text for some SAEs and their starts, and keep what their latents are explained by and judged on."""
        _, saes = job
        starts = {tuple(start_of(sae)): sae for sae in saes if has_untrained(sae)}
        loads = InTurn([*(sae.load for sae in saes), *(partial(self._start, sae) for sae in starts.values())])
        tally = counted(report, "codes", "contexts")
        coded = code_text(self.found.truncated, loads, self.panel.rows, self.panel.ordinary, tally)
        config, reading = self.config, partial(pieces_of, self.found.tokenizer)
        drawn = [
            Latents(coded, codes, reading, config.seed).drawn(config.latents, config.shown, config.judged)
            for codes in coded.codes
        ]
        begun = dict(zip(starts, drawn[len(saes) :], strict=True))
        for sae, of in zip(saes, drawn, strict=False):
            start = begun[tuple(start_of(sae))]["latents"] if has_untrained(sae) else []
            kept = {TRAINED: of["latents"], UNTRAINED: start, "eligible": of["eligible"]}
            self._evidence.keep(sae, EVIDENCE, kept)

    def _start(self, sae: TrainedSae) -> Autoencoder:
        return untrained_sae(sae, self.moments.mean, self.moments.covariance)

    def _explained(self, kept: Sequence[Mapping[str, Any]], report: Reporter) -> Iterable[ExplainedCell]:
        """Cells of SAEs by what was kept of each: evidence of latents, and which share has any."""
        evidence = [one for cell in kept for kind in KINDS for one in cell[kind]]
        said = iter(self._asking.explain(evidence, report))
        cells: list[dict[str, list[Explained]]] = [
            {kind: [_begun(one, next(said)) for one in cell[kind]] for kind in KINDS} for cell in kept
        ]
        asked: list[tuple[Explained, str, Question]] = []
        for cell, of in zip(cells, kept, strict=True):
            for kind in KINDS:
                for place, (one, known) in enumerate(zip(cell[kind], of[kind], strict=True)):
                    asked.append((one, kind, Question(known["judged"], one["explanation"]["text"])))
                    if kind == TRAINED and len(cell[kind]) > 1:
                        other = cell[kind][place - 1]["explanation"]["text"]
                        asked.append((one, SHUFFLED, Question(known["judged"], other)))
        judged = self._asking.judge([question for _, _, question in asked], report)
        for (one, by, _), found in zip(asked, judged, strict=True):
            one["judged"][by] = found
        return [
            {"trained": cell[TRAINED], "untrained": cell[UNTRAINED], "eligible": of["eligible"]}
            for cell, of in zip(cells, kept, strict=True)
        ]


def _begun(evidence: Evidence, explanation: Explanation) -> Explained:
    """A latent with its explanation, which is not judged yet."""
    return {
        "latent": evidence["latent"], "density": evidence["density"], "shown": evidence["shown"],
        "explanation": explanation, "fires": evidence["fires"], "judged": {},
    }  # fmt: skip

"""The work of a study spread over workers: SAE × text, or what else comes apart."""

from collections.abc import Sequence
from typing import Any

from faithful.base.progress import Progress, Reporter, remarks_of
from faithful.executor.jobs import Crew, Work
from faithful.executor.where import share_of
from faithful.store.saes import TrainedSae
from studies.common.cache import ResultCache
from studies.common.controls import UNTRAINED, has_untrained, start_of
from studies.common.inputs import StudyInput

Job = tuple[str, tuple[TrainedSae, ...]]
"""A text by its name and the SAEs that it is read for."""


def study_crew(work: Work, shared: Any, found: StudyInput, workers: int | None) -> Crew:
    """Workers for a study, which begin with the model and SAEs that are loaded here where that is possible."""
    return Crew(work, shared, workers, share_of(found.device, workers, inherits=True), "study")


def jobs_of(texts: Sequence[Job], workers: int) -> list[Job]:
    """Texts and their SAEs as jobs: a text is one, read once for all of them, but where there are fewer than workers its SAEs
    are dealt out; a text without SAEs is none."""
    wanted = [(text, saes) for text, saes in texts if saes]
    hands = -(-workers // max(1, len(wanted)))
    return [(text, saes[first::hands]) for text, saes in wanted for first in range(min(hands, len(saes)))]


def measure_in_groups(
    crew: Crew, cells: ResultCache, saes: Sequence[TrainedSae], what: str, most: int, report: Reporter
) -> None:
    """Have SAEs measured in groups that share a reading, each one of what is lacking, and before them one of each untrained
    start.

    Args:
        crew: keeps what comes of each SAE of a job `what` as that pass, and of a job `UNTRAINED` with `keep_start`.
        cells: of the study.
        saes: those to be measured.
        what: a pass.
        most: SAEs of a group; fewer, so that each worker has as many groups.
        report: SAEs done.
    """
    begun = {tuple(start_of(sae)): sae for sae in reversed(saes) if has_untrained(sae)}
    starts = [sae for start, sae in begun.items() if not cells.has_tensors(UNTRAINED, *start)]
    for kind, left in ((UNTRAINED, starts), (what, cells.lacking(saes, what))):
        each = -(-len(left) // (crew.count * most)) or 1  # groups of a worker
        size = -(-len(left) // (crew.count * each)) or 1
        jobs = [(kind, tuple(left[first : first + size])) for first in range(0, len(left), size)]
        done = 0
        if jobs:
            report(Progress(kind, done, len(left), "SAEs"))  # the first group may take minutes
        for place, _ in crew.each(jobs, remarks_of(report)):
            done += len(jobs[place][1])
            report(Progress(kind, done, len(left), "SAEs"))


def keep_start(cells: ResultCache, sae: TrainedSae, values: Any) -> None:
    """Keep what was measured of an SAE's untrained start, once for all that began so."""
    cells.tensors(lambda _: values, UNTRAINED, *start_of(sae))


def kept_start(cells: ResultCache, sae: TrainedSae) -> Any:
    """The same, read.

    Raises:
        FaithfulError: its file is damaged, or not there.
    """
    return cells.kept_tensors(UNTRAINED, *start_of(sae))

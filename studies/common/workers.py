"""The work of a study spread over workers: SAE × text, or what else comes apart."""

from collections.abc import Sequence
from typing import Any

from faithful.executor.jobs import Crew, Work
from faithful.executor.where import share_of
from faithful.store.saes import TrainedSae
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

"""What `faithful study corpora` leaves in its summary.json, beside what every study does, and keeps of each corpus."""

from typing import Any, NotRequired, TypedDict

from faithful.store.manifest_parts import Certificate
from studies.common.results import Summary
from studies.statistics.records import Measures


class CorpusCell(TypedDict):
    """A corpus: what the certificate's tests say of it as the model's own text and as it was declared, its distance from the
    model, and what its first tokens are like; `sampling` is that of samples of this very model, else None;
    `loaded_otherwise` says so of text of the model quantised otherwise."""

    key: str
    name: str
    kind: str
    tokens: int
    sampling: Any
    as_model: Certificate
    as_declared: Measures | None
    figures: Measures
    text: Measures
    seconds: float
    loaded_otherwise: NotRequired[str]


class CorporaSummary(Summary, total=False):
    """All of it."""

    reference: str
    tokens_scored: int
    diversity_tokens: int
    near_duplicate_tokens: int
    cells: dict[str, CorpusCell]

"""What `faithful study corpora` is told, and its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from faithful.options.marks import ARGUMENT, MAY_BE_MISSING, Count
from studies.common.forecast import StudyCost, Work
from studies.common.study import Study

REFERENCE_TOKENS = 50_000


@dataclass(frozen=True)
class CorporaConfig:
    """What to compare."""

    COMMAND: ClassVar = "study corpora"

    folders: Annotated[tuple[Path, ...], ARGUMENT, MAY_BE_MISSING]
    """Corpora, or runs, in the order of the table; default: those of the current run."""
    out: Annotated[Path, MAY_BE_MISSING]
    """Folder; default studies/corpora of the run."""
    model: str | None = None
    """Preset name, Hub id or folder; default: the corpora's."""
    own: Path | None = None
    """The model's own T 1 corpus to hold them against; default: one among or beside them."""
    tokens: Count | None = None
    """About how many tokens to score of each; default 100k on a CPU, 1M on a GPU, at most the smallest."""
    budget: Count | None = None
    """Tokens for diversity; default the smallest corpus', at most 1M where corpora are sampled for a sweep."""
    temperatures: tuple[float, ...] = ()
    """Sweep: 0.7,0.85,1,1.15; own corpora sampled for it, as large as the budget."""
    top_ps: tuple[float, ...] = ()
    """Sweep: 0.9,0.95,1."""
    device: str | None = None
    """cpu or cuda; default: what the machine has."""
    dtype: str | None = None
    """Type of the scoring pass; default: the model's on this device."""
    seed: int = 0
    """Of the bootstraps and the randomised transform."""


def scored_tokens(device: str, context: int) -> int:
    """Tokens to score of each corpus."""
    from generation.certificate.certify import DEFAULT_TOKENS

    return DEFAULT_TOKENS["cpu" if device == "cpu" else "cuda"]


def _cost(config: CorporaConfig, work: Work) -> StudyCost:
    """A whole forward pass over every corpus, and over the own text that they are held against."""
    read = work.corpora * (config.tokens or scored_tokens(work.device, work.context)) + REFERENCE_TOKENS
    return StudyCost(read, read * work.full)


def _certificates(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The verdict of each corpus' certificate."""
    found = [(cell["name"], cell["as_model"]) for cell in summary["cells"].values()]
    return [(scored["verdict"], f"{name}: {scored['reason']}") for name, scored in found]


def _excess(summary: Mapping[str, Any]) -> list[str]:
    """How far outside the model the corpora lie."""
    found = {name: summary["corpora"][name]["excess_ce"]["value"] for name in summary["by_excess_ce"]}
    parts = [f"{name} {value:+.2f}".replace("-", "−") for name, value in found.items()]
    return [f"Excess cross-entropy of the corpora under the model, nats/token: {', '.join(parts)}."]


STUDY = Study(
    name="corpora",
    question="How far does each corpus lie outside the model, and how diverse is it?",
    meaning="Excess cross-entropy is how much worse the model predicts a corpus than its own text at the same positions;"
    " the certificate asks whether the text could have been sampled from the model.",
    config=CorporaConfig,
    cost=_cost,
    sizes={"tokens": scored_tokens},
    captions={
        "faithfulness": "Distance of each corpus from the model, with 95 % intervals",
        "tests": "Which test tells which corpus from the model's own text",
        "diversity": "Diversity at equal numbers of tokens",
        "lengths": "Lengths of the documents",
        "sweep": "Diversity and faithfulness over sampling settings",
    },
    of_saes=False,
    notes=lambda summary: [
        "Figures without an interval are of one corpus each, as it was drawn: nothing is replicated, and no interval over"
        " draws can be given."
    ],
    remarks=_excess,
    verdicts=_certificates,
)

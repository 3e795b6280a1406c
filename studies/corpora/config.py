"""What `faithful study corpora` is told, and its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.common.forecast import StudyCost, Work
from studies.common.study import Study

REFERENCE_TOKENS = 50_000


@dataclass(frozen=True)
class CorporaConfig:
    """What to compare.

    Attributes:
        folders: the corpora, in the order of the table.
        out: folder of the study.
        model: preset name, Hub id or folder; by default the model that the corpora were made for.
        own: the model's own T 1 corpus; by default one among or beside the corpora.
        tokens: about how many tokens to score per corpus; None is 100k on a CPU and 1M on a GPU, at most the smallest.
        budget: tokens that diversity is computed on; by default the smallest corpus', where corpora are sampled for a
            sweep at most 1M.
        temperatures, top_ps: settings of a sweep: own corpora sampled for it, as large as `budget`.
        device: `cpu` or `cuda`; by default what the machine has.
        dtype: type of the scoring pass; by default the model's on this device.
        seed: of the randomised transform and the bootstraps.
    """

    folders: tuple[Path, ...]
    out: Path
    model: str | None = None
    own: Path | None = None
    tokens: int | None = None
    budget: int | None = None
    temperatures: tuple[float, ...] = ()
    top_ps: tuple[float, ...] = ()
    device: str | None = None
    dtype: str | None = None
    seed: int = 0


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

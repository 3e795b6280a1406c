"""What `faithful study corpora` is told, and its record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from faithful.options.marks import ARGUMENT, MAY_BE_MISSING, Count
from studies.common.forecast import StudyCost, Work
from studies.common.study import Study


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
    load: str | None = field(default=None, kw_only=True)
    """full, 8bit or 4bit: the model that scores; default: as the own corpus was sampled."""
    shard_model: bool = field(default=False, kw_only=True)
    """Spread the model's layers over all GPUs of this machine, for one that does not fit on one; in one process."""
    seed: int = 0
    """Of the bootstraps and the randomised transform."""


def scored_tokens(device: str, context: int) -> int:
    """Tokens to score of each corpus."""
    from generation.certificate.certify import DEFAULT_TOKENS

    return DEFAULT_TOKENS["cpu" if device == "cpu" else "cuda"]


def _cost(config: CorporaConfig, work: Work) -> StudyCost:
    """A whole forward pass over every corpus, and over the held-out own text that they are held against."""
    from generation.certificate.reference import REFERENCE_TOKENS
    from generation.writing.splits import held_out_budget

    held_out = min(REFERENCE_TOKENS[work.device], held_out_budget(work.tokens))
    read = work.corpora * (config.tokens or scored_tokens(work.device, work.context)) + held_out
    return StudyCost(read, read * work.full)


def _certificates(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The verdict of each corpus' certificate."""
    found = [(cell["name"], cell["as_model"]) for cell in summary["cells"].values()]
    return [(scored["verdict"], f"{name}: {scored['reason']}") for name, scored in found]


def _axes(summary: Mapping[str, Any]) -> list[str]:
    """Where the corpora lie on both axes, and which of those that are not the model's text one alone would misjudge."""
    from generation.certificate.conclude import NOT_FROM

    gaps, excess = (
        {name: found[metric] for name, found in summary["corpora"].items()} for metric in ("surprise_gap", "excess_ce")
    )
    order = sorted(gaps, key=lambda name: float(gaps[name]["value"]))
    listed = "; ".join(f"{name} {_signed(gaps[name])} and {_signed(excess[name])}" for name in order)
    said = [f"Surprise gap and excess cross-entropy of the corpora under the model, nats/token: {listed}."]
    for name in order:
        is_foreign = summary["corpora"][name]["verdict"] == NOT_FROM
        if is_foreign and (gaps[name]["ci95"] or [0])[0] > 0 > (excess[name]["ci95"] or [0])[-1]:
            said.append(
                f"The model predicts {name} better than its own text, and yet is more surprised than it expects to be: easy,"
                " and not its own."
            )
    return said


def _signed(figure: Mapping[str, Any]) -> str:
    return f"{figure['value']:+.2f}".replace("-", "−")


STUDY = Study(
    name="corpora",
    question="How far is each corpus from the model's own text, and how diverse is it?",
    meaning="Two axes, which are read together: the surprise gap is how much more a corpus surprises the model than the model"
    " itself expects (0 for its own text, negative for cooler text), excess cross-entropy how much harder a corpus is to"
    " predict than its own text at the same positions. Text can be easy to predict and not the model's, or hard and near it;"
    " the certificate asks whether it could have been sampled from the model.",
    config=CorporaConfig,
    cost=_cost,
    sizes={"tokens": scored_tokens},
    captions={
        "faithfulness": "Each corpus by surprise gap and excess cross-entropy, with 95 % intervals; grey: those of the"
        " model's own text",
        "diversity": "Diversity at equal numbers of tokens",
        "lengths": "Lengths of the documents",
        "sweep": "Diversity and faithfulness over sampling settings",
    },
    lead="faithfulness",
    details=("Certificate",),
    of_saes=False,
    notes=lambda summary: [
        "Figures without an interval are of one corpus each, as it was drawn: nothing is replicated, and no interval over"
        " draws can be given."
    ],
    remarks=_axes,
    verdicts=_certificates,
)

"""The tables of `faithful study interventions`, each of which says what its figures are not."""

from studies.common.tables import Table, cell
from studies.interventions.config import MARK
from studies.interventions.summary import InterventionsSummary

NAMES = {"scr": "spurious correlation removal (SCR)", "tpp": "targeted probe perturbation (TPP)"}


def interventions_tables(summary: InterventionsSummary) -> list[Table]:
    """All tables of the study."""
    asked = summary["asked"]
    rows: list[tuple[str, ...]] = [
        (label, f"{right:.3f}", f"{fooled:.3f}")
        for label, right, fooled in zip(asked["labels"], asked["accuracies"], asked["fooled"], strict=True)
    ]
    tables = [
        Table(
            f"{asked['pair']}: probes on the activations, and one that was trained where the two labels agree",
            ("label", "accuracy of the probe", "of the fooled probe"),
            rows,
        )
    ]
    counts = summary["sizes"]["latents"]
    for metric, title in NAMES.items():
        lines = [
            (name, *(cell(of[f"{metric}_n{count}"]) for count in counts)) for name, of in summary["corpora"].items()
        ]
        task = asked["pair"] if metric == "scr" else asked["task"]
        tables.append(
            Table(f"{MARK}: {title} of {task} with latents out", ("SAEs of", *(f"{n} latents" for n in counts)), lines)
        )
    return tables

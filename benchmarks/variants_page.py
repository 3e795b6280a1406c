"""Variants of the SAE on known truth, as docs/variants.md: `python -m benchmarks.variants_page [--workers 2]`.

`faithful study synthetic` of every variant and control on three truths of each kind with six init seeds each, 900 steps;
the page is made of its summary alone. Killed, it goes on with the variant that it was training; with results kept it only
writes the page. About an hour of CPU time, so some 35 minutes on two idle cores. Truths are the replicates: six of three
init seeds each take as long and decide more.
"""

import argparse
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.shared import machine
from faithful.base.files import write_text
from faithful.base.quantities import parse_integers
from faithful.cli.show import progress
from faithful.hub.card_file import markdown_table
from faithful.options.line import command_line
from studies.common.tables import Table
from studies.statistics.numbers import ALPHA, fixed
from studies.statistics.sentences import SIGNIFICANT
from studies.synthetic.config import STUDY, SyntheticConfig

PAGE = Path(__file__).parents[1] / "docs" / "variants.md"
HELPS = {"fvu": -1, "recovery": 1}
LEADS: tuple[tuple[str, str, dict[str, int]], ...] = (
    ("k that falls (`anneal`) helps", "anneal", HELPS),
    ("weak L2 without unit-norm decoder rows helps", "l2", HELPS),
    ("BatchTopK cuts absorption", "batchtopk", {"absorption": -1}),
    ("Matryoshka cuts absorption", "matryoshka", {"absorption": -1}),
    ("the penalty of 002 (`orthogonal`) helps", "orthogonal", HELPS),
    ("the penalty of 003 (`correlation`) helps", "correlation", HELPS),
)
"""What a prototype suggested or the founding records claim: what would be lower (−1) or higher (1) than topk's."""
INTRODUCTION = """# Variants of the SAE on known truth

Made by `benchmarks/variants_page.py`: activations that are sums of known features, so that what an SAE finds can be held
against what is there. `studies/synthetic/truths.py` says how they are drawn, [metrics.md](metrics.md) what each figure means.
`hier`: trees of features whose children fire with their parents, correlated, by Zipf's law; `ind`: independent features. All
variants and seeds of a truth train on the same activations. They are short trainings of small SAEs at one learning rate: what
differs here may be larger or absent on a language model."""


def main() -> None:
    """Do the study and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth-seeds", default="0-2")
    parser.add_argument("--seeds", default="0-5")
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/synthetic/studies/synthetic"))
    parser.add_argument("--page", type=Path, default=PAGE)
    told = parser.parse_args()
    truth_seeds, seeds = (parse_integers(one, "--seeds") for one in (told.truth_seeds, told.seeds))
    config = SyntheticConfig(
        told.out,
        truth_seeds=truth_seeds,
        seeds=seeds,
        planted=("topk", "batchtopk"),
        steps=told.steps,
        workers=told.workers,
    )
    began = sum(os.times()[:4])
    with progress() as report:
        done = STUDY.run(config, report)
    minutes = (sum(os.times()[:4]) - began) / 60
    shown = {name: getattr(config, name) for name in ("planted", "truth_seeds", "seeds", "steps", "workers")}
    made = f"`{command_line(SyntheticConfig, **shown)}`"
    if not done.reused:
        made += f" took {minutes:.0f} minutes of CPU time ({machine()})"
    write_text(told.page, page_of(done.summary, made))


def page_of(summary: Any, made: str) -> str:
    """The page, of a summary alone.

    Args:
        summary: of the study.
        made: how it was made, as a sentence without a full stop.
    """
    notes = " ".join([*STUDY.notes(summary), *_reach(summary)])
    parts = [INTRODUCTION, f"{made}. {notes}", "## What was expected, and what is found", *_leads(summary)]
    parts += [*_agreement(summary), "## Figures", *_tables(STUDY.tables(summary))]
    parts += [
        "## Variants and their parameters",
        "\n".join(f"- `{name}`: {label}" for name, label in summary["arms"].items()),
    ]
    return "\n\n".join(parts) + "\n"


def _reach(summary: Any) -> Iterable[str]:
    """How large |t| must be, in the largest family."""
    from scipy.stats import t

    of = Counter((entry["metric"], entry["b"]) for entry in summary["contrasts"] if entry["headline"])
    truths = summary["sizes"]["truth_seeds"]
    if of and truths > 1:
        family = max(of.values())
        first, last = (fixed(float(t.isf(ALPHA / count / 2, truths - 1)), 1) for count in (family, 1))
        yield (
            f"With {truths} truths |t| must be above {first} for the clearest of a family of {family} to differ, and above"
            f" {last} for the last where all others do."
        )


def _leads(summary: Any) -> Iterable[str]:
    for said, arm, expected in LEADS:
        lines = []
        for metric, sign in expected.items():
            for entry in summary["contrasts"]:
                if entry["metric"] == metric and entry["a"].startswith(f"{arm} on "):
                    lines.append(f"- {metric} — {_outcome(entry, sign)}: {entry['sentence']}.")
        yield "\n".join([f"**{said[0].upper()}{said[1:]}?**", "", *(lines or ["- It was not trained."])])


def _outcome(entry: Any, sign: int) -> str:
    """What a contrast says to what was expected; one without a verdict by its interval alone, and said so."""
    is_open = entry["headline"] or entry["ci95"] is None or entry["ci95"][0] <= 0 <= entry["ci95"][1]
    if entry["verdict"] not in SIGNIFICANT and is_open:
        return str(entry["verdict"]).partition(":")[0]
    said = "yes" if entry["difference"] * sign > 0 else "no, the contrary"
    return said if entry["headline"] else f"{said}, by an exploratory contrast (a permuted decoder may score as well)"


def _agreement(summary: Any) -> Iterable[str]:
    """Whether what seeds agree on is true, of topk."""
    lines = []
    for truth, names in summary["truths"].items():
        if (name := f"topk on {truth}") in names:
            found = {metric: fixed(one["value"], 2) for metric, one in summary["corpora"][name].items()}
            lines.append(
                f"- `{truth}`: two seeds of topk share {found['overlap']} of their latents; {found['true_shared']} of the"
                f" shared ones and {found['true_unshared']} of the others are true features; of the shared ones that are not,"
                f" {found['composite_shared']} are a parent and its child together."
            )
    return ["**Is the agreement of seeds evidence of truth?**\n\n" + "\n".join(lines)] if lines else []


def _tables(tables: Iterable[Table]) -> Iterable[str]:
    for table in tables:
        yield f"**{table.title}**\n\n{markdown_table(table.header, table.rows)}"


if __name__ == "__main__":
    main()

"""The founding variants on language models, as docs/variants-models.md: `python -m benchmarks.variants_models_page RUN …`.

Each RUN is a finished run with a grid of variants and `faithful study variants` over it: `faithful run variants` on the
embedded model, and a run of its own on another. The page is made of that study's summary and the run's records alone.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.shared import machine
from faithful.base.files import write_text
from faithful.hub.card_file import markdown_table
from studies.common.results import SUMMARY, read_summary
from studies.report.found import RunFound, read_run
from studies.report.readable import readable
from studies.statistics.sentences import DIFFERS_LITTLE, SIGNIFICANT
from studies.variants.config import ELSEWHERE, STUDY

PAGE = Path(__file__).parents[1] / "docs" / "variants-models.md"
INTRODUCTION = """# The founding variants on language models

Made by `benchmarks/variants_models_page.py`. The four founding records describe variants of the SAE whose trainings never
ran, with tables of evaluations that show nothing. Here they are trained (`compression` is 000, `sharing` 001, `orthogonal`
002, `correlation` 003), beside TopK, ReLU with L1 (`standard`) and SAEs that learn only in part (`frozen-decoder`,
`soft-frozen`, `frozen-encoder`), and measured by everything that the run's studies measure. [variants.md](variants.md) has
the same on known truth, [metrics.md](metrics.md) what each figure means. Intervals are 95 %, over init seeds. A figure by
which a frozen control does as well as TopK is no measure of quality."""


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--page", type=Path, default=PAGE)
    told = parser.parse_args()
    write_text(told.page, page_of([read_run(run) for run in told.runs]))


def page_of(runs: Iterable[RunFound]) -> str:
    """The page, of runs alone."""
    parts = [INTRODUCTION, f"Made on {machine()}."]
    for run in runs:
        parts += _of_run(run)
    return "\n\n".join(parts) + "\n"


def _of_run(run: RunFound) -> Iterable[str]:
    """What one run says."""
    summary: Any = read_summary(run.folder / "studies" / "variants" / SUMMARY)
    sizes, hours = summary["sizes"], sum(run.steps.values()) / 3600
    tokens = sorted({sae.identity["tokens"] for sae in run.saes})
    yield f"## {run.model['name']}"
    yield (
        f"{sizes['saes']} SAEs of {', '.join(corpus.name for corpus in run.corpora)} × {sizes['seeds']} init seeds, each"
        f" trained on {tokens[0]:,} tokens at {summary['hook']}; the whole run took {hours:.1f} hours beside other work."
        f" {' '.join([*STUDY.notes(summary), *STUDY.warnings(summary)])}"
    )
    led = [one for one in summary["contrasts"] if one["headline"]]
    told = [one for one in led if one["verdict"] in SIGNIFICANT]
    little = sum(one["verdict"] == DIFFERS_LITTLE for one in told)
    less = f", {little} of them by less than the margin" if little else ""
    yield f"Of {len(led)} comparisons with TopK on {summary['own']}, {len(told)} differ{less}:"
    yield "\n".join(f"- {one['sentence']}" for one in told) or "none."
    for table in STUDY.tables(summary):
        if table.title != ELSEWHERE:
            shown = readable(table)
            yield f"**{shown.title}**\n\n{markdown_table(shown.header, shown.rows)}"


if __name__ == "__main__":
    main()

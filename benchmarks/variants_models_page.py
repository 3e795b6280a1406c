"""The founding variants on language models, as docs/variants-models.md: `python -m benchmarks.variants_models_page RUN …`.

Each RUN is a finished run with a grid of variants and `faithful study variants` over it: `faithful run variants` on the
embedded model, and a run of its own on another. The page is made of that study's summary and the run's records alone; models
whose RUN is not named keep the section that they have.

The run on SmolLM2 has the corpora own, wiki and c4 of `make real` in runs/smollm2/corpora, and is made by

    faithful train --corpus runs/smollm2/corpora/own --out runs/smollm2/saes --seeds 0-5 --layer 15 --d-sae 1152 --k 32 \\
        --variant topk,standard,compression,sharing,orthogonal,correlation,frozen-decoder \\
        --lr 3e-3 --batch 128 --context 128 --tokens 24k --eval-tokens 2k
    faithful study seeds smollm2 --tokens 4k --set gaussian_seeds=2 --set gaussian_steps=100
    faithful study sparsity smollm2 --tokens 4k
    faithful study reconstruction smollm2 --tokens 2k --set ks=1
    faithful study fakes smollm2 --tokens 4k --set noise_tokens=8k
    faithful study probes smollm2 --tokens 4k --task real:film --task real:bbc --set train_size=256 --set test_size=200 \\
        --set ks=1,10 --set curve_points=2
    faithful study absorption smollm2
    faithful study unlearning smollm2 --corpus runs/smollm2/corpora/own --corpus runs/smollm2/corpora/c4 \\
        --corpus runs/smollm2/corpora/wiki --forget c4 --retain wiki --tokens 6k --set questions=48 \\
        --set thresholds=0.01 --set latents=20 --set multipliers=4,16
    faithful study interventions smollm2
    faithful study variants smollm2
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

Made by `benchmarks/variants_models_page.py`. The four founding records ([training.md](training.md) says what they are)
describe variants of the SAE whose trainings never ran, with tables of evaluations that show nothing. Here they are trained
(`compression` is 000, `sharing` 001, `orthogonal` 002, `correlation` 003), beside TopK, ReLU with L1 (`standard`) and SAEs
that learn only in part (`frozen-decoder`; on `tiny` also `soft-frozen` and `frozen-encoder`), and measured by what
the tables name of the run's studies (the script has the commands). [variants.md](variants.md) has the same on known truth,
[metrics.md](metrics.md) what each figure means. Intervals are 95 %, over init seeds. A figure by which a frozen control does
as well as TopK is no measure of quality."""


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--page", type=Path, default=PAGE)
    told = parser.parse_args()
    before = told.page.read_text(encoding="utf-8") if told.page.exists() else ""
    write_text(told.page, page_of([read_run(run) for run in told.runs], before))


def page_of(runs: Iterable[RunFound], before: str = "") -> str:
    """The page: sections of runs, and of the models of the page before that none of them is of."""
    sections = {one.partition("\n")[0]: one.rstrip() for one in before.split("\n## ")[1:]}
    sections |= {run.model["name"]: "\n\n".join(_of_run(run)) for run in runs}
    return "\n\n## ".join([INTRODUCTION, *sections.values()]) + "\n"


def _of_run(run: RunFound) -> Iterable[str]:
    """What one run says."""
    summary: Any = read_summary(run.folder / "studies" / "variants" / SUMMARY)
    sizes, hours = summary["sizes"], sum(run.steps.values()) / 3600
    on = ", ".join(dict.fromkeys(sae.corpus for sae in run.saes))
    took = f"; the whole run took {hours:.1f} hours beside other work" if hours else ""
    tokens = sorted({sae.identity["tokens"] for sae in run.saes})
    yield run.model["name"]
    yield (
        f"{sizes['saes']} SAEs of {on} × {sizes['seeds']} init seeds, each"
        f" trained on {tokens[0]:,} tokens at {summary['hook']}{took}."
        f" {' '.join([*STUDY.notes(summary), *STUDY.warnings(summary)])} Made on {machine()}."
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

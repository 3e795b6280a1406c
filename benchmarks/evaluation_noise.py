"""How much of a figure is the evaluation's own noise: `python -m benchmarks.evaluation_noise RUN [--reseeds 3 --seeds 3]`.

Each study of SAEs that draws anything of its evaluation is done several times with the same few SAEs of a finished run, each
time with another seed: of held-out text, of random tokens, of examples and folds, of questions, of words. Written to
docs/evaluation-noise.md for each figure: its standard deviation over these seeds (root mean square over SAEs), beside that
over SAEs that differ in their init seed alone (root mean square over corpora, the evaluation held fixed).
What is done is kept beside the run, in RUN/studies/.noise.
"""

import argparse
import csv
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared import machine
from faithful.base.digest import digest
from faithful.base.files import write_text
from faithful.base.progress import silent
from faithful.hub.card_file import markdown_table
from faithful.models.spec import resolve_model
from faithful.models.tokenizer import load_tokenizer
from faithful.store.saes import TrainedSae, by_shape, find_saes
from studies.catalog import KNOWN
from studies.common.results import read_summary
from studies.probes.tasks.embedded import RULES, EmbeddedText
from studies.probes.tasks.levels import MARK

PAGE = Path(__file__).parents[1] / "docs" / "evaluation-noise.md"
MATCHED, SECONDS = "own text", "cpu-seconds"
Values = dict[tuple[str, str, tuple[int, ...]], float]
"""By corpus, shape and seed of the SAE, or seeds of two."""


@dataclass(frozen=True)
class Redrawn:
    """A study that is done again.

    Attributes:
        drawn: what its seeds draw, in words.
        figures: metric, other and parameter of each; `MATCHED` is the SAEs' own corpus.
        told: what it is told beside.
    """

    drawn: str
    figures: tuple[tuple[str, str | None, float | None], ...]
    told: Mapping[str, Any] = field(default_factory=dict)


TOKENS = 8000
LABELS, LABELLED, LETTERS_SHOWN = 1800, 300, 100
STUDIES = {
    "absorption": Redrawn(
        f"{LABELLED} of {LABELS} texts, folds",
        (("full_absorption", None, None), ("absorption_fraction_060", None, None), ("main_f1", None, None)),
        {"tokens": LABELLED, "without_letters": True},
    ),
    "sparsity": Redrawn(
        f"{TOKENS:,} tokens of held-out text",
        (("c_dec", None, None), ("log_density_50", None, None), ("silent_share", None, None)),
        {"tokens": TOKENS},
    ),
    "reconstruction": Redrawn(
        f"{TOKENS:,} tokens of held-out text",
        (("ce_recovered", MATCHED, 16.0), ("ce_recovered", "panel", 16.0), ("fvu", "panel", 16.0)),
        {"tokens": TOKENS, "ks": (1,)},
    ),
    "fakes": Redrawn(
        f"{TOKENS:,} tokens of held-out text, 16,000 random tokens",
        (("fake_contrast", None, None), ("fake_notes", None, None), ("woken_noise", None, None)),
        {"tokens": TOKENS, "noise_tokens": 16_000, "examples": 0},
    ),
    "probes": Redrawn(
        "examples (128 of training, 200 of test of `speech` and `tests`), folds",
        (("k_sparse_accuracy", None, 1.0), ("k_sparse_accuracy", None, 10.0), ("accuracy", None, 128.0)),
        {
            "tasks": ("speech", "tests"), "train_size": 128, "test_size": 200, "curve_points": 1, "ks": (1, 10),
            "controls": 1, "tokens": TOKENS,
        },
    ),
    "seeds": Redrawn(
        f"{TOKENS:,} tokens of held-out text",
        (("shared_feature_ratio", None, None), ("activation_correlation", None, None), ("stable_explained", None, None)),
        {"tokens": TOKENS, "gaussian_seeds": 0, "examples": 0},
    ),
    "interventions": Redrawn(
        "40 training and 40 test texts of each crossing, folds",
        (("scr", None, 10.0), ("tpp", None, 10.0)),
        {"latents": (10,)},
    ),
    "unlearning": Redrawn(
        f"48 questions of each side, {TOKENS:,} tokens of held-out text",
        (("unlearned", None, None), ("best_of_all", None, None)),
        {"tokens": TOKENS, "questions": 48},
    ),
}  # fmt: skip
INTRODUCTION = """# The noise of the evaluations

Made by `python -m benchmarks.evaluation_noise` on a finished run ({run}; {saes} SAEs: {seeds} init seeds of each of
{corpora}), {reseeds} seeds of each evaluation, in {seconds:.0f} s of CPU time. {machine}.

*Over evaluation seeds*: standard deviation of a figure of the same SAE over seeds of its evaluation, root mean square over
SAEs. *Over SAE seeds*: standard deviation over SAEs that differ in their init seed alone under one evaluation, root mean
square over corpora and evaluation seeds; it holds the noise of the evaluation as far as that differs from SAE to SAE.
For `seeds` these are not independent: its figures are of pairs that share SAEs, or of an SAE held against the others.
*Common*: the share of the variance over evaluation seeds that all SAEs have in common, which cancels where they are
contrasted. Where the ratio without what is common is above 1, more SAEs do not help a contrast: draw more examples or text.
[metrics.md](metrics.md) says what each figure means; the sizes are small, and the first spread falls with their root.
"""
HEADER = (
    "study", "figure", "drawn anew", "mean", "SAEs", "over evaluation seeds", "over SAE seeds", "ratio", "common", "says",
)  # fmt: skip


def main() -> None:
    """Do the studies again, and write the page, anew after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--reseeds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3, help="SAEs of each corpus and shape")
    parser.add_argument("--corpora", default="own,stdlib", help="whose SAEs")
    parser.add_argument("--studies", default=",".join(STUDIES), help="done again")
    parser.add_argument("--page", type=Path, default=PAGE)
    told = parser.parse_args()
    every = [sae for of in by_shape(find_saes([told.run / "saes"])).values() for sae in of]
    corpora = told.corpora.split(",")
    chosen = tuple(sae for sae in every if sae.corpus in corpora and sae.seed is not None and sae.seed < told.seeds)
    rows, seconds = list[tuple[str, ...]](), 0.0
    for name in told.studies.split(","):
        folders = [again(told.run, name, seed, chosen) for seed in range(told.reseeds)]
        rows += [line(name, folders, *figure) for figure in STUDIES[name].figures]
        seconds += sum(float((folder / SECONDS).read_text(encoding="utf-8")) for folder in folders)
        print(f"{name}: {seconds / 60:.1f} minutes of CPU time so far", flush=True)
        said = INTRODUCTION.format(
            run=told.run.name, saes=len(chosen), seeds=told.seeds, corpora=" and ".join(corpora),
            reseeds=told.reseeds, seconds=seconds, machine=machine(),
        )  # fmt: skip
        missing = [one for one in STUDIES if one not in {row[0] for row in rows}]
        undone = f"\nNot done: {', '.join(missing)}.\n" if missing else ""
        write_text(told.page, f"{said}\n{markdown_table(HEADER, rows)}\n{undone}")


def again(run: Path, name: str, seed: int, saes: tuple[TrainedSae, ...]) -> Path:
    """Where a study of some SAEs lies, done with a seed of everything that its evaluation draws."""
    study, told = KNOWN[name], dict(STUDIES[name].told)
    decides = digest([told, LABELS, LETTERS_SHOWN, [sae.sha256 for sae in saes]])[:8]
    out = run / "studies" / ".noise" / f"{name}-{seed}-{decides}"
    if not (out / SECONDS).exists():
        begun = time.process_time()
        if name == "absorption":
            told["labels"] = (kinds(out.parent / f"kinds-{LABELS}-{LETTERS_SHOWN}.csv"),)
        told |= study.told(seed=seed, panel_seed=seed)
        folders = tuple(sae.folder for sae in saes)
        study.load()(study.config(saes=folders, out=out, corpora=(run,), device="cpu", **told), silent)
        write_text(out / SECONDS, f"{time.process_time() - begun:.1f}")
    return out


def kinds(path: Path) -> Path:
    """Beginnings of embedded texts: code or prose, and which. The letters are too much for the embedded model."""
    if not path.exists():
        spec = resolve_model("tiny")
        embedded = EmbeddedText(lambda: load_tokenizer(spec.files, spec.hub_revision()), spec, 128)
        lines = StringIO(newline="")
        table = csv.writer(lines)
        table.writerow(("text", "parent", "child"))
        for source in ("stdlib", "prose"):
            found = embedded.excerpts(source)
            for one in found[:: max(1, 2 * len(found) // LABELS)][: LABELS // 2]:
                parent, _, child = str(RULES["kind"](one)).partition(MARK)
                table.writerow((one.shown.strip()[:LETTERS_SHOWN], parent, child))
        write_text(path, lines.getvalue())
    return path


def line(name: str, folders: list[Path], metric: str, other: str | None, parameter: float | None) -> tuple[str, ...]:
    """A line of the table: mean, number of SAEs, both spreads, their ratio, and what that says."""
    values = [read(folder, metric, other, parameter) for folder in folders]
    label = metric + (f", {other}" if other else "") + ("" if parameter is None else f", {parameter:g}")
    saes = sorted(set.intersection(*(set(one) for one in values)))
    if not saes:
        return (name, label, STUDIES[name].drawn, "–", "0", *["–"] * 4, "no SAE has the figure")
    table = np.array([[one[sae] for one in values] for sae in saes])
    over_reseeds = math.sqrt(table.var(1, ddof=1).mean())
    groups: dict[tuple[str, str], list[int]] = {}
    for place, (corpus, shape, _) in enumerate(saes):
        groups.setdefault((corpus, shape), []).append(place)
    over_seeds = math.sqrt(np.mean([table[places].var(0, ddof=1) for places in groups.values() if len(places) > 1]))
    common = shared(table, over_reseeds**2)
    many = f"{len(saes)} pairs" if len(saes[0][2]) > 1 else str(len(saes))
    ratio = over_reseeds / over_seeds if over_seeds else math.nan
    return (
        name, label, STUDIES[name].drawn, f"{table.mean():.4f}", many, f"{over_reseeds:.4f}", f"{over_seeds:.4f}",
        f"{ratio:.2f}", "–" if over_reseeds == 0 else f"{common:.0%}", verdict(ratio, common),
    )  # fmt: skip


def shared(table: np.ndarray, variance: float) -> float:
    """Share of the variance over evaluation seeds, [SAEs, seeds], that is common to all SAEs: analysis of variance."""
    many = len(table)
    if variance == 0 or many < 2:
        return 0.0
    apart = table - table.mean(1, keepdims=True)
    apart = apart - apart.mean(0)
    own = (apart**2).sum() / ((many - 1) * (table.shape[1] - 1))
    return float(np.clip(1 - own / variance, 0, 1))


def verdict(ratio: float, common: float) -> str:
    """What to draw more of where such figures are contrasted."""
    if ratio == 0:
        return "no draw touches it"
    left = ratio * math.sqrt(1 - common)
    if left > 1:
        return "draw more of the evaluation"
    return "train more seeds" if left < 0.5 else "both matter"


def read(folder: Path, metric: str, other: str | None, parameter: float | None) -> Values:
    """A figure of every SAE or pair of SAEs; of probes, the mean over the tasks that are not marked."""
    import polars as pl

    table = pl.read_parquet(folder / "results.parquet").filter(pl.col("value").is_not_null())
    if folder.name.startswith("probes"):
        tasks = [f"{metric}:{task}:f" for task in read_summary(folder / "summary.json")["unmarked"]]  # type: ignore[typeddict-item]
        table = table.filter(pl.col("metric").is_in(tasks))
    else:
        table = table.filter(pl.col("metric") == metric)
    if other == MATCHED:
        table = table.filter(pl.col("other") == pl.col("corpus"))
    else:
        table = table.filter(pl.col("other").is_null() if other is None else pl.col("other") == other)
    if parameter is not None:
        table = table.filter(pl.col("parameter") == parameter)
    found: dict[tuple[str, str, tuple[int, ...]], list[float]] = {}
    for one in table.iter_rows(named=True):
        seeds = tuple(seed for seed in (one["seed"], one["other_seed"]) if seed is not None)
        found.setdefault((one["corpus"], one["shape"], seeds), []).append(one["value"])
    return {sae: float(np.mean(values)) for sae, values in found.items()}


if __name__ == "__main__":
    main()

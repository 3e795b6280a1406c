"""The tables of `faithful study probes`, for the terminal and the report."""

from collections.abc import Sequence

from studies.common.tables import Table, cell, contrast_tables
from studies.probes.summary import ProbesSummary


def probes_tables(summary: ProbesSummary) -> list[Table]:
    """All tables of the study."""
    names = list(summary["corpora"])
    tables = [_tasks(summary), _on_each_task(summary, names), _means(summary, names)]
    return tables + contrast_tables(summary)


def _tasks(summary: ProbesSummary) -> Table:
    rows: list[tuple[str, ...]] = []
    for name, task in summary["tasks"].items():
        marks = ["ceiling: left out of the means"] if task["ceiling"] else []
        if task["train_groups"] is not None and task.get("folds_of") == "examples":
            marks.append("folds of examples: a class has one group")
        words = task.get("words")  # older studies lack it
        if words and words["accuracy"] >= task["baseline"]["accuracy"]:
            marks.append("words alone tell as much")
        tested = {corpus: sides["test"] for corpus, sides in task["overlap"].items()}
        shared = ", ".join(f"{corpus} {one['texts']}/{one['grams']}" for corpus, one in tested.items())
        rows.append(
            (
                name,
                str(len(task["labels"])),
                f"{task['train']} / {task['test']}",
                f"{task['majority']:.3f}",
                cell({"value": words["accuracy"], "ci95": words["accuracy_ci95"]}, 3) if words else "–",
                cell({"value": task["baseline"]["accuracy"], "ci95": task["baseline"]["accuracy_ci95"]}, 3),
                "; ".join(marks),
                shared or "–",
            )
        )
    header = ("task", "classes", "train / test", "majority", "words alone", "activations h", "mark", "in training text")
    title = (
        "Tasks: accuracy of words alone and on the activations, 95 % interval over test examples; test examples that stand in"
        " a corpus' training text as a whole / by 13 tokens in a row"
    )
    return Table(title, header, rows)


def _on_each_task(summary: ProbesSummary, names: Sequence[str]) -> Table:
    rows: list[tuple[str, ...]] = []
    for task, found in summary["by_task"].items():
        for label, input_ in (("codes f", "f"), ("reconstructions ĥ", "h_hat")):
            rows.append((task, label, *(cell(found[name][input_]["accuracy"][-1], 3) for name in names)))
        if summary["tasks"][task]["baseline"]["k_sparse"]:
            for at, one in enumerate(found[names[0]]["k_sparse"]):
                values = (cell(found[name]["k_sparse"][at], 3) for name in names if at < len(found[name]["k_sparse"]))
                rows.append((task, f"best {one['k']} latents", *values))
        for key, title in (("saebench", "SAEBench's"), ("saebench_bos", "SAEBench's with BOS")):
            for at, one in enumerate(found[names[0]].get(key, [])):
                values = (cell(found[name][key][at], 3) for name in names if at < len(found[name][key]))
                rows.append((task, f"{title}, {one['k']} latents", *values))
    title = f"Accuracy on each task, {summary['shape']}: mean over seeds, 95 % interval"
    return Table(title, ("task", "probe on", *names), rows)


def _means(summary: ProbesSummary, names: Sequence[str]) -> Table:
    first = summary["corpora"][names[0]]
    metrics = [metric for metric in first if ":" not in metric]
    rows: list[tuple[str, ...]] = [
        (metric, *(cell(summary["corpora"][name].get(metric), 4) for name in names)) for metric in metrics
    ]
    title = f"Means over {', '.join(summary['unmarked']) or 'no task: all are at their ceiling'}"
    return Table(title, ("metric", *names), rows)

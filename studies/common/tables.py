"""The tables of a study's headline contrasts: whole, and on each part of the panel or each task, for terminal and report."""

from collections.abc import Mapping, Sequence
from typing import Any

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def contrast_tables(summary: Mapping[str, Any]) -> list[Table]:
    """The headline contrasts, and below them what each is on each part alone; none where there are none."""
    entries = [one for one in summary["contrasts"] if one["headline"] and one["difference"] is not None]
    if not entries:
        return []
    on_text = any(one.get("text") for one in entries)
    drawn = any(one.get("error_drawn") is not None for one in entries)
    header = ["corpora", *(["text"] if on_text else []), "difference", "95 % interval"]
    header += [*(["± seeds", "± drawn"] if drawn else []), "p (Holm)", "verdict"]
    rows = []
    for one in entries:
        row = [f"{one['a']} − {one['b']}", *([one["text"]] if on_text else []), *_sizes(one)]
        row += [*([_error(one["error_seeds"]), _error(one["error_drawn"])] if drawn else []), p_of(one["p_holm"])]
        rows.append((*row, one["verdict"]))
    metric = entries[0]["metric"].removesuffix(f"_{entries[0].get('text')}")
    title = f"{metric}: contrasts"
    if on_text:
        title += "; " + ", ".join(f"{text} text is that of {', '.join(of)}" for text, of in summary["texts"].items())
    if drawn:
        title += "; ±: standard errors, of the seeds and of the examples or contexts drawn, both within the interval"
    tables: list[Table] = [(title, tuple(header), rows)]
    parts = part_rows(entries)
    if parts:
        header = ["corpora", "on", "difference", "95 % interval", "p (Holm)", "verdict"]
        tables.append((f"{metric}: the same one by one, corrected together", tuple(header), parts))
    return tables


def part_rows(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Each contrast on each part alone, once for each two corpora."""
    rows = {}
    for one in entries:
        for name, part in one.get("parts", {}).items():
            said = (p_of(part["p_holm"]), part["verdict"])
            rows[one["a"], one["b"], name] = (f"{one['a']} − {one['b']}", name, *_sizes(part), *said)
    return list(rows.values())


def p_of(value: float | None) -> str:
    """A p for a table."""
    return "–" if value is None else "< 0.0001" if value < 1e-4 else f"{value:.3g}"


def _sizes(found: Mapping[str, Any]) -> tuple[str, str]:
    difference, ends = found["difference"], found["ci95"]
    size = "–" if difference is None else f"{difference:+.4f}".replace("-", "−")
    return size, "–" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}".replace("-", "−")


def _error(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"

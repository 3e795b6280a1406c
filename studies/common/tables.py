"""Tables for the terminal, the report and the cards: what a table is, its cells, and the tables of a study's contrasts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studies.statistics.numbers import NONE, fixed, listed, p_of, span
from studies.statistics.sentences import ABOVE_TRUTH, AS_GOOD, NOT_SHOWN, ORACLE, standing

MARKS = {AS_GOOD: "\u00a0‡", NOT_SHOWN: "\u00a0†", ABOVE_TRUTH: "\u00a0§"}


@dataclass(frozen=True)
class Table:
    """One table; nothing but text.

    Attributes:
        title: what stands above it, "" for nothing.
        header: of its columns.
        rows: as long as the header each.
    """

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


def cell(value: Any, digits: int = 4) -> str:
    """A figure with its interval, `0.5000 (0.4 to 0.6)`, or a number."""
    if not isinstance(value, Mapping):
        return fixed(value, digits)
    if value.get("value") is None:
        return NONE
    return fixed(value["value"], digits) + (f" ({span(value['ci95'], digits)})" if value["ci95"] else "")


def plus_minus(value: float | None, ends: Sequence[float] | None, digits: int = 4, sign: bool = False) -> str:
    """A figure with half its interval, `0.5000 ± 0.1000`, in one piece."""
    half = fixed((ends[1] - ends[0]) / 2, digits) if ends and value is not None else ""
    return fixed(value, digits, sign) + (f"\u00a0±\u00a0{half}" if half else "")


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
        row = [f"{one['a']} − {one['b']}", *([one["text"]] if on_text else []), *sizes(one)]
        row += [*([fixed(one["error_seeds"]), fixed(one["error_drawn"])] if drawn else []), p_of(one["p_holm"])]
        rows.append((*row, one["verdict"]))
    metric = entries[0]["metric"].removesuffix(f"_{entries[0].get('text')}")
    title = f"{metric}: contrasts"
    if on_text:
        title += "; " + ", ".join(f"{text} text is that of {', '.join(of)}" for text, of in summary["texts"].items())
    if drawn:
        title += "; ±: standard errors, of the seeds and of the examples or contexts drawn, both within the interval"
    tables = [Table(title, tuple(header), rows)]
    if parts := _part_rows(entries):
        header = ["corpora", "on", "difference", "95 % interval", "p (Holm)", "verdict"]
        tables.append(Table(f"{metric}: the same one by one, corrected together", tuple(header), parts))
    return tables


def control_tables(summary: Mapping[str, Any]) -> list[Table]:
    """Each figure of trained SAEs beside those of their controls; none where the study has none."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for one in summary.get("beside", ()):
        of, found = one["of_control"], rows.setdefault((one["metric"], one["corpus"]), {})
        found["trained"] = plus_minus(one["trained"]["value"], one["trained"]["ci95"])
        found[one["control"]] = plus_minus(of["value"], of["ci95"]) + MARKS.get(standing(one), "")
    names = list(dict.fromkeys(name for found in rows.values() for name in found))
    drawn = {one["metric"]: 0 for one in summary.get("beside", ()) if "error_drawn" in one["trained"]}
    over = f", of {listed(list(drawn))} over the examples or contexts drawn too" if drawn else ""
    title = f"Trained SAEs and their controls, 95 % interval over seeds{over}; " + "; ".join(
        f"{mark.strip()}: {state}" for state, mark in MARKS.items() if state != ABOVE_TRUTH or ORACLE in names
    )
    cells = [(*place, *(found.get(name, NONE) for name in names)) for place, found in rows.items()]
    return [Table(title, ("metric", "corpus", *names), cells)] if rows else []


def _part_rows(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Each contrast on each part alone, once for each two corpora."""
    rows = {}
    for one in entries:
        for name, part in one.get("parts", {}).items():
            said = (p_of(part["p_holm"]), part["verdict"])
            rows[one["a"], one["b"], name] = (f"{one['a']} − {one['b']}", name, *sizes(part), *said)
    return list(rows.values())


def sizes(found: Mapping[str, Any]) -> tuple[str, str]:
    """A contrast's difference and its interval."""
    return fixed(found["difference"], sign=True), span(found["ci95"], 4)

"""Numbers, intervals and p as sentences, tables and the report show them; `–` where there is none."""

from collections.abc import Iterable, Sequence

ALPHA = 0.05
NONE = "–"
SMALLEST_P = 1e-4


def plain(value: float | None, sign: bool = False) -> str:
    """Four digits; whole numbers with all of theirs."""
    if value is None:
        return NONE
    return format(value, f"{'+' if sign else ''}{',d' if isinstance(value, int) else '.4g'}").replace("-", "−")


def fixed(value: float | None, digits: int = 4, sign: bool = False) -> str:
    """So many digits after the point."""
    return NONE if value is None else format(value, f"{'+' if sign else ''}.{digits}f").replace("-", "−")


def span(ends: Sequence[float] | None, digits: int | None = None) -> str:
    """An interval: `0.12 to 0.34`."""
    if ends is None:
        return NONE
    return " to ".join(plain(end) if digits is None else fixed(end, digits) for end in ends)


def p_of(p: float | None, smallest: float = SMALLEST_P) -> str:
    """Two digits, or as many as keep a p from being rounded onto α."""
    if p is None or p < smallest:
        return NONE if p is None else f"< {smallest:.4f}" if smallest >= SMALLEST_P else f"< {smallest:g}"
    texts = (f"{p:.{digits}g}" for digits in range(2, 18))
    return next(text for text in texts if float(text) != ALPHA or p == ALPHA)


def listed(parts: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *head, last = parts
    return f"{', '.join(head)} and {last}" if head else last

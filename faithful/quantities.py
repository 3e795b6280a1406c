"""Counts, sizes and times as people write and read them."""

import re
from decimal import Decimal

from faithful.errors import FaithfulError

_SUFFIX = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}


def parse_count(text: str | int) -> int:
    """`20000`, `20_000`, `20k`, `1.5M`, `1e8` → a positive whole number.

    Raises:
        FaithfulError: not a number, not whole, or not positive.
    """
    match = re.fullmatch(r"\s*([0-9][0-9_,]*\.?[0-9]*(?:e\+?[0-9]+)?)\s*([kmbgt]?)\s*", str(text).lower())
    if match:
        value = Decimal(match[1].replace("_", "").replace(",", "")) * _SUFFIX[match[2]]
        if 1 <= value < 10**15 and value == int(value):
            return int(value)
    raise FaithfulError(f"'{text}' is not a positive whole number; write it like 20000, 20k, 100M or 1e8.")


def format_count(value: float) -> str:
    """12345678 → `12.3M`; exact below 10,000."""
    if abs(value) < 10_000:
        return f"{value:,.0f}"
    for limit, suffix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * limit:
            return f"{value / limit:.3g}{suffix}"
    raise AssertionError("unreachable")


def format_bytes(value: float) -> str:
    """Bytes in binary units: 3145728 → `3.0 MiB`."""
    for suffix in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} B" if suffix == "B" else f"{value:.1f} {suffix}"
        value /= 1024
    return f"{value:.1f} TiB"


def format_seconds(value: float) -> str:
    """Seconds as `45 s`, `3 min 20 s`, `2 h 05 min` or `3.1 days`."""
    if value < 1:
        return f"{value:.1f} s"
    seconds = round(value)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds / 86400:.1f} days"


def parse_numbers(text: str | None, option: str) -> tuple[float, ...]:
    """Numbers of a list-valued option: `0.7,0.85,1` → (0.7, 0.85, 1.0); nothing for None.

    Raises:
        FaithfulError: something in it is no number.
    """
    try:
        return tuple(float(part) for part in (text or "").split(",") if part.strip())
    except ValueError:
        raise FaithfulError(f"'{text}' is no list of numbers; write {option} 0.7,0.85,1.") from None


def parse_integers(text: str | None, option: str) -> tuple[int, ...]:
    """Whole numbers of a list-valued option, ranges included: `0-2,42` → (0, 1, 2, 42); nothing for None.

    Raises:
        FaithfulError: something in it is neither a number nor a range.
    """
    found: list[int] = []
    for part in filter(None, (piece.strip() for piece in (text or "").split(","))):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or (dash and int(last) < int(first)):
            raise FaithfulError(f"'{text}' is no list of whole numbers; write {option} 0-5 or {option} 0,1,42.")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)

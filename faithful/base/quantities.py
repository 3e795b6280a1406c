"""Counts, sizes and times as people write and read them."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError

LARGEST = 2**63 - 1
MOST_LISTED = 10_000
LONGEST = 40
_SUFFIX = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
_WHOLE = r"(?:[0-9]+|[0-9]{1,3}(?:_[0-9]{3})+|[0-9]{1,3}(?:,[0-9]{3})+)"


def parse_count(text: str | int) -> int:
    """`20000`, `20_000`, `20,000`, `20k`, `1.5M`, `1e8` → a positive whole number. A comma is never a decimal point.

    Raises:
        FaithfulError: not a number, not whole, or not positive.
    """
    typed = _short(text)
    match = re.fullmatch(rf"\s*({_WHOLE}(?:\.[0-9]*)?(?:e\+?[0-9]{{1,3}})?)\s*([kmbgt]?)\s*", typed.lower())
    if match:
        value = Decimal(match[1].replace("_", "").replace(",", "")) * _SUFFIX[match[2]]
        if 1 <= value < 10**15 and value == int(value):
            return int(value)
    raise FaithfulError(
        f"'{typed}' is not a positive whole number below 10¹⁵; write it like 20000, 20,000, 20k, 1.5M or 1e8."
    )


@dataclass(frozen=True)
class Part:
    """One of the parts that work is shared out to, as `3/16`: they are numbered from 0, as jobs of `--array=0-15` are."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def run_of(self, count: int) -> range:
        """Its places among `count`, which lie together: all parts have equally many, or one more."""
        return range(self.number * count // self.of, (self.number + 1) * count // self.of)


def parse_part(text: str) -> Part:
    """`3/16` → part 3 of the parts 0 to 15.

    Raises:
        FaithfulError: no part, or one that there is not.
    """
    match = re.fullmatch(r"\s*([0-9]{1,9})/([0-9]{1,9})\s*", text)
    if not match:
        raise FaithfulError(f"'{_short(text)}' is no part; write --part 3/16 for one of the parts 0/16 to 15/16.")
    number, of = int(match[1]), int(match[2])
    if number >= of:
        there = f"{of} parts are 0/{of} to {of - 1}/{of}" if of else "there must be one at least"
        raise FaithfulError(f"There is no part {number}/{of}: parts are numbered from 0, so {there}.")
    return Part(number, of)


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
        found = tuple(float(part) for part in (text or "").split(",") if part.strip())
    except ValueError:
        found = (math.nan,)
    if not all(map(math.isfinite, found)):
        raise FaithfulError(f"'{_short(text)}' is no list of numbers; write {_example(option, '0.7,0.85,1')}.")
    return found


def parse_integers(text: str | None, option: str) -> tuple[int, ...]:
    """Whole numbers of a list-valued option, ranges included: `0-2,42` → (0, 1, 2, 42); nothing for None.

    Raises:
        FaithfulError: something in it is neither a number of 64 bits nor a range, or they are more than 10,000.
    """
    found: list[int] = []
    for part in filter(None, (piece.strip() for piece in (text or "").split(","))):
        first, dash, last = part.partition("-")
        ends = [first.strip(), last.strip()] if dash else [first, first]
        if not all(re.fullmatch(r"[0-9]{1,19}", end) and int(end) <= LARGEST for end in ends) or int(ends[1]) < int(
            ends[0]
        ):
            told = f"{_example(option, '0-5')} or {_example(option, '0,1,42')}"
            raise FaithfulError(f"'{_short(text)}' is no list of whole numbers; write {told}.")
        if int(ends[1]) - int(ends[0]) >= MOST_LISTED - len(found):
            raise FaithfulError(
                f"'{_short(text)}' lists more than {MOST_LISTED:,} numbers; write fewer, like {_example(option, '0-5')}."
            )
        found += range(int(ends[0]), int(ends[1]) + 1)
    return tuple(found)


def _example(option: str, value: str) -> str:
    """How a value is stated: `--seeds 0-5`, `--set ks=0-5`, in TOML `seeds = "0-5"`."""
    if option.endswith(" = "):
        return f'{option}"{value}"'
    return option + value if option.endswith("=") else f"{option} {value}"


def per_second(count: float, seconds: float) -> float | None:
    """A rate to one decimal; None where the clock stood still or was set back."""
    return round(count / seconds, 1) if seconds > 0 else None


def check_stated(config: Any) -> None:
    """Refuse values of a configuration that no command can work with, before any work.

    Raises:
        FaithfulError: a whole number of more than 64 bits, a number that is not finite, a negative seed, or a name or path
            with a NUL character in it.
    """
    for field in fields(config):
        _check_value(f"--{field.name.replace('_', '-')}", getattr(config, field.name))


def _check_value(option: str, value: Any) -> None:
    if isinstance(value, tuple | list):
        for one in value:
            _check_value(option, one)
    elif isinstance(value, Mapping):
        for one in value.values():
            _check_value(option, one)
    elif is_dataclass(value) and not isinstance(value, type):
        check_stated(value)
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise FaithfulError(f"{option} is a number of more than 64 bits; state one below 2⁶³.")
    elif isinstance(value, int) and value < 0 and option.endswith(("seed", "seeds")):
        raise FaithfulError(f"{option} must not be negative.")
    elif isinstance(value, float) and not math.isfinite(value):
        raise FaithfulError(f"{option} is {value}; state a finite number.")
    elif isinstance(value, str | Path) and "\0" in str(value):
        raise FaithfulError(f"{option} {_short(ascii(str(value)))} holds a NUL character; leave it out.")


def _short(text: Any) -> str:
    """What was typed, as far as it can be quoted."""
    typed = str(text) if not isinstance(text, int) or abs(text) < 10**LONGEST else "a number of many digits"
    return typed if len(typed) <= LONGEST else f"{typed[: LONGEST - 1]}…"

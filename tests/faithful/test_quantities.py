"""Numbers as people write and read them."""

import pytest

from faithful.errors import FaithfulError
from faithful.quantities import format_bytes, format_count, format_seconds, parse_count


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("20000", 20_000), ("20_000", 20_000), ("20,000", 20_000), ("20k", 20_000), ("20K", 20_000),
        ("100M", 10**8), ("1e8", 10**8), ("1E8", 10**8), ("1e+8", 10**8), ("2.5e3", 2500), ("1.5M", 1_500_000),
        ("2.3M", 2_300_000), ("1.1k", 1100), ("4.35M", 4_350_000), ("1.001G", 1_001_000_000), ("1b", 10**9),
        ("1T", 10**12), (" 7 k ", 7000), (20_000, 20_000), ("99999999999999", 99_999_999_999_999),
    ],
)  # fmt: skip
def test_counts_that_are_understood(text: str | int, value: int) -> None:
    assert parse_count(text) == value
    assert isinstance(parse_count(text), int)


@pytest.mark.parametrize(
    "text",
    ["", "0", "-5", "abc", "1.5", "0.5k0", "1e-3", "1kk", "k", "nan", "inf", "1e400", "1e15", "1 2", "0.0001k", "12x"],
)
def test_counts_that_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(FaithfulError) as caught:
        parse_count(text)
    assert "20k" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (9_999, "9,999"), (10_000, "10k"), (12_345_678, "12.3M"), (2.776e9, "2.78B"), (3e12, "3T")],
)
def test_counts_as_shown(value: float, text: str) -> None:
    assert format_count(value) == text


@pytest.mark.parametrize("value", [999_950, 99_950_000, 999_999_999])
def test_counts_at_a_limit_are_not_shown_as_powers_of_ten(value: float) -> None:
    assert "e" not in format_count(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3_145_728, "3.0 MiB"), (2**40, "1.0 TiB"), (2**42, "4.0 TiB")],
)
def test_bytes_as_shown(value: float, text: str) -> None:
    assert format_bytes(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.25, "0.2 s"), (45, "45 s"), (59.7, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"),
        (3599.6, "1 h 00 min"), (267_840, "3.1 days"),
    ],
)  # fmt: skip
def test_seconds_as_shown(value: float, text: str) -> None:
    assert format_seconds(value) == text

"""Numbers as people write and read them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.quantities import (
    Part,
    check_stated,
    format_bytes,
    format_count,
    format_seconds,
    parse_count,
    parse_integers,
    parse_numbers,
    parse_part,
    per_second,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("20000", 20_000), ("20_000", 20_000), ("20,000", 20_000), ("20k", 20_000), ("20K", 20_000),
        ("100M", 10**8), ("1e8", 10**8), ("1E8", 10**8), ("1e+8", 10**8), ("2.5e3", 2500), ("1.5M", 1_500_000),
        ("2.3M", 2_300_000), ("1.1k", 1100), ("4.35M", 4_350_000), ("1.001G", 1_001_000_000), ("1b", 10**9),
        ("1T", 10**12), (" 7 k ", 7000), (20_000, 20_000), ("99999999999999", 99_999_999_999_999),
        ("1,234,567", 1_234_567), ("1_234_567", 1_234_567), ("1,234.5k", 1_234_500), ("5.", 5),
    ],
)  # fmt: skip
def test_counts_that_are_understood(text: str | int, value: int) -> None:
    assert parse_count(text) == value
    assert isinstance(parse_count(text), int)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-5",
        "abc",
        "1.5",
        "0.5k0",
        "1e-3",
        "1kk",
        "k",
        "nan",
        "inf",
        "1e400",
        "1e15",
        "1 2",
        "0.0001k",
        "12x",
        "1e" + "9" * 40,
        "1e99999999999",
        "9" * 5000,
        "²",
        "1" * 30 + "e0",
        "1,5M",
        "1,5",
        "1,50M",
        "1234,567",
        "1,2345",
        "1_5",
        "1,000_000",
        "1,",
        "1,,000",
    ],
)
def test_counts_that_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(FaithfulError) as caught:
        parse_count(text)
    assert "1.5M" in str(caught.value) and len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["²", "0-²", "٣", "-1", "5-3", "1-", "a", "0-99999999999", "9" * 5000, str(2**63), "0-9999,0-9999", "1.5", "1--2"],
)
def test_lists_of_whole_numbers_that_are_refused_at_once(text: str) -> None:
    with pytest.raises(FaithfulError, match="--seeds 0-5") as caught:
        parse_integers(text, "--seeds")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_lists_of_whole_numbers_that_are_understood() -> None:
    assert parse_integers("0-2, 42", "--seeds") == (0, 1, 2, 42)
    assert parse_integers(str(2**63 - 1), "--seeds") == (2**63 - 1,)
    assert parse_integers(None, "--seeds") == parse_integers("", "--seeds") == ()
    assert len(parse_integers("0-9999", "--seeds")) == 10_000


@pytest.mark.parametrize("text", ["nan", "0.5,inf", "1e999", "x", "1;2"])
def test_lists_of_numbers_that_are_refused(text: str) -> None:
    with pytest.raises(FaithfulError, match="is no list of numbers"):
        parse_numbers(text, "--weights")


@dataclass(frozen=True)
class Config:
    tokens: int | None = None
    lr: float = 0.1
    seed: int = 0
    seeds: tuple[int, ...] = ()
    out: Path | None = None
    names: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"tokens": 10**30}, "--tokens is a number of more than 64 bits"),
        ({"seed": 2**63}, "--seed is a number of more than 64 bits"),
        ({"seed": 10**6000}, "more than 64 bits"),
        ({"seeds": (0, 2**64)}, "--seeds is a number of more than 64 bits"),
        ({"seeds": (0, -1)}, "--seeds must not be negative"),
        ({"lr": float("nan")}, "--lr is nan"),
        ({"lr": float("inf")}, "--lr is inf"),
        ({"out": Path("a\0b")}, "--out .* NUL"),
        ({"names": ("a", "b\0")}, "--names .* NUL"),
    ],
)
def test_what_no_command_can_work_with_is_refused_before_work(stated: dict[str, Any], said: str) -> None:
    check_stated(Config(tokens=2**63 - 1, seeds=(0, 1)))
    with pytest.raises(FaithfulError, match=said) as caught:
        check_stated(Config(**stated))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_a_clock_that_stands_still_gives_no_rate() -> None:
    assert per_second(30, 4) == 7.5
    assert per_second(30, 0) is None and per_second(30, -1) is None


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


def test_parts_are_numbered_from_0() -> None:
    assert parse_part(" 3/16") == Part(3, 16) and str(Part(3, 16)) == "3/16"
    runs = [Part(number, 4).run_of(10) for number in range(4)]
    assert [place for run in runs for place in run] == list(range(10)) and {len(run) for run in runs} == {2, 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("17/16", "no part 17/16: parts are numbered from 0, so 16 parts are 0/16 to 15/16"),
        ("16/16", "no part 16/16"), ("0/0", "one at least"), ("3", "is no part; write --part 3/16"), ("-1/4", "is no part"),
        ("1/4/2", "is no part"), ("a/b", "is no part"), ("1" * 60, "is no part"),
    ],
)  # fmt: skip
def test_what_is_no_part_is_refused(text: str, said: str) -> None:
    with pytest.raises(FaithfulError, match=said):
        parse_part(text)

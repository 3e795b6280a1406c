import pytest

from studies.statistics.numbers import fixed, listed, p_of, plain, span


def test_what_is_not_there_is_a_dash() -> None:
    assert [plain(None), fixed(None), span(None), p_of(None)] == ["–"] * 4


def test_numbers_have_a_minus_sign_and_as_many_digits_as_said() -> None:
    assert [plain(-0.123456), plain(1234567), plain(0.5, sign=True)] == ["−0.1235", "1,234,567", "+0.5"]
    assert [fixed(-0.5), fixed(0.25, 3, sign=True), fixed(2)] == ["−0.5000", "+0.250", "2.0000"]
    assert span([-0.1, 0.25]) == "−0.1 to 0.25" and span([-0.1, 0.25], 3) == "−0.100 to 0.250"


@pytest.mark.parametrize(
    ("p", "smallest", "said"),
    [(0.04996, 1e-4, "0.04996"), (0.05, 1e-4, "0.05"), (0.0123, 1e-4, "0.012"), (3e-5, 1e-4, "< 0.0001"),
     (3e-9, 1e-12, "3e-09"), (3e-13, 1e-12, "< 1e-12")],
)  # fmt: skip
def test_a_p_is_never_rounded_onto_alpha(p: float, smallest: float, said: str) -> None:
    assert p_of(p, smallest) == said


def test_lists_in_words() -> None:
    assert [listed(["a"]), listed(iter("ab")), listed("abc")] == ["a", "a and b", "a, b and c"]

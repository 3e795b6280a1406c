"""Which columns of a source say what of samples, and what their rows may not say."""

from collections.abc import Iterator
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from generation.sources.samples import (
    Samples,
    Wanted,
    count_of,
    find_columns,
    ids_column,
    refuse_ids_as_text,
    refuse_other,
)


def found(row: dict[str, Any], wanted: Wanted, rows: list[dict[str, Any]] | None = None) -> Samples:
    def opened(columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        return ({name: one.get(name) for name in columns} for one in rows or [row])

    return find_columns(wanted, list(row), row, opened, "here")


def test_columns_are_found_by_their_usual_names() -> None:
    row = {"token_ids": [5], "finish_reason": "stop", "prompt_token_ids": [0], "temp": 1.0, "model": "a", "tokens": 3}
    samples = found(row, Wanted(ids=True))
    assert (samples.finish_reason, samples.prompt_ids, samples.count) == ("finish_reason", "prompt_token_ids", None)
    assert samples.model == ("model", "a") and samples.stated == (("temperature", "temp"),)
    assert samples.columns() == ("finish_reason", "prompt_token_ids", "model", "temp")
    assert samples.identity()["stated"] == [["temperature", "temp"]] and "count" not in samples.identity()


def test_the_largest_count_says_where_texts_were_cut_unless_that_is_declared() -> None:
    rows: list[dict[str, Any]] = [{"text": "a", "tokens": 3}, {"text": "b", "tokens": None}, {"text": "c", "tokens": 7}]
    assert found(rows[0], Wanted(), rows).longest == 7
    assert found(rows[0], Wanted(longest=9), rows).longest == 9
    assert found({"text": "a"}, Wanted()).longest is None


def test_the_column_of_the_ids() -> None:
    assert ids_column(["a", "output_ids"], None, "here") == "output_ids"
    assert ids_column(["a", "output_ids"], ("a",), "here") == "a"
    for columns, message in ((("a", "b"), "stand in one column"), (("z",), "no column 'z' of token ids; it has a")):
        with pytest.raises(FaithfulError, match=message):
            ids_column(["a"], columns, "here")


def test_a_count_is_a_whole_number_however_it_is_written() -> None:
    assert [count_of(value) for value in (7, 7.0, "7", "7.0", 0)] == [7, 7, 7, 7, 0]
    for value in (None, True, 7.5, "", "many", float("nan"), float("inf"), 10**400, 1e30, -3, [7]):
        assert count_of(value) is None


@pytest.mark.parametrize("value", [-1, 0, None, "-1", ""])
def test_top_k_that_is_off_has_several_spellings(value: int | str | None) -> None:
    refuse_other(Samples(True, stated=(("top_k", "top_k"),)), {"top_k": 0}, {"top_k": value}, "it")


@pytest.mark.parametrize(("value", "declared"), [(50, 0), (0.7, 1.0), ("hot", 1.0), (True, 1.0), (10**400, 50)])
def test_another_sampling_than_the_declared_one_is_refused(value: Any, declared: float) -> None:
    with pytest.raises(FaithfulError, match="says its row"):
        refuse_other(Samples(True, stated=(("top_k", "k"),)), {"top_k": declared}, {"k": value}, "it")


@pytest.mark.parametrize("text", ["[1] a footnote", "[1]", "[a, b]", "1, 2", "[1.5, 2]", "", "[" * 9999, None])
def test_a_text_with_brackets_is_a_text(text: str | None) -> None:
    refuse_ids_as_text(text, "text", "here")


def test_a_list_of_numbers_is_no_text() -> None:
    with pytest.raises(FaithfulError, match="written as text, such as '\\[17, 4, 9\\]'"):
        refuse_ids_as_text(" [17, 4, 9]".strip(), "text", "here")

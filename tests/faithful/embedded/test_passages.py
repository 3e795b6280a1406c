"""Source files cut into passages: at borders, nothing lost, nothing too long."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from faithful.embedded.passages import all_passages, blocks, cut, normalised
from faithful.models.presets import tiny_path

CODE = (
    '''import os


@decorated
def first():
    return 1

class Second:
    def method(self):
        pass


VALUE = "'''
    + "long " * 120
    + """"
"""
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(Path(tiny_path()) / "tokenizer.json"))


def test_blocks_joined_give_the_file_and_begin_where_a_reader_would() -> None:
    found = list(blocks(CODE))
    assert "".join(found) == CODE
    assert [block.strip().split("\n")[0] for block in found] == [
        "import os", "@decorated", "class Second:", "def method(self):", found[-1].strip(),
    ]  # fmt: skip


@pytest.mark.parametrize("limit", [8, 40, 127])
def test_passages_hold_every_token_once_and_end_at_a_border_or_at_the_limit(tokenizer: Tokenizer, limit: int) -> None:
    passages = cut(CODE, tokenizer, eos_id=0, limit=limit)
    assert all(len(one.token_ids) <= limit for one in passages)
    assert all((one.token_ids[-1] == 0) == one.complete for one in passages)
    assert all(len(one.token_ids) == limit for one in passages if not one.complete)
    assert "".join("".join(one.text for one in passages).split()) == "".join(CODE.split())
    texts = [tokenizer.decode([i for i in one.token_ids if i]) for one in passages]
    assert [text.strip() for text in texts] == [one.text.strip() for one in passages]


def test_files_are_cut_in_the_order_given_and_empty_ones_give_nothing(tokenizer: Tokenizer) -> None:
    both = all_passages([CODE, "\n\n", "x = 1\n"], tokenizer, 0)
    assert both == [*cut(CODE, tokenizer, 0), *cut("x = 1\n", tokenizer, 0)]


def test_white_space_does_not_tell_passages_apart() -> None:
    assert normalised(" a\n\n  b\t") == "a b"

"""Token rows: the prefix of a corpus, its contexts, what is special in them, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from faithful.store.contexts import aligned, packed, packed_starts
from faithful.store.corpus import Corpus
from faithful.store.token_rows import TokenRows, plan_tokens, special_ids
from tests.own import write_external

Models = Callable[[str], tuple[ModelSpec, Any]]
CONTEXT = 12


def documents(spec: ModelSpec, count: int, seed: int = 0, longest: int = 40) -> list[np.ndarray]:
    """Random documents of 1 to `longest` tokens; about half end with an end-of-text."""
    rng = np.random.default_rng(seed)
    found = []
    for length in rng.integers(1, longest, count):
        ids = rng.integers(5, spec.mapped - 1, length)
        if rng.random() < 0.5 and spec.eos_ids:
            ids[-1] = spec.eos_ids[-1]
        found.append(ids)
    return found


@pytest.fixture(scope="module")
def corpus(
    family_model: Models, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ModelSpec, list[np.ndarray], Corpus]:
    spec, _ = family_model("gpt_neox")
    texts = documents(spec, 60)
    folder = write_external(tmp_path_factory.mktemp("rows") / "c", spec, {"train": texts, "test": texts[:7]})
    return spec, texts, Corpus(folder)


def all_rows(rows: TokenRows, seed: int | None = None, epoch: int = 0) -> list[list[int]]:
    order = rows.ordered(seed, epoch)
    assert len(order.kept) == len(order.stored)
    assert seed is not None or len(order.kept) == rows.count
    assert rows.layout == "packed" or len(order.kept) == rows.count
    found = order.rows(0, len(order.kept))
    assert [int(rows.ordinary[row].sum()) for row in found] == order.kept.tolist()
    return [row.tolist() for row in found]


def test_contexts_are_those_of_the_definition(corpus: tuple[ModelSpec, list[np.ndarray], Corpus]) -> None:
    spec, texts, opened = corpus
    expected = [row.tolist() for row in aligned(texts, CONTEXT, spec.bos_id)]
    assert all_rows(TokenRows(opened, spec, CONTEXT)) == expected
    expected = [row.tolist() for row in packed(texts, CONTEXT, spec.bos_id, spec.eos_ids)]
    assert all_rows(TokenRows(opened, spec, CONTEXT, "packed")) == expected


@pytest.mark.parametrize("layout", ["aligned", "packed"])
def test_whole_documents_are_shuffled_by_seed_and_epoch(
    corpus: tuple[ModelSpec, list[np.ndarray], Corpus], layout: str
) -> None:
    spec, texts, opened = corpus
    rows = TokenRows(opened, spec, CONTEXT, layout)
    shuffled = all_rows(rows, 0)
    assert shuffled == all_rows(rows, 0)
    assert len({str(all_rows(rows, *key)) for key in ((None,), (0,), (1,), (0, 1), (1, 1))}) == 5
    order = np.random.default_rng([0, 0]).permutation(len(texts))
    mixed = [texts[i] for i in order]
    if layout == "aligned":
        assert sorted(shuffled) == sorted(all_rows(rows))
        expected = aligned(mixed, CONTEXT, spec.bos_id)
    else:
        expected = packed(mixed, CONTEXT, spec.bos_id, spec.eos_ids)
    assert shuffled == [row.tolist() for row in expected]


def test_every_context_has_one_bos_and_its_id_may_be_0(corpus: tuple[ModelSpec, list[np.ndarray], Corpus]) -> None:
    spec, texts, opened = corpus
    assert spec.bos_id == 0
    for layout in ("aligned", "packed"):
        for row in TokenRows(opened, spec, CONTEXT, layout).ordered(3).rows(0, 20):
            assert row[0] == 0
    row = TokenRows(opened, spec, CONTEXT).ordered(None).rows(0, 1)[0]
    assert row[1] == texts[0][0] != 0


def test_a_plan_counts_what_contexts_reach(corpus: tuple[ModelSpec, list[np.ndarray], Corpus]) -> None:
    spec, texts, opened = corpus
    total = sum(len(text) for text in texts)
    plan = plan_tokens(opened, CONTEXT, "aligned")
    usable = sum(min(len(text), CONTEXT - 1) for text in texts)
    assert plan == (usable, total - usable, len(texts))
    for context in (2, 3, CONTEXT, 90):
        plan = plan_tokens(opened, context, "packed")
        rows = TokenRows(opened, spec, context, "packed")
        order = rows.ordered(None)
        stored = np.zeros(0, bool)  # of every position in the stream, whether it is stored
        for text in texts:
            stored = np.concatenate([stored, np.ones(len(text), bool), [False] * (text[-1] not in spec.eos_ids)])
        is_bos = (
            np.concatenate([[*text, *[spec.bos_id] * (text[-1] not in spec.eos_ids)] for text in texts]) == spec.bos_id
        )
        inside = stored[
            packed_starts(len(stored), context - 1, np.flatnonzero(is_bos))[:, None] + np.arange(context - 1)
        ]
        assert order.stored.tolist() == inside.sum(1).tolist()
        assert plan == (inside.sum(), total - inside.sum(), len(inside))
        assert rows.usable == plan.usable
    assert [plan_tokens(opened, context, "packed").unusable for context in (2, 3)] > [0, 0], (
        "skipped ones are not counted"
    )


@pytest.mark.parametrize("layout", ["aligned", "packed"])
@pytest.mark.parametrize("bos", [7, None])
def test_what_a_reader_with_another_bos_finds_is_what_it_was_told(
    family_model: Models, tmp_path: Path, layout: str, bos: int | None
) -> None:
    """As where one corpus was sampled from another BOS than the tokenizer's, which then begins all contexts."""
    spec, _ = family_model("llama")
    opened = Corpus(write_external(tmp_path / "text", spec, {"train": documents(spec, 60), "test": []}))
    reader = replace(spec, bos_id=bos if bos else spec.eos_ids[0])
    plan = plan_tokens(opened, CONTEXT, layout, spec=reader)
    rows = TokenRows(opened, reader, CONTEXT, layout, tokens=plan.usable)
    assert (rows.usable, rows.count) == (plan.usable, plan.rows)


@pytest.mark.parametrize("context", [2, 5, CONTEXT])
def test_every_order_counts_the_stored_tokens_that_its_rows_hold(
    corpus: tuple[ModelSpec, list[np.ndarray], Corpus], context: int
) -> None:
    """Each token stands once in the stream: those in no row are skipped ones and what is left at the end."""
    spec, texts, opened = corpus
    rows, counts = TokenRows(opened, spec, context, "packed"), set()
    for seed in range(12):
        order = rows.ordered(seed)
        found = order.rows(0, len(order.kept))
        assert all(row[1] != spec.bos_id and len(row) == context for row in found)
        mixed = [texts[place] for place in np.random.default_rng([seed, 0]).permutation(len(texts))]
        assert [row.tolist() for row in found] == [
            row.tolist() for row in packed(mixed, context, spec.bos_id, spec.eos_ids)
        ]
        closed = [np.append(text, [] if text[-1] in spec.eos_ids else [-1]) for text in mixed]
        stream = np.concatenate(closed)  # −1: put between documents, not stored
        begins = packed_starts(len(stream), context - 1, np.flatnonzero((stream == -1) | (stream == spec.bos_id)))
        assert order.stored.tolist() == [int((stream[at : at + context - 1] >= 0).sum()) for at in begins]
        counts.add(len(found))
    assert context == 2 or len(counts) > 1, "passes differ in length"


@pytest.mark.parametrize("layout", ["aligned", "packed"])
def test_a_prefix_is_the_fewest_documents_and_growing_changes_nothing(
    family_model: Models, tmp_path: Path, layout: str
) -> None:
    spec, _ = family_model("llama")
    texts = documents(spec, 40)
    small = Corpus(write_external(tmp_path / "small", spec, {"train": texts[:30], "test": []}))
    large = Corpus(write_external(tmp_path / "large", spec, {"train": texts, "test": []}))
    usable = plan_tokens(small, CONTEXT, layout).usable
    for tokens in (1, 50, 111, usable):
        one, two = (TokenRows(corpus, spec, CONTEXT, layout, tokens=tokens) for corpus in (small, large))
        assert one.sha256 == two.sha256
        assert one.usable == two.usable >= tokens
        assert all_rows(one, 5, 1) == all_rows(two, 5, 1)
        fewer = TokenRows(small, spec, CONTEXT, layout, tokens=tokens - 1) if tokens > 1 else one
        assert fewer.usable <= one.usable
    exact = TokenRows(small, spec, CONTEXT, layout, tokens=one.usable)
    assert exact.usable == usable
    assert TokenRows(large, spec, CONTEXT, layout).sha256 != exact.sha256


def test_the_prefix_hash_sees_order_and_borders(family_model: Models, tmp_path: Path) -> None:
    spec, _ = family_model("llama")
    a, b = np.arange(10, 15), np.arange(15, 22)
    hashes = set()
    for place, texts in enumerate(([a, b], [b, a], [np.concatenate([a, b])], [a[:4], np.concatenate([a[4:], b])])):
        folder = write_external(tmp_path / str(place), spec, {"train": texts, "test": []})
        hashes.add(TokenRows(Corpus(folder), spec, 30).sha256)
    assert len(hashes) == 4


def test_special_ids_are_bos_every_end_and_what_the_tokenizer_marks(family: str, family_model: Models) -> None:
    spec, _ = family_model(family)
    found = special_ids(spec)
    assert {spec.bos_id, *spec.eos_ids} <= found
    expected = {
        "gpt2": {spec.bos_id},
        "gpt_neox": {0, 1},  # the padding token too, and no run of blanks
        "llama": {0, 1, 2, 3, 4},
        "gemma2": {0, 1, 2, 3},
        "mistral": {0, 1, 2},
    }
    assert found == expected[family]


def test_tokens_are_held_compactly(corpus: tuple[ModelSpec, list[np.ndarray], Corpus]) -> None:
    spec, texts, opened = corpus
    rows = TokenRows(opened, spec, CONTEXT)
    assert rows._tokens.dtype == np.uint16
    assert rows.nbytes <= 2 * rows.usable + 50 * len(texts)
    wide = TokenRows(opened, replace(spec, vocab_size=70_000), CONTEXT)
    assert wide._tokens.dtype == np.uint32
    assert all_rows(wide) == all_rows(rows)


def test_empty_documents_are_no_trouble(family_model: Models, tmp_path: Path) -> None:
    spec, _ = family_model("gpt_neox")
    none = np.zeros(0, dtype=np.int64)
    texts = [none, np.arange(10, 14), none, none, np.arange(20, 40), none]
    opened = Corpus(write_external(tmp_path / "c", spec, {"train": texts, "test": []}))
    for layout, contexts in (("aligned", aligned(texts, 5, 0)), ("packed", packed(texts, 5, 0, spec.eos_ids))):
        assert all_rows(TokenRows(opened, spec, 5, layout)) == [row.tolist() for row in contexts]
        all_rows(TokenRows(opened, spec, 5, layout), 1)


def test_what_cannot_be_read_is_refused(corpus: tuple[ModelSpec, list[np.ndarray], Corpus], tmp_path: Path) -> None:
    spec, texts, opened = corpus
    with pytest.raises(FaithfulError, match="whose tokenizer differs"):
        TokenRows(opened, replace(spec, tokenizer_sha256="0" * 64), CONTEXT)
    usable = plan_tokens(opened, CONTEXT, "aligned").usable
    with pytest.raises(FaithfulError, match=rf"{usable:,} train tokens inside contexts of 12.* that is 2\.50 epochs"):
        TokenRows(opened, spec, CONTEXT, tokens=int(2.5 * usable))
    with pytest.raises(FaithfulError, match="a layout; choose aligned or packed"):
        TokenRows(opened, spec, CONTEXT, "loose")
    for context in (1, spec.positions + 1):
        with pytest.raises(FaithfulError, match="use 2 to 128"):
            TokenRows(opened, spec, context)
    empty = Corpus(write_external(tmp_path / "empty", spec, {"train": texts, "test": []}))
    with pytest.raises(FaithfulError, match="holds no test tokens"):
        TokenRows(empty, spec, CONTEXT, split="test")
    with pytest.raises(FaithfulError, match="holds token id"):
        TokenRows(opened, replace(spec, vocab_size=200), CONTEXT)

"""Samples that others drew: how each stands in the corpus, what is counted, and what is refused with nothing written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faithful.base.errors import FaithfulError
from faithful.models.spec import resolve_model
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import Manifest, read_manifest
from generation.cards.made_by import made_by
from generation.cards.origins import origins
from generation.configs.add import AddConfig
from generation.external.add import add

END = 0  # of `tiny`, whose BOS it is too


def written(folder: Path, rows: list[dict[str, Any]], name: str = "samples.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def some_ids(count: int, length: int = 9, seed: int = 0) -> list[list[int]]:
    draw = np.random.default_rng(seed)
    return [draw.integers(1, 4096, length).tolist() for _ in range(count)]


def padded(*samples: list[int]) -> list[list[int]]:
    """The samples among enough others for a held-out split."""
    return [*samples, *some_ids(40, seed=1)]


def added(folder: Path, rows: list[dict[str, Any]], **stated: Any) -> Manifest:
    wish = {"model": "tiny", "ids": True, "temperature": 1.0, "out": folder / "corpus"} | stated
    return add(AddConfig(name=str(written(folder, rows)), **wish)).manifest


def stored(folder: Path) -> dict[int, dict[str, Any]]:
    """Rows by the number of the sample."""
    files = [*folder.glob("corpus/data/*.parquet"), *folder.glob("corpus/test/*.parquet")]
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    return {int(row["doc_id"].split(":")[1]): row for row in rows}


def of_ids(samples: list[list[int]], **columns: list[Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"token_ids": ids} for ids in samples]
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=False):
            row[name] = value
    return rows


@pytest.mark.parametrize(
    ("given", "kept", "reason"),
    [
        ([5, 6, 7], [5, 6, 7], "length"),
        ([5, 6, END], [5, 6, END], "stop"),
        ([END, 5, 6, END], [5, 6, END], "stop"),
        ([END, 5, 6, END, END, END], [5, 6, END], "stop"),
        ([END, 5, 6], [5, 6], "length"),
        ([END], [END], "stop"),
        ([END, END, END], [END], "stop"),
    ],
    ids=["cut", "ended", "with its prompt", "padded", "prompt and cut", "ended at once", "prompt, end, padding"],
)
def test_a_sample_is_what_was_drawn_up_to_its_end(tmp_path: Path, given: Any, kept: Any, reason: str) -> None:
    manifest = added(tmp_path, of_ids(padded(given)))
    row = stored(tmp_path)[0]
    assert (row["token_ids"], row["finish_reason"]) == (kept, reason)
    assert manifest.kind == "foreign" and manifest.provenance["samples"]["samples"] == 41
    removed = manifest.provenance["samples"].get("ids after the end removed", 0)
    assert removed == (len(given) > len(kept) + (given[0] == END and len(given) > 1))


def test_the_finish_reason_tells_the_end_that_was_cut_off(tmp_path: Path) -> None:
    rows = of_ids(padded([5, 6], [5, 7]), finish_reason=["stop", "length"])
    manifest = added(tmp_path, rows)
    assert [stored(tmp_path)[place]["token_ids"] for place in (0, 1)] == [[5, 6, END], [5, 7]]
    assert manifest.provenance["samples"]["end-of-text put back"] == 1


def test_log_probabilities_are_those_of_the_ids_that_are_kept(tmp_path: Path) -> None:
    samples = padded([END, 5, 6, END, END])
    rows = of_ids(samples, lp=[[0.0, -1.0, -2.0, -3.0, 0.0], *([[-1.0] * 9] * 40)])
    added(tmp_path, rows, logprobs="lp")
    assert stored(tmp_path)[0]["logprob_p"] == [-1.0, -2.0, -3.0]


def test_a_sample_longer_than_the_context_is_cut(tmp_path: Path) -> None:
    manifest = added(tmp_path, of_ids(some_ids(40, 30)), context=11)
    assert {len(row["token_ids"]) for row in stored(tmp_path).values()} == {10}
    assert manifest.provenance["samples"]["cut to the context"] == 40


def test_parquet_and_a_folder_of_it_give_the_same_samples(tmp_path: Path) -> None:
    samples = some_ids(60)
    folder = tmp_path / "parts"
    folder.mkdir()
    for part in range(2):
        pq.write_table(pa.table({"output_ids": samples[30 * part : 30 * part + 30]}), folder / f"{part}.parquet")
    add(AddConfig(str(folder), "tiny", ids=True, temperature=1.0, out=tmp_path / "corpus"))
    rows = [row for file in tmp_path.glob("corpus/*/*.parquet") for row in pq.read_table(file).to_pylist()]
    assert sorted(row["token_ids"] for row in rows) == sorted(samples)


def test_run_again_it_does_nothing_and_declared_otherwise_it_is_refused(tmp_path: Path) -> None:
    added(tmp_path, of_ids(some_ids(40)), top_k=50)
    wish = AddConfig(
        str(tmp_path / "samples.jsonl"), "tiny", ids=True, temperature=1.0, top_k=50, out=tmp_path / "corpus"
    )
    assert not add(wish).changed
    made = made_by(read_manifest(tmp_path / "corpus"))
    assert isinstance(made, AddConfig)
    assert (made.ids, made.temperature, made.top_k, made.top_p, made.context) == (True, 1.0, 50, None, None)
    with pytest.raises(FaithfulError, match="top k 40 asked for, 50 in the corpus"):
        add(AddConfig(wish.name, "tiny", ids=True, temperature=1.0, top_k=40, out=wish.out))
    with pytest.raises(FaithfulError, match="holds samples of a model"):
        add(AddConfig(wish.name, "tiny", out=wish.out))


def test_the_card_says_who_drew_them(tmp_path: Path) -> None:
    manifest = added(tmp_path, of_ids(some_ids(40)), temperature=0.7)
    (origin,) = origins(manifest)
    assert origin.synthetic and origin.kind == "files" and "declares" in origin.story
    card = (tmp_path / "corpus" / "README.md").read_text()
    assert "Others drew it from the model" in card and "| temperature | 0.7 |" in card and "--temperature 0.7" in card


@pytest.mark.parametrize(
    ("rows", "stated", "message"),
    [
        (of_ids(padded([5, 4096])), {}, r"Sample samples.jsonl:0 of samples holds the id 4096, .* ends at 4095"),
        (of_ids(padded([5, -1])), {}, "the id -1"),
        (of_ids(padded([5, END, 6])), {}, r"goes on with id 6 after the end-of-text 0 \(which is BOS too\)"),
        ([*of_ids(padded()), {"token_ids": [5.0, 6.5]}], {}, "whole numbers"),
        ([*of_ids(padded()), {"token_ids": "[5, 6, 7]"}], {}, r"text, '\[5, 6, 7\]', where a list of token ids"),
        ([{"token_ids": 5}], {}, "a list of token ids is needed"),
        ([{"ids_of": [5]}], {}, "no column 'token_ids' of token ids; it has ids_of"),
        (of_ids(padded([5, 6]), prompt_token_ids=[[17, 4]]), {}, r"after the prompt \[17, 4\]"),
        (of_ids(padded([5, 6]), prompt_token_ids=[17]), {}, "after the prompt 17"),
        (of_ids(padded([5, 6]), finish_reason=["abort"]), {}, "finish reason 'abort'"),
        (of_ids(padded(), model=["a"] * 39 + ["b"]), {}, "of the model 'b' and others are of 'a'"),
        (of_ids(padded(), temp=[0.7] * 40), {}, "drawn with temp 0.7, .* --temperature 1 is declared"),
        (of_ids(padded(), lp=[[-1.0]] * 40), {"logprobs": "lp"}, "no log-probability for each of its 9 ids"),
        (of_ids(padded(), lp=[[float("nan")] * 9] * 40), {"logprobs": "lp"}, "that are no numbers"),
        (of_ids(padded(), lp=[[-1e39] * 9] * 40), {"logprobs": "lp"}, "that are no numbers"),
        (of_ids(padded(), lp=[[-(10**400)] * 9] * 40), {"logprobs": "lp"}, "that are no numbers"),
        ([*of_ids(padded()), {"other": 1}], {}, "has in the column 'token_ids' nothing where"),
        (of_ids(padded()), {"finish_reason": "why"}, "no column 'why'"),
        (of_ids(padded()), {"unit": "passage"}, "takes no --unit"),
        ([{"text": str(ids)} for ids in padded()], {"ids": None}, "lists of numbers written as text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_bad_samples_are_refused_by_name_and_leave_nothing(
    tmp_path: Path, rows: list[dict[str, Any]], stated: dict[str, Any], message: str
) -> None:
    with pytest.raises(FaithfulError, match=message) as refusal:
        added(tmp_path, rows, **stated)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "corpus").exists()


def test_text_alone_is_refused_where_it_is_a_list_of_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, [{"text": str(ids)} for ids in padded()])
    with pytest.raises(FaithfulError, match="lists of numbers written as text"):
        add(AddConfig(str(path), "tiny", out=tmp_path / "corpus"))


def test_bos_among_the_ids_is_refused_where_it_is_no_end(tmp_path: Path, family_folder: Callable[[str], Path]) -> None:
    model = str(family_folder("llama"))
    spec = resolve_model(model)
    assert spec.bos_id not in spec.eos_ids
    draw = np.random.default_rng(0)
    usable = [token for token in range(spec.vocab_size) if token not in (spec.bos_id, *spec.eos_ids)]
    samples = [[spec.bos_id, *draw.choice(usable, 8).tolist()] for _ in range(60)]
    added(tmp_path, of_ids(samples), model=model)
    assert stored(tmp_path)[3]["token_ids"] == samples[3][1:]
    bad = of_ids([*samples, [usable[0], spec.bos_id, usable[1]]])
    with pytest.raises(FaithfulError, match=rf"samples.jsonl:60 of samples holds BOS \(id {spec.bos_id}\)"):
        added(tmp_path, bad, model=model, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


# Texts


TEXTS = [f"def f{place}(self):\n    return {place}\n" for place in range(60)]


def lengths_of(texts: list[str]) -> list[int]:
    spec = resolve_model("tiny")
    return [len(ids) for ids in load_tokenizer(spec.source, None)(texts, add_special_tokens=False)["input_ids"]]


@pytest.mark.parametrize(
    ("columns", "stated", "ended"),
    [
        ({}, {}, "none"),
        ({"finish_reason": ["stop", "length"] * 30}, {}, "first"),
        ({"tokens": [9, 30] * 30}, {}, "first"),
        ({"tokens": [9, 20] * 30}, {"max_tokens": 20}, "first"),
        ({"tokens": [9, 20] * 30}, {"max_tokens": 30}, "both"),
        ({"tokens": [9.0, 30.0] * 30}, {}, "first"),
        ({}, {"max_tokens": 40}, "none"),
    ],
    ids=[
        "unknown",
        "finish reason",
        "the longest count",
        "count and declared",
        "none as long",
        "counts with gaps",
        "declared alone",
    ],
)
def test_a_text_is_closed_where_it_is_known_to_have_ended(
    tmp_path: Path, columns: dict[str, list[Any]], stated: dict[str, Any], ended: str
) -> None:
    rows = [
        {"text": text} | {name: values[place] for name, values in columns.items()} for place, text in enumerate(TEXTS)
    ]
    manifest = added(tmp_path, rows, ids=None, **stated)
    found = stored(tmp_path)
    assert [found[place]["token_ids"][-1] == END for place in (0, 1)] == [ended != "none", ended == "both"]
    assert [found[place]["finish_reason"] == "stop" for place in (0, 1)] == [ended != "none", ended == "both"]
    assert manifest.provenance["samples"].get("not known to have ended", 0) == (60 if ended == "none" else 0)


def test_a_table_of_text_says_of_its_samples_what_others_say(tmp_path: Path) -> None:
    lines = [f'"{text}",1.0,1.0,-1,{9 if place % 2 else 30}' for place, text in enumerate(TEXTS)]
    path = tmp_path / "samples.csv"
    path.write_text("\n".join(["text,temp,top_p,top_k,tokens", *lines]) + "\n")
    add(AddConfig(str(path), "tiny", temperature=1.0, out=tmp_path / "corpus"))
    assert [stored(tmp_path)[place]["finish_reason"] for place in (0, 1)] == ["length", "stop"]
    with pytest.raises(FaithfulError, match=r"drawn with temp 1\.0, .* --temperature 0\.7 is declared"):
        add(AddConfig(str(path), "tiny", temperature=0.7, out=tmp_path / "other"))


@pytest.mark.parametrize("more", [0, 1, 2])
def test_texts_that_do_not_come_back_are_counted(tmp_path: Path, more: int) -> None:
    """However their tokens were counted: with BOS, with their ends, with both or neither."""
    counts = lengths_of(TEXTS)
    rows = [{"text": text, "tokens": count + more} for text, count in zip(TEXTS, counts, strict=True)]
    rows[4]["tokens"] += 1
    rows[7]["tokens"] -= 2
    manifest = added(tmp_path, rows, ids=None, max_tokens=100)
    assert manifest.provenance["samples"]["texts that tokenise to themselves"] == 58
    assert manifest.provenance["samples"]["samples"] == 60

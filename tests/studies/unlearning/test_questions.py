"""Questions from files and of the embedded text, and how they are asked."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tokenizers.processors import ByteLevel

from faithful.base.errors import FaithfulError
from faithful.models.load import load_model
from faithful.models.spec import resolve_model
from faithful.models.tokenizer import load_tokenizer
from studies.probes.tasks.embedded import EmbeddedText
from studies.unlearning import questions
from studies.unlearning.questions import CHOICES, Question, Questions, ask, load_questions, prompt
from tests.own import write_external

NO_TEXT: Any = None
ROWS = [
    {"question": f"What is {n}?", "choices": ["one", "two", "three"], "answer": n % 3} for n in range(10)
]  # fmt: skip


def write_jsonl(rows: list[dict[str, Any]], folder: Path) -> Path:
    path = folder / "asked.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_csv(rows: list[dict[str, Any]], folder: Path) -> Path:
    path = folder / "asked.csv"
    pl.DataFrame([row | {"choices": json.dumps(row["choices"])} for row in rows]).write_csv(path)
    return path


def write_parquet(rows: list[dict[str, Any]], folder: Path) -> Path:
    path = folder / "asked.parquet"
    pl.DataFrame(rows).write_parquet(path)
    return path


@pytest.mark.parametrize("write", [write_jsonl, write_csv, write_parquet])
def test_questions_of_a_file(write: Callable[[list[dict[str, Any]], Path], Path], tmp_path: Path) -> None:
    found = load_questions(str(write(ROWS, tmp_path)), 99, 0, NO_TEXT)
    assert {(one.text, one.choices, one.answer) for one in found.items} == {
        (str(row["question"]), ("one", "two", "three"), row["answer"]) for row in ROWS
    }
    assert found.chance == pytest.approx(1 / 3) and found.halves.sum() == 5
    fewer = load_questions(str(write(list(reversed(ROWS)), tmp_path)), 8, 0, NO_TEXT)
    assert fewer.items == found.items[:8] != load_questions(str(write(ROWS, tmp_path)), 8, 1, NO_TEXT).items


@pytest.mark.parametrize(("answer", "place"), [("B", 1), ("two", 1), ("2", 2), (0, 0), ("c", 2)])
def test_an_answer_is_a_place_a_letter_or_a_text(answer: Any, place: int, tmp_path: Path) -> None:
    rows = [row | {"answer": answer} for row in ROWS]
    found = load_questions(str(write_jsonl(rows, tmp_path)), 99, 0, NO_TEXT)
    assert {one.answer for one in found.items} == {place}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answer": None}, r"question 1 has no answer among its choices"),
        ({"answer": 3}, r"question 1 has no answer"),
        ({"answer": "four"}, r"question 1 has no answer"),
        ({"choices": ["one"]}, r"question 1 has 1 choice; each needs at least two"),
        ({"choices": "one"}, r"question 1 has no list of choices"),
        ({"question": " "}, r"question 1 is empty"),
        ({"choices": ["one", "two", " one"]}, r"question 1 has choices that are empty or alike"),
        ({"choices": ["one", "two", " "]}, r"question 1 has choices that are empty or alike"),
    ],
)
def test_questions_that_cannot_be_asked_are_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    rows = [ROWS[0] | change, *ROWS[1:]]
    with pytest.raises(FaithfulError, match=said):
        load_questions(str(write_jsonl(rows, tmp_path)), 99, 0, NO_TEXT)


def test_a_file_called_like_a_set_of_the_hub_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wmdp-bio").mkdir()
    write_jsonl(ROWS, tmp_path / "wmdp-bio")
    assert len(load_questions("wmdp-bio", 99, 0, NO_TEXT).items) == 10


def test_questions_of_the_hub_that_cannot_be_told_apart_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{**ROWS[0], "choices": ["one", "one", "two"]}, *ROWS[1:]]
    monkeypatch.setattr(questions, "rows_of", lambda *_, **__: rows)
    assert len(load_questions("wmdp-bio", 99, 0, NO_TEXT).items) == 9


def test_files_without_answers_and_with_few_questions_are_refused(tmp_path: Path) -> None:
    bare = [{name: row[name] for name in ("question", "choices")} for row in ROWS]
    with pytest.raises(FaithfulError, match="has no column 'answer'"):
        load_questions(str(write_jsonl(bare, tmp_path)), 99, 0, NO_TEXT)
    with pytest.raises(FaithfulError, match="holds 3 questions"):
        load_questions(str(write_jsonl(ROWS[:3], tmp_path)), 99, 0, NO_TEXT)


def test_choices_are_asked_by_their_text_or_by_letters() -> None:
    one = Question("Which?", ("red", "blue"), 0)
    assert prompt(one, letters=False) == ("Which?", [" red", " blue"])
    assert prompt(one, letters=True) == ("Which?\nA. red\nB. blue\nAnswer:", [" A", " B"])


def test_contexts_hold_what_scores_each_choice() -> None:
    """Characters as tokens: choices of one token share a context, a long prompt loses its beginning."""

    def letters(text: str) -> list[int]:
        return [ord(one) for one in text]

    single = Questions("", (Question("ab ", ("x", "y"), 1), Question("cd ", ("xyz", "y"), 0)))
    asked = ask(single, letters, 1, 8, letters=False)
    assert [row.tolist() for row in asked.rows] == [[1, 97, 98, 32], [1, 99, 100, 32, 120, 121], [1, 99, 100, 32]]
    assert asked.position.tolist() == [3, 3, 3, 4, 5, 3] and asked.choice.tolist() == [0, 1, 2, 2, 2, 3]
    assert asked.weight.tolist() == pytest.approx([1, 1, 1 / 3, 1 / 3, 1 / 3, 1]) and asked.answers.tolist() == [1, 2]
    assert asked.right(np.array([-2.0, -1.0, -3.0, -2.0])).tolist() == [True, False]
    assert asked.right(np.array([-1.0, -1.0, -1.0, -2.0])).tolist() == [False, True]
    long = ask(Questions("", (Question("abcdefgh ", ("x", "y"), 0),)), letters, 1, 4, letters=False)
    assert [row.tolist() for row in long.rows] == [[1, *letters("gh ")]]


@pytest.fixture(scope="module")
def embedded() -> EmbeddedText:
    """Passages of the embedded text for the embedded model."""
    spec = resolve_model("tiny")
    return EmbeddedText(lambda: load_tokenizer(spec.source, None), spec, 48)


def write_texts(folder: Path, texts: list[str], embedded: EmbeddedText) -> Path:
    """A corpus whose held-out documents are these."""
    encoded = embedded.encoder.backend.encode_batch(texts, add_special_tokens=False)
    ids = [np.array(one.ids) for one in encoded]
    return write_external(folder, resolve_model("tiny"), {"train": ids[:1], "test": ids})


def test_a_corpus_is_asked_how_its_last_held_out_passages_go_on(tmp_path: Path, embedded: EmbeddedText) -> None:
    texts = [one.shown for one in embedded.excerpts("prose")[:60]]
    corpora = {"mine": write_texts(tmp_path / "mine", texts, embedded)}
    found = load_questions("mine", 99, 0, embedded, corpora)
    assert len(found.items) > 30 and found.chance == 1 / CHOICES
    for one in found.items:
        (text,) = (text for text in texts if one.text in text)
        begin = text.index(one.text) + len(one.text)
        assert text[begin:].startswith(one.choices[one.answer]) and len(set(one.choices)) == CHOICES
    few = load_questions("mine", 10, 0, embedded, corpora)
    assert len(few.items) == 10
    assert all(any(one.text in text for text in texts[-40:]) for one in few.items), "the first are those of the panel"


def test_a_tokenizer_that_leaves_spaces_out_of_its_offsets_makes_the_same_questions(embedded: EmbeddedText) -> None:
    trimming = copy.copy(embedded)
    trimming.__dict__["encoder"] = copy.copy(embedded.encoder)
    trimming.encoder.backend = copy.deepcopy(embedded.encoder.backend)
    trimming.encoder.backend.post_processor = ByteLevel(trim_offsets=True)
    (one,) = trimming.encoder.backend.encode_batch(["one house"], add_special_tokens=False)
    assert "one house"[slice(*one.offsets[-1])][0] != " "
    assert load_questions("prose", 99, 0, trimming) == load_questions("prose", 99, 0, embedded)


def test_a_corpus_without_words_makes_no_questions(tmp_path: Path, embedded: EmbeddedText) -> None:
    same = " ".join(["the"] * 60)
    for name, texts in (("short", ["It was."] * 20), ("same", [f"{number} {same}" for number in range(20)])):
        corpora = {name: write_texts(tmp_path / name, texts, embedded)}
        with pytest.raises(FaithfulError, match=f"held-out text of {name} has too few passages with a word"):
            load_questions(name, 99, 0, embedded, corpora)


def test_the_embedded_model_answers_questions_of_its_own_text_above_chance(embedded: EmbeddedText) -> None:
    spec = resolve_model("tiny")
    found = load_questions("stdlib", 100, 0, embedded)
    assert found.sha256 == load_questions("stdlib", 100, 0, embedded).sha256 and found.chance == 0.25
    assert all(len(set(one.choices)) == 4 for one in found.items)

    def encode(text: str) -> list[int]:
        return list(embedded.encoder.backend.encode(text, add_special_tokens=False).ids)

    asked = ask(found, encode, spec.bos_id, 48, letters=False)
    model = load_model(spec, "cpu")
    scores = np.zeros(len(asked.question))
    for at, row in enumerate(asked.rows):
        log_p = model(input_ids=torch.from_numpy(row)[None]).logits[0].log_softmax(-1).detach().numpy()
        mine = asked.row == at
        np.add.at(scores, asked.choice[mine], asked.weight[mine] * log_p[asked.position[mine], asked.target[mine]])
    assert asked.right(scores).mean() > 0.5

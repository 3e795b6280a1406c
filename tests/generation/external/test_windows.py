"""Windows of documents: each can be gone on from."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from faithful.models.spec import resolve_model
from faithful.models.tokenizer import load_tokenizer
from generation.external import windows as windows_module
from generation.external.encoder import Encoder
from generation.external.windows import Cursor, Cutter, Window, windows
from generation.sources.source import Row
from tests.generation.external.test_add import LIMIT, Folder, some_texts


@pytest.mark.parametrize("unit", ["document", "passage"])
@pytest.mark.parametrize("length", [LIMIT - 2, LIMIT - 1, LIMIT, LIMIT + 1, 2 * LIMIT])
def test_documents_are_cut_at_the_exact_length(unit: str, length: int, family_folder: Folder) -> None:
    spec = resolve_model(str(family_folder("gpt2")))
    tokenizer = load_tokenizer(spec.source, None)
    text = "7" * length
    assert len(tokenizer(text)["input_ids"]) == length
    cutter = Cutter(Encoder(tokenizer, spec, LIMIT), unit)
    units = next(windows(lambda state: FakeRows([text], state), cutter, 0)).units
    first = max(units, key=lambda unit: -int(unit.doc_id.split("#")[1])) if unit == "passage" else units[0]
    eos = tokenizer.eos_token_id
    if length < LIMIT:
        assert (len(first.token_ids), first.closed) == (length + 1, True)
        assert first.token_ids[-1] == eos
    else:
        assert (len(first.token_ids), first.closed) == (LIMIT, False)
        assert eos not in first.token_ids
    if unit == "passage":
        assert sum(len(unit.token_ids) - unit.closed for unit in units) == length


class FakeRows:
    """Rows from a list of texts; empty ones are dropped and counted, as `generation.sources.resolve.Rows` does."""

    def __init__(self, texts: list[str], state: dict[str, Any] | None) -> None:
        self.texts = texts
        self.place = state["place"] if state else 0
        self.dropped = dict(state["dropped"]) if state else {}

    def __iter__(self) -> Iterator[Row]:
        while self.place < len(self.texts):
            text = self.texts[self.place]
            self.place += 1
            if text:
                yield Row(f"row {self.place}", text, "fake")
            else:
                self.dropped["empty"] = self.dropped.get("empty", 0) + 1

    def state(self) -> dict[str, Any]:
        return {"place": self.place, "dropped": dict(self.dropped)}


def plain(window: Window) -> tuple[Cursor, list[tuple[Any, ...]], dict[str, int]]:
    return window.place, [(u.doc_id, u.split, u.closed, u.token_ids.tolist()) for u in window.units], window.dropped


@pytest.mark.parametrize("unit", ["document", "passage"])
@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_every_window_can_be_gone_on_from(
    unit: str, size: int, family_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows_module, "ROWS", 16)
    monkeypatch.setattr(windows_module, "CHARACTERS", 2000)
    monkeypatch.setattr(windows_module, "PART", 400)
    texts = [("\n\n".join(some_texts(5, seed)) if seed % 3 else "") for seed in range(90)]
    spec = resolve_model(str(family_folder("gpt2")))
    encoder = Encoder(load_tokenizer(spec.source, None), spec, 20)
    leaves_out = (lambda text: "tide" in text) if unit == "passage" else (lambda text: False)
    cutter = Cutter(encoder, unit, leaves_out)

    def read(start: Cursor | None) -> list[Any]:
        return [plain(window) for window in windows(lambda state: FakeRows(texts, state), cutter, 5, size, start)]

    whole = read(None)
    documents = [document for _, units, _ in whole for document in units]
    assert all(len(units) == size for _, units, _ in whole[:-1])
    assert len({document[0] for document in documents}) == len(documents)
    assert whole[-1][2]["empty"] == 30
    assert ("also in the training text of tiny" in whole[-1][2]) == (unit == "passage")
    for number in range(0, len(whole), max(1, len(whole) // 12)):
        place = Cursor.of(json.loads(json.dumps(whole[number][0].segment("train"))))
        assert read(place) == whole[number:]


def test_long_texts_are_cut_into_passages_part_by_part(family_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n\n".join(some_texts(60)) + "y" * 700 + "\n" + "\n".join(some_texts(20, 1))
    monkeypatch.setattr(windows_module, "PART", 500)
    parts = list(windows_module._parts(text))
    assert "".join(parts) == text
    assert max(map(len, parts)) <= 500
    assert sum(part.endswith("\n\n") for part in parts) > 5
    assert "".join(windows_module._parts("x" * 1700)) == "x" * 1700

"""Held-out figures while it trains: at the tokens asked for, those of the SAE as it stands, and nothing changes by them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faithful.formats.files import load_sae
from faithful.hooks.hook import Hook
from faithful.models.spec import ModelSpec
from faithful.training.evaluate import evaluate
from faithful.training.train import train
from faithful.training.watch import WATCHED
from tests.documented import undocumented
from tests.faithful.training.grids import TOKENS, configured, weights

Model = Callable[[str], tuple[ModelSpec, Any]]
EVERY = TOKENS // 4


@pytest.fixture(scope="module")
def watched(corpora: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a buffer that is filled again and again, so that tokens are counted as they are trained on."""
    out = tmp_path_factory.mktemp("watched")
    train(configured(corpora, out, buffer=512, eval_every=EVERY))
    return out


def lines(cell: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (cell / "train.jsonl").read_text().splitlines()]


def test_lines_at_the_multiples_have_them_and_the_weights_are_the_same(
    watched: Path, corpora: dict[str, Path], tmp_path: Path
) -> None:
    train(configured(corpora, tmp_path, buffer=512))
    for cell in watched.glob("*/*/seed-*"):
        rows = lines(cell)
        before = [0, *(row["tokens"] for row in rows)]
        due = [row["tokens"] // EVERY > past // EVERY for row, past in zip(rows, before, strict=False)]
        assert due == ["held_out_fvu" in row for row in rows] and sum(due) >= 3
        assert undocumented("Training", rows[due.index(True)]) == []
        same = tmp_path / cell.relative_to(watched)
        assert all((value == weights(same)[name]).all() for name, value in weights(cell).items())
        assert not any("held_out_fvu" in row for row in lines(same))


def test_the_last_are_those_of_the_finished_sae(watched: Path, corpora: dict[str, Path], family_model: Model) -> None:
    spec, model = family_model("gpt2")
    cell = next(watched.glob("*/*/seed-0"))
    context = json.loads((cell / "cfg.json").read_text())["metadata"]["context_size"]
    found = evaluate(
        model, spec, Hook(1, "resid_pre"), corpora["own"], [load_sae(cell)], context, tokens=WATCHED["cpu"]
    )[0].figures
    last = lines(cell)[-1]
    assert last["held_out_fvu"] == pytest.approx(found["fvu"], abs=1e-6)
    assert last["held_out_l0"] == pytest.approx(found["l0"], abs=1e-6)
    assert last["held_out_never_fired"] == found["never_fired"]

"""The panel, and the texts that stand in for it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from studies.common.config import PanelConfig, StudyConfig
from studies.common.inputs import resolve_input
from studies.common.panel import load_panel, noise_rows, shuffled_documents, unigram_rows
from tests.own import write_external

Model = Callable[[str], tuple[ModelSpec, Any]]


def test_the_panel_is_equal_parts_of_held_out_text(run: Path) -> None:
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=run, device="cpu"))
    panel = load_panel(found, 1000)
    assert list(panel.parts) == ["cool", "own"]
    assert all(480 <= tokens <= 560 for tokens in panel.tokens.values())
    alone = load_panel(replace(found, corpora={"own": found.corpora["own"]}), 400).parts["own"]
    together = panel.parts["own"]
    assert all((one == other).all() for one, other in zip(alone, together, strict=False))


@pytest.mark.parametrize("layout", ["aligned", "packed"])
def test_a_seed_draws_other_documents_and_as_much_text(layout: str, run: Path) -> None:
    config = PanelConfig(saes=(run / "saes",), out=run, device="cpu", layout=layout)
    first, *drawn = (load_panel(resolve_input(replace(config, panel_seed=one)), 1000) for one in (None, 1, 1, 2))
    assert drawn[0].sha256 == drawn[1].sha256 and len({one.sha256 for one in (first, *drawn)}) == 3
    for panel in drawn:
        assert all(480 <= tokens <= 560 for tokens in panel.tokens.values())


def test_a_part_of_special_tokens_alone_is_refused(run: Path, tmp_path: Path) -> None:
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=run, device="cpu"))
    ended = [np.array(found.spec.eos_ids[:1])] * 9
    empty = write_external(tmp_path / "empty", found.spec, {"train": ended, "test": ended})
    with pytest.raises(FaithfulError, match="held-out text of empty is special tokens alone"):
        load_panel(replace(found, corpora=found.corpora | {"empty": empty}), 1000)


def test_controls_keep_what_they_say(run: Path) -> None:
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=run, device="cpu"))
    panel = load_panel(found, 1000)
    special = {found.spec.bos_id, *found.spec.eos_ids}
    noise = noise_rows(found.spec, 300, 32, seed=1)
    drawn = np.concatenate([row[1:] for row in noise])
    assert {int(row[0]) for row in noise} == {found.spec.bos_id}
    assert not special & set(drawn.tolist()) and drawn.max() < found.spec.mapped
    assert (noise_rows(found.spec, 300, 32, seed=1)[7] == noise[7]).all()
    shuffled = shuffled_documents(panel.rows, panel.ordinary, seed=1)
    changed = 0
    for before, after in zip(panel.rows, shuffled, strict=True):
        assert sorted(before) == sorted(after)
        assert (before[~panel.ordinary[before]] == after[~panel.ordinary[before]]).all()
        changed += (before != after).any()
    assert changed > len(shuffled) / 2
    unigram = unigram_rows(found.spec, panel.rows, seed=1)
    assert [len(row) for row in unigram] == [len(row) for row in panel.rows]
    known = set(np.concatenate(panel.rows).tolist())
    assert set(np.concatenate([row[1:] for row in unigram]).tolist()) <= known - special


def test_documents_that_share_a_context_are_shuffled_apart() -> None:
    ordinary = np.arange(1000) > 1
    documents = [np.arange(first, first + 60) for first in (100, 200, 300)]
    packed = np.concatenate([part for one in documents for part in ([1], one)])
    packed[0] = 0
    (found,) = shuffled_documents([packed], ordinary, seed=0)
    assert (found[~ordinary[packed]] == packed[~ordinary[packed]]).all()
    for place, document in enumerate(documents):
        part = found[1 + 61 * place : 61 * (place + 1)]
        assert sorted(part) == list(document) and (part != document).any()

"""Checkpoints: which there are, read without their tensors."""

from pathlib import Path
from typing import Any

import pytest
import torch

from faithful.training import checkpoint as train_checkpoint
from faithful.training.checkpoint import (
    FOLDER,
    checkpoint_path,
    load_checkpoint,
    open_checkpoints,
    save_checkpoint,
    split_by_checkpoint,
)
from tests.faithful.training.cells import cells


def test_a_checkpoint_that_another_process_removes_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, others = cells(tmp_path, "one", {8: 2}), cells(tmp_path, "one", {16: 2})
    for group, step in ((mine, 3), (others, 7)):
        save_checkpoint(checkpoint_path(group), group, step, {}, {"x": torch.ones(3)})
    real = torch.load

    def load(path: Path, **options: Any) -> Any:
        if path == checkpoint_path(others):
            path.unlink()
        return real(path, **options)

    monkeypatch.setattr(train_checkpoint.torch, "load", load)
    [(group, found)] = split_by_checkpoint(mine)
    assert group == mine and found and found.step == 3


def test_looking_for_checkpoints_reads_no_tensor(tmp_path: Path) -> None:
    group = cells(tmp_path, "one", {8: 1})
    path = checkpoint_path(group)
    save_checkpoint(path, group, 3, {}, {"x": torch.ones(3)})
    assert load_checkpoint(path, tensors=False)["x"].is_meta
    assert torch.equal(load_checkpoint(path)["x"], torch.ones(3))


def test_half_written_checkpoints_go_when_nobody_else_trains_on_the_corpus(tmp_path: Path) -> None:
    group = cells(tmp_path, "one", {8: 1})
    half = tmp_path / "one" / FOLDER / ".half.pt.tmp"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"left")
    with open_checkpoints(group):
        assert not half.exists()
        half.write_bytes(b"being written")
        with open_checkpoints(group):
            assert half.exists()
    with open_checkpoints(group):
        assert not half.exists()

"""A training pass: cells, corpora and processes do not cost each other anything, whatever happens to one of them."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from faithful.sae.config import StackConfig
from faithful.sae.stack import Stack
from faithful.training import corpus_pass as train_pass
from faithful.training import train as training
from faithful.training.cell import Cell
from faithful.training.checkpoint import (
    FOLDER,
)
from faithful.training.config import TrainConfig
from faithful.training.train import train
from tests.faithful.sae.data import batches, stack_for, trained
from tests.faithful.training.cells import cells
from tests.own import write_external

Model = Callable[[str], tuple[ModelSpec, Any]]
Saes = tuple[TrainConfig, Path]
SHAPE = "resid_pre.1-f48-k4"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> Saes:
    """Three seeds of each of two corpora, trained undisturbed, and how; never change them."""
    spec, _ = family_model("gpt2")
    root = tmp_path_factory.mktemp("pass")
    generator = torch.Generator().manual_seed(0)
    corpora = []
    for name in ("one", "two"):
        texts = [torch.randint(5, 200, (31,), generator=generator).numpy() for _ in range(76)]
        corpora.append(write_external(root / name, spec, {"train": texts[:60], "test": texts[60:]}))
    config = TrainConfig(
        corpora=tuple(corpora), out=root / "saes", model=spec.source, seeds=(0, 1, 2), layer=1, d_sae=(48,), k=(4,),
        lr=3e-3, context=32, batch=64, device="cpu", eval_tokens=400,
    )  # fmt: skip
    train(config)
    return config, config.out


def equal(one: Path, other: Path) -> bool:
    a, b = (load_file(folder / "sae_weights.safetensors") for folder in (one, other))
    return all(torch.equal(a[name], b[name]) for name in a)


def record(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "cfg.json").read_text())["metadata"]["faithful"])


def checkpoints(out: Path) -> list[Path]:
    return list(out.rglob("*.pt"))


class Steps:
    """Steps of all stacks from now on: those made, and what is to happen at some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[int] = []
        self.lost: dict[int, tuple[int, ...]] = {}
        self.last: int | None = None
        real = Stack.step

        def step(stack: Stack, x: torch.Tensor) -> None:
            if stack.steps_done == self.last:
                raise KeyboardInterrupt
            for seed in self.lost.get(stack.steps_done, ()):
                stack.weights["W_enc"][stack.config.init_seeds.index(seed)] = float("nan")
            self.made.append(stack.steps_done)
            real(stack, x)

        monkeypatch.setattr(train_pass.Stack, "step", step)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


def test_cells_that_diverge_stop_no_cell_and_no_corpus_and_all_are_named(
    whole: Saes, tmp_path: Path, steps: Steps
) -> None:
    config, undisturbed = whole
    steps.lost = {5: (0, 2)}
    with pytest.raises(FaithfulError) as caught:
        train(replace(config, out=tmp_path))
    for corpus in ("one", "two"):
        assert (
            f"On {corpus} the loss of f48-k4 seed 0 is nan at step 6, that of f48-k4 seed 2 is nan at step 6; train with a"
            " smaller --lr than 0.003, or check the model's weights. The other 1 SAEs of the corpus were kept."
        ) in str(caught.value)
        assert [path.parent.name for path in (tmp_path / corpus).rglob("cfg.json")] == ["seed-1"]
        assert equal(tmp_path / corpus / SHAPE / "seed-1", undisturbed / corpus / SHAPE / "seed-1")


def test_the_log_counts_what_was_trained_on_and_not_what_waits_in_the_buffer(whole: Saes) -> None:
    """The buffer holds the whole corpus here."""
    _, out = whole
    for cell in out.glob("*/*/seed-0"):
        rows = [json.loads(line) for line in (cell / "train.jsonl").read_text().splitlines()]
        steps, tokens = rows[-1]["step"], record(cell)["identity"]["tokens"]
        assert [row["tokens"] for row in rows] == [round(tokens * row["step"] / steps) for row in rows]
        assert 0 < rows[0]["tokens"] < rows[-1]["tokens"] == tokens


@pytest.mark.parametrize("steps_in_all", [1, 99, 150, 199, 200, 1024])
def test_there_is_a_line_for_each_hundredth_of_a_training(steps_in_all: int) -> None:
    every = train_pass.steps_between_lines(steps_in_all)
    assert min(steps_in_all, 50) <= steps_in_all / every <= 100


def test_a_corpus_without_a_cell_left_ends_at_once(whole: Saes, tmp_path: Path, steps: Steps) -> None:
    config, _ = whole
    steps.lost = {5: (0, 1)}
    with pytest.raises(FaithfulError, match=r"weights\.$"):
        train(replace(config, corpora=config.corpora[:1], out=tmp_path, seeds=(0, 1), checkpoint_minutes=1e-9))
    assert max(steps.made) == 5 and not checkpoints(tmp_path)


def killed(whole: Saes, out: Path, steps: Steps) -> TrainConfig:
    """A training of one corpus in which seed 0 diverges at step 4 and which is killed at step 8."""
    config = replace(whole[0], corpora=whole[0].corpora[:1], out=out, seeds=(0, 1), checkpoint_minutes=1e-9)
    steps.lost, steps.last = {3: (0,)}, 8
    with pytest.raises(KeyboardInterrupt):
        train(config)
    steps.lost, steps.last = {}, None
    steps.made.clear()
    return replace(config, checkpoint_minutes=10.0)


def test_checkpoints_go_on_after_a_cell_diverged(whole: Saes, tmp_path: Path, steps: Steps) -> None:
    config = killed(whole, tmp_path, steps)
    (tmp_path / "one" / FOLDER / ".half.pt.tmp").write_bytes(b"written when the process was killed")
    with pytest.raises(FaithfulError, match=r"seed 0 is nan at step 4; .* other 1 SAEs"):
        train(config)
    assert min(steps.made) == 8
    assert equal(tmp_path / "one" / SHAPE / "seed-1", whole[1] / "one" / SHAPE / "seed-1")
    assert not checkpoints(tmp_path) and not list(tmp_path.rglob("*.tmp"))
    steps.made.clear()
    assert [path.name for path in train(config).trained] == ["seed-0"]
    assert min(steps.made) == 0
    assert equal(tmp_path / "one" / SHAPE / "seed-0", whole[1] / "one" / SHAPE / "seed-0")


def test_a_checkpoint_goes_when_no_cell_can_go_on_from_it(whole: Saes, tmp_path: Path, steps: Steps) -> None:
    config = killed(whole, tmp_path, steps)
    assert len(train(replace(config, seeds=(1,))).trained) == 1
    assert min(steps.made) == 8 and not checkpoints(tmp_path)


def test_what_cannot_be_written_goes_on_from_its_checkpoint(
    whole: Saes, tmp_path: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(whole[0], corpora=whole[0].corpora[:1], out=tmp_path, seeds=(0, 1), checkpoint_minutes=1e-9)
    real = train_pass.write_cell

    def write(cell: Cell, *content: Any) -> None:
        if cell.seed == 0:
            raise FaithfulError("The disk is full.")
        real(cell, *content)

    monkeypatch.setattr(train_pass, "write_cell", write)
    with pytest.raises(FaithfulError, match=r"disk is full\. The other 1 SAEs"):
        train(config)
    monkeypatch.setattr(train_pass, "write_cell", real)
    last = max(steps.made)
    steps.made.clear()
    train(config)
    assert set(steps.made) == {last} and not checkpoints(tmp_path)
    assert equal(tmp_path / "one" / SHAPE / "seed-0", whole[1] / "one" / SHAPE / "seed-0")


def test_only_what_goes_on_from_a_checkpoint_keeps_its_threads(
    whole: Saes, tmp_path: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = [2]
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    config = replace(whole[0], corpora=whole[0].corpora[:1], out=tmp_path, seeds=(0, 1), checkpoint_minutes=1e-9)
    steps.last = 4
    with pytest.raises(KeyboardInterrupt):
        train(replace(config, threads=1))
    assert threads[-1] == 2
    steps.last = None
    train(replace(config, seeds=(0, 1, 2), checkpoint_minutes=10.0))
    assert threads[-1] == 2
    assert [record(tmp_path / "one" / SHAPE / f"seed-{seed}")["threads"] for seed in range(3)] == [1, 1, 2]


def test_loggers_that_cannot_be_are_refused_first_and_those_opened_are_closed(
    whole: Saes, tmp_path: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(whole[0], out=tmp_path, seeds=(0,), log="wandb")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with monkeypatch.context() as patched, pytest.raises(FaithfulError, match="pip install wandb"):
        patched.setattr(training, "settle", lambda *_: pytest.fail("work was begun"))
        train(config)
    closed: list[str] = []
    run = SimpleNamespace(log=lambda values, step: None, finish=lambda: closed.append("closed"))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **_: run))
    steps.lost = {0: (0,)}
    with pytest.raises(FaithfulError, match="is nan at step 1"):
        train(config)
    assert len(closed) == 2


@pytest.mark.parametrize(
    ("corpora", "workers", "expected"),
    [
        (2, 1, [["a", 8, 16, 32, 64], ["b", 8, 16, 32, 64]]),
        (2, 2, [["a", 8, 16, 32, 64], ["b", 8, 16, 32, 64]]),
        (1, 2, [["a", 8, 16, 32], ["a", 64]]),
        (2, 3, [["a", 8, 16, 32], ["a", 64], ["b", 8, 16, 32, 64]]),
        (1, 4, [["a", 8, 16], ["a", 32], ["a", 64], ["a", 64]]),
        (1, 6, [["a", 8, 16], ["a", 32], ["a", 32], ["a", 64], ["a", 64], ["a", 64]]),
        (1, 20, [["a", width] for width in (8, 16, 32, 64)] * 3),
    ],
)
def test_forward_passes_are_as_few_as_workers_allow(
    corpora: int, workers: int, expected: list[Any], tmp_path: Path
) -> None:
    missing = {tmp_path / name: cells(tmp_path, name, {8: 3, 16: 3, 32: 3, 64: 3}) for name in "ab"[:corpora]}
    jobs = training._jobs(missing | {tmp_path / "c": []}, workers)
    found = [[folder.name, *sorted({cell.shape.d_sae for cell in group})] for folder, group in jobs]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert sum(len(group) for _, group in jobs) == 12 * corpora


@pytest.mark.parametrize(("workers", "seeds"), [(1, [6]), (2, [3, 3]), (4, [1, 1, 2, 2]), (6, [1] * 6), (8, [1] * 6)])
def test_the_seeds_of_one_shape_are_shared_out(workers: int, seeds: list[int], tmp_path: Path) -> None:
    jobs = training._jobs({tmp_path: cells(tmp_path, "own", {8: 6})}, workers)
    assert sorted(len(group) for _, group in jobs) == seeds
    assert {cell.seed for _, group in jobs for cell in group} == set(range(6))


def test_a_stopped_cell_stays_as_it_is_and_the_others_do_not_see_it() -> None:
    config = StackConfig(d_in=24, d_sae=96, k=4, init_seeds=(0, 1), steps=8, lr=2e-3, dead_tokens=10**9)
    data = batches(8, 12, 24)
    stack = stack_for(config, data[0])
    for x in data[:4]:
        stack.step(x)
    stack.stop(0)
    before = stack.sae(0).sha256()
    assert str(stack.metrics()[0]["loss"]) == "nan"
    for x in data[4:]:
        stack.step(x)
    stopped, other = stack.metrics()
    assert stack.sae(0).sha256() == before
    assert str(stopped["fvu"]) == "nan" and other["loss"] > 0
    assert stack.sae(1).sha256() == trained(config, data).sae(1).sha256()

"""`faithful train`: the contract as written, independence of cells, resume, refusals, files that SAELens reads."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock, locked_together
from faithful.base.progress import Progress
from faithful.base.quantities import Part
from faithful.cli import app
from faithful.cli.output.training_tables import LiveTable
from faithful.formats.files import load_sae
from faithful.models.spec import ModelSpec
from faithful.options.line import command_line
from faithful.store import corpus as store
from faithful.store.corpora_of_saes import noted_corpora
from faithful.store.corpus import Corpus, read_manifest
from faithful.store.readings import NAME
from faithful.training import corpus_pass as module
from faithful.training import train as training
from faithful.training.card import write_saes_card
from faithful.training.cell import Cell
from faithful.training.forecast import longest_part, part_seconds, plan_training
from faithful.training.train import train
from generation.sampling.distribution import Sampling
from tests.documented import undocumented
from tests.faithful.training.grids import TOKENS, configured, weights
from tests.own import write_own

Model = Callable[[str], tuple[ModelSpec, Any]]


def equal(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


SHAPE = "own/resid_pre.1-f96-k4"


def test_cells_lie_where_the_contract_says_and_training_shows(trained: Path) -> None:
    for seed in (0, 1):
        folder = trained / SHAPE / f"seed-{seed}"
        record = json.loads((folder / "cfg.json").read_text())["metadata"]
        rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
        assert rows[-1]["step"] == record["steps"] > 10
        assert rows[-1]["loss"] < rows[0]["loss"]
        assert record["hook_name"] == "blocks.1.hook_resid_pre" and record["faithful_seed"] == seed
        found = record["faithful"]["evaluation"]
        assert 0 < found["fvu"] < 1 and 0 < found["l0"] <= 4 and found["ce_recovered"] <= 1
        assert (folder / "sparsity.safetensors").exists()
    assert not equal(trained / SHAPE / "seed-0", trained / SHAPE / "seed-1")


def test_every_figure_has_its_line_in_the_documentation(trained: Path) -> None:
    cell = next(trained.glob("*/*/seed-*"))
    record = json.loads((cell / "cfg.json").read_text())["metadata"]["faithful"]
    assert undocumented("Training", record["evaluation"]) == []
    assert undocumented("Training", json.loads((cell / "train.jsonl").read_text().splitlines()[-1])) == []


def test_parts_of_a_grid_give_its_bytes_whatever_is_there(
    trained: Path, corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = configured(corpora, tmp_path / "saes")
    none = train(told, part=Part(0, 5))
    assert none.trained == [] and none.note == (
        "Part 0/5 has no SAE to train: there are 2. 2 of the 2 of all parts are still missing."
    )
    second = train(told, part=Part(1, 2))
    assert [path.name for path in second.trained] == ["seed-1"] and second.left == 1
    assert second.note.startswith("1 SAE of part 1/2 trained on ")
    with monkeypatch.context() as patched:
        patched.setattr(training, "load_model", lambda *_: pytest.fail("a model was loaded"))
        again = train(told, part=Part(1, 2))
    assert again.trained == [] and "holds the one SAE of part 1/2 already" in again.note
    first = train(told, part=Part(0, 2))
    assert [path.name for path in first.trained] == ["seed-0"]
    assert first.note.endswith("None of the 2 of all parts are still missing.") and not first.left
    assert train(told).trained == []
    for seed in (0, 1):
        for name in ("sae_weights.safetensors", "sparsity.safetensors"):
            place = f"{SHAPE}/seed-{seed}/{name}"
            assert (told.out / place).read_bytes() == (trained / place).read_bytes()


def test_what_is_published_is_not_trained_on_and_the_other_way_round(
    trained: Path, corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publishing locks the folder of the SAEs; a training that begins a cell, or its card, would change what is sent."""
    told = configured(corpora, tmp_path / "saes")

    def publish() -> None:
        with folder_lock(told.out):
            pass

    def load(*_: object) -> None:
        with ThreadPoolExecutor(1) as other, pytest.raises(FaithfulError, match="Parts of this work are being done"):
            other.submit(publish).result()
        raise FaithfulError("That was all.")

    monkeypatch.setattr(training, "load_model", load)
    with folder_lock(told.out):
        for part in (None, Part(0, 2)):
            with pytest.raises(FaithfulError, match="Another process"):
                train(told, part=part)
    with locked_together(told.out), folder_lock(told.out), pytest.raises(FaithfulError, match="That was all"):
        train(told, part=Part(0, 2))
    with folder_lock(trained), pytest.raises(FaithfulError, match="Another process"):
        write_saes_card(trained)


def test_a_part_hashes_no_corpus_that_it_does_not_train_on(
    trained: Path, corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = configured(corpora, Path(shutil.copytree(trained, tmp_path / "saes")), corpora=tuple(corpora.values()))
    (both.out / NAME).unlink()
    own = [training._own_cells(both.corpora, 2, Part(number, 3)) for number in range(3)]
    assert own == [{corpora["own"]: slice(0, 1)}, {corpora["own"]: slice(1, 2)}, {corpora["cool"]: slice(0, 2)}]
    hashed: list[str] = []
    monkeypatch.setattr(training, "_prefix_sha256", lambda folder, *_: str(hashed.append(folder.name)))
    with pytest.raises(FaithfulError, match="another now"):
        train(both, part=Part(0, 2))
    assert hashed == ["own"]


def test_the_longest_part_has_a_forward_pass_of_each_of_its_corpora(corpora: dict[str, Path], tmp_path: Path) -> None:
    plan = plan_training(configured(corpora, tmp_path, corpora=tuple(corpora.values()), seeds=range(6)))
    one, each = plan.seconds / 2, plan.evaluation_flops
    shared, sae = plan.tokens * plan.forward_flops + 3 * each, plan.tokens * plan.sae_flops + 6 * each
    forward = shared / (shared + sae)
    assert longest_part(plan, 1) == part_seconds(plan, Part(0, 1)) == pytest.approx(plan.seconds)
    assert longest_part(plan, 2) == pytest.approx(one)
    assert longest_part(plan, 4) == pytest.approx(one * (forward + (1 - forward) / 2))
    assert part_seconds(plan, Part(0, 150)) == 0.0, "of more parts than SAEs the first have none"
    for of in (12, 13, 100, 150, 10**9 - 1):
        assert longest_part(plan, of) == pytest.approx(one * (forward + (1 - forward) / 6))


def test_the_command_prints_the_line_for_all_parts(corpora: dict[str, Path], tmp_path: Path) -> None:
    def run(*words: str) -> Result:
        told = shlex.split(command_line(configured(corpora, tmp_path / "saes")))[1:]
        return CliRunner().invoke(app, [*told, *words])

    def said(*words: str) -> str:
        return run(*words).stderr

    line = next(line for line in said("--part", "0/4", "--dry-run").splitlines() if line.startswith("sbatch"))
    assert line.startswith("sbatch --array=0-3 --time=11 --wrap 'faithful train --corpus ")
    assert line.endswith("--part $SLURM_ARRAY_TASK_ID/4'") and not (tmp_path / "saes").exists()
    given = json.loads(run("--part", "0/4", "--dry-run", "--json", "--executor", "ray", "--ray", "head:6379").stdout)
    assert given["sbatch"].endswith(" --executor ray --ray head:6379 --part $SLURM_ARRAY_TASK_ID/4'")
    assert given["part_seconds"] == 0 < given["seconds"], "there are two SAEs"
    assert "--gpus=1 " in said("--part", "0/4", "--dry-run", "--assume", "h100")
    assert "no part 17/16: parts are numbered from 0" in said("--part", "17/16").replace("\n", " ")


@pytest.mark.slow
def test_two_parts_of_a_grid_at_once_in_one_folder(trained: Path, corpora: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "saes"
    line = [sys.executable, "-m", *shlex.split(command_line(configured(corpora, out)))]
    both = [subprocess.Popen([*line, "--part", f"{number}/2"]) for number in (0, 1)]
    assert [one.wait() for one in both] == [0, 0]
    assert all(equal(out / SHAPE / f"seed-{seed}", trained / SHAPE / f"seed-{seed}") for seed in (0, 1))
    card = (out / "README.md").read_text()
    assert write_saes_card(out).read_text() == card, "the part that ended last has seen both"
    assert list(noted_corpora(out)) == ["own"]


def test_the_same_again_does_nothing(trained: Path, corpora: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "load_model", lambda *_: pytest.fail("a model was loaded"))
    result = train(configured(corpora, trained))
    assert result.trained == [] and len(result.skipped) == 2 and "nothing to do" in result.note


def test_of_two_equal_trainings_begun_at_once_the_second_finds_what_the_first_made(
    trained: Path, corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(trained, tmp_path / "saes"))
    cells = training.grid

    def begun_before(*given: Any) -> list[Cell]:
        """As `grid` saw the folder when nothing was there."""
        return [replace(cell, identity=cell.identity | {"prefix_sha256": ""}) for cell in cells(*given)]

    monkeypatch.setattr(training, "grid", begun_before)
    monkeypatch.setattr(training, "TrainingPass", lambda *_: pytest.fail("an SAE was trained twice"))
    train(configured(corpora, out))
    assert all(equal(folder, out / folder.relative_to(trained)) for folder in trained.glob("own/*/seed-*"))


def reads_of(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[tuple[str, bool]]:
    """What is read of a corpus' shards from now on: split and whether token ids are among it; whole files, for their
    checksums, are not."""
    seen: list[tuple[str, bool]] = []
    real = Corpus.batches

    def batches(self: Corpus, split: str = "train", columns: list[str] | None = None) -> Any:
        if self.folder == folder:
            seen.append((split, columns is None or "token_ids" in columns))
        return real(self, split, columns)

    monkeypatch.setattr(Corpus, "batches", batches)
    return seen


def test_tokens_are_read_once_to_train_and_not_at_all_where_nothing_is_to_do(
    corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, config = reads_of(monkeypatch, corpora["own"]), configured(corpora, tmp_path / "saes")
    train(config)
    assert seen.count(("train", True)) == 1
    identities = [identity_of(tmp_path / "saes" / SHAPE / f"seed-{seed}") for seed in (0, 1)]
    seen.clear()
    with monkeypatch.context() as patched:
        patched.setattr(store, "is_intact", lambda *_: pytest.fail("a shard was read for its checksum"))
        patched.setattr(training, "load_model", lambda *_: pytest.fail("a model was loaded"))
        assert len(train(config).skipped) == 2
        assert plan_training(config).tokens == TOKENS
    assert seen == []
    (tmp_path / "saes" / NAME).unlink()
    assert len(train(config).skipped) == 2 and ("train", True) in seen
    seen.clear()
    assert len(train(config).skipped) == 2 and seen == []
    assert [identity_of(tmp_path / "saes" / SHAPE / f"seed-{seed}") for seed in (0, 1)] == identities
    assert len(train(replace(config, seeds=(0, 1, 2))).trained) == 1
    assert seen.count(("train", True)) == 1


def identity_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "cfg.json").read_text())["metadata"]["faithful"]["identity"])


def test_what_was_read_before_hides_neither_other_text_nor_a_damaged_shard(
    trained: Path, corpora: dict[str, Path], family_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(trained, tmp_path / "saes")
    spec, model = family_model("gpt2")
    sizes = {"train": 7000, "test": 1500}
    other = write_own(tmp_path / "other" / "own", spec, model, Sampling(max_tokens=31), sizes, seed=9)
    with pytest.raises(FaithfulError, match="the corpus' text is another now"):
        train(configured({"own": other}, out))
    damaged = shutil.copytree(corpora["own"], tmp_path / "damaged" / "own")
    shard = damaged / read_manifest(damaged).shards["test"][0].file
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    config = configured({"own": damaged}, out)
    assert len(train(config).skipped) == 2, "what is not used may be damaged"
    monkeypatch.setattr(training, "load_model", lambda *_: pytest.fail("a model was loaded"))
    with pytest.raises(FaithfulError, match=r"part-00000\.parquet: it is missing or damaged"):
        train(replace(config, seeds=(0, 1, 2)))


def test_adding_cells_trains_only_them_and_changes_none(
    trained: Path, corpora: dict[str, Path], tmp_path: Path
) -> None:
    """A cell alone, one added later and cells of a larger grid with another shape are equal to the bit."""
    shutil.copytree(trained, tmp_path / "saes")
    before = (tmp_path / "saes" / SHAPE / "seed-0" / "cfg.json").stat().st_mtime_ns
    result = train(configured(corpora, tmp_path / "saes", seeds=(0, 1, 2)))
    assert [path.name for path in result.trained] == ["seed-2"]
    assert (tmp_path / "saes" / SHAPE / "seed-0" / "cfg.json").stat().st_mtime_ns == before
    train(configured(corpora, tmp_path / "grid", seeds=(2, 1), d_sae=(96, 55), k=(4, 3)))
    for seed in (1, 2):
        assert equal(tmp_path / "grid" / SHAPE / f"seed-{seed}", tmp_path / "saes" / SHAPE / f"seed-{seed}")
    train(configured(corpora, tmp_path / "alone", seeds=(1,)))
    assert equal(tmp_path / "alone" / SHAPE / "seed-1", trained / SHAPE / "seed-1")


def test_growing_the_corpus_changes_no_cell(
    trained: Path, corpora: dict[str, Path], family_model: Model, tmp_path: Path
) -> None:
    spec, model = family_model("gpt2")
    sizes = {"train": 9000, "test": 1500}
    grown = write_own(tmp_path / "corpora" / "own", spec, model, Sampling(max_tokens=31), sizes)
    train(configured({"own": grown}, tmp_path / "saes", seeds=(0,)))
    assert equal(tmp_path / "saes" / SHAPE / "seed-0", trained / SHAPE / "seed-0")


def test_killed_anywhere_and_run_again_equals_the_uninterrupted_run(
    trained: Path, corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.Stack.step
    config = configured(corpora, tmp_path, checkpoint_minutes=1e-9)
    for stop in (3, 9, 9):
        made = iter(range(1000))

        def step(self: Any, x: Any, made: Any = made, stop: int = stop) -> None:
            if next(made) == stop:
                raise KeyboardInterrupt
            real(self, x)

        monkeypatch.setattr(module.Stack, "step", step)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    monkeypatch.setattr(module.Stack, "step", real)
    train(config)
    for seed in (0, 1):
        assert equal(tmp_path / SHAPE / f"seed-{seed}", trained / SHAPE / f"seed-{seed}")
        lines = [(tmp_path / SHAPE / f"seed-{seed}" / "train.jsonl").read_text().splitlines() for _ in range(2)]
        steps = [json.loads(line)["step"] for line in lines[0]]
        assert steps == sorted(set(steps))
    assert not list((tmp_path / "own" / ".checkpoints").glob("*.pt"))


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> Callable[..., None]:
    """Make the next training stop after so many steps of a stack; the real step comes back."""
    real, made = module.Stack.step, iter(range(10_000))

    def step(self: Any, x: Any) -> None:
        if next(made) == after:
            raise KeyboardInterrupt
        real(self, x)

    monkeypatch.setattr(module.Stack, "step", step)
    return real


def test_a_checkpoint_serves_fewer_seeds_other_orders_and_many_cells(
    trained: Path, corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty-four cells stop half way; a part of them, asked for in another order, goes on from there."""
    config = configured(corpora, tmp_path, checkpoint_minutes=1e-9, seeds=tuple(range(6)), d_sae=(96, 55), k=(4, 3))
    real = interrupt(monkeypatch, 50)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    [file] = (tmp_path / "own" / ".checkpoints").glob("*.pt")
    steps = []

    def counted(self: Any, x: Any) -> None:
        steps.append(self.steps_done)
        real(self, x)

    monkeypatch.setattr(module.Stack, "step", counted)
    train(replace(config, seeds=(1, 0), d_sae=(96,), k=(4,)))
    assert min(steps) == 12 and file.exists()
    for seed in (0, 1):
        assert equal(tmp_path / SHAPE / f"seed-{seed}", trained / SHAPE / f"seed-{seed}")
    steps.clear()
    assert len(train(config).trained) == 22
    assert min(steps) == 12 and not file.exists()


def test_a_cell_that_diverges_costs_the_others_nothing(
    trained: Path, corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.Stack.step

    def step(self: Any, x: Any) -> None:
        if self.steps_done == 5:
            self.weights["W_enc"][0] = float("nan")
        real(self, x)

    monkeypatch.setattr(module.Stack, "step", step)
    with pytest.raises(FaithfulError, match=r"seed 0 is nan .* other 1 SAEs"):
        train(configured(corpora, tmp_path))
    assert not (tmp_path / SHAPE / "seed-0" / "cfg.json").exists()
    assert equal(tmp_path / SHAPE / "seed-1", trained / SHAPE / "seed-1")
    monkeypatch.setattr(module.Stack, "step", real)
    train(configured(corpora, tmp_path))
    assert equal(tmp_path / SHAPE / "seed-0", trained / SHAPE / "seed-0")


def test_a_training_goes_on_with_its_threads_and_a_damaged_checkpoint_is_named(
    corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = torch.get_num_threads()
    config = configured(corpora, tmp_path, checkpoint_minutes=1e-9)
    real = interrupt(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    monkeypatch.setattr(module.Stack, "step", real)
    try:
        with pytest.raises(FaithfulError, match=f"begun with {threads} threads"):
            train(replace(config, threads=threads + 1))
    finally:
        torch.set_num_threads(threads)
    [file] = (tmp_path / "own" / ".checkpoints").glob("*.pt")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(FaithfulError, match="delete it to start those SAEs anew"):
        train(config)


@pytest.mark.parametrize("name", ["wandb", "tensorboard"])
def test_loggers_get_every_interval_of_every_cell(
    name: str, corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two packages' interfaces, as far as they are used."""
    told: list[Any] = []
    run = SimpleNamespace(log=lambda values, step: told.extend((key, step) for key in values), finish=lambda: None)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **_: run))
    writer = SimpleNamespace(add_scalar=lambda key, value, step: told.append((key, step)), close=lambda: None)
    board = SimpleNamespace(SummaryWriter=lambda folder: writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", board)
    train(configured(corpora, tmp_path, log=name))
    lines = (tmp_path / SHAPE / "seed-0" / "train.jsonl").read_text().splitlines()
    assert sum(key.endswith("fvu") for key, _ in told) == 2 * len(lines)
    assert {step for _, step in told} == {json.loads(line)["step"] for line in lines}


def test_saelens_reads_what_we_wrote(trained: Path) -> None:
    sae_lens = pytest.importorskip("sae_lens")
    folder = trained / SHAPE / "seed-0"
    theirs, ours = sae_lens.SAE.load_from_disk(str(folder)), load_sae(folder)
    x = torch.randn(64, ours.d_in, generator=torch.Generator().manual_seed(0)) * 3
    assert torch.allclose(theirs(x), ours.reconstruct(x), atol=1e-5)


def test_the_live_table_has_a_row_per_cell_with_speed_and_time_left() -> None:
    def point(step: str, done: int, fvu: float, *names: str) -> Progress:
        figures = {"fvu": fvu, "l0": 3.9, "dead_in_training": 1200, "loss": 0.26}
        return Progress(f"training {step}", done, 9000, cells=[{"cell": name} | figures for name in names])

    table, written = LiveTable(), StringIO()
    first = table.told(point("own", 1000, 0.5, "f96-k4 seed 0", "f96-k4 seed 1"), 10.0)
    assert all(cell == "–" for name in ("tokens/s", "ETA") for cell in column(first, name))
    table.told(point("cool", 3000, 0.7, "f96-k4 seed 0"), 11.0)
    table.told(point("cool", 3400, 0.6, "f96-k4 seed 0"), 12.0)
    last = table.told(point("own", 5000, 0.25, "f96-k4 seed 0", "f96-k4 seed 1"), 12.0)
    assert column(last, "step") == ["training own", "training own", "training cool"]
    assert column(last, "tokens/s") == ["2,000", "2,000", "400"]
    assert column(last, "ETA") == ["2 s", "2 s", "14 s"]
    assert column(last, "fvu") == ["0.2500", "0.2500", "0.6000"]
    looked = point("own", 6000, 0.25, "f96-k4 seed 0", "f96-k4 seed 1")
    looked.cells[1].update(held_out_fvu=0.31, held_out_l0=3.5, held_out_never_fired=1500)
    beside = table.told(looked, 12.5)
    assert column(beside, "fvu") == ["0.2500", "0.2500 / 0.3100", "0.6000"]
    assert column(beside, "l0")[:2] == ["3.9", "3.9 / 3.5"]
    assert column(beside, "dead")[:2] == ["1,200", "1,200 / 1,500"]
    Console(file=written, width=150).print(table.told(Progress("evaluating own", 0, 100, unit="contexts"), 13.0))
    shown = " ".join(written.getvalue().split())
    for said in (
        "evaluating own: 0 of 100 contexts",
        "f96-k4 seed 1",
        "tokens/s",
        "ETA",
        "1,200",
        "0.2600",
        "3.9",
        "14 s",
    ):
        assert said in shown


def column(table: Any, name: str) -> list[str]:
    """Cells of a rich table's column."""
    return [str(cell) for found in table.columns if found.header == name for cell in found.cells]


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"layer": 2}, "layers 0 to 1"),
        ({"k": (97,)}, "does not fit 96 latents"),
        ({"tokens": 10**6}, "passes; say so with --epochs"),
        ({"tokens": 100, "epochs": 2.0}, "not both"),
        ({"seeds": (1, 1)}, "each seed once"),
        ({"context": 4096}, "does not fit"),
        ({"corpora": ()}, "no corpus"),
        ({"log": "paper"}, "not a logger"),
        ({"lr": 1e30}, "smaller --lr"),
    ],
)
def test_refusals(stated: dict[str, Any], said: str, corpora: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match=said):
        train(configured(corpora, tmp_path / "out", **stated))
    assert not list((tmp_path / "out").rglob("cfg.json"))


def test_a_cell_trained_otherwise_is_refused_with_the_difference(trained: Path, corpora: dict[str, Path]) -> None:
    with pytest.raises(FaithfulError, match=r"lr 0\.001 asked for, 0\.003 there"):
        train(configured(corpora, trained, lr=1e-3))


def test_a_corpus_of_another_tokenizer_is_refused(
    corpora: dict[str, Path], family_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(FaithfulError, match="tokenised for"):
        train(configured(corpora, tmp_path, model=str(family_folder("llama"))))


@pytest.mark.slow
def test_workers_train_the_same_cells(trained: Path, corpora: dict[str, Path], tmp_path: Path) -> None:
    config = configured(corpora, tmp_path, workers=2, d_sae=(96, 55), threads=torch.get_num_threads())
    told: list[Any] = []
    train(config, told.append)
    assert {cell["cell"].split()[0] for point in told for cell in point.cells} == {"f96-k4", "f55-k4"}
    assert equal(tmp_path / SHAPE / "seed-0", trained / SHAPE / "seed-0")
    assert train(replace(config, workers=1)).trained == []


def test_the_command_as_typed(corpora: dict[str, Path], tmp_path: Path) -> None:
    stated = [
        "train", "--corpus", str(corpora["own"]), "--seeds", "0,1", "--layer", "1", "--d-sae", "96", "--k", "4",
        "--tokens", "6k", "--out", str(tmp_path), "--context", "32", "--batch", "256", "--eval-tokens", "1k",
    ]  # fmt: skip
    told = CliRunner().invoke(app, stated)
    assert told.exit_code == 0, told.output
    assert (tmp_path / SHAPE / "seed-0" / "cfg.json").exists() and "ce_recovered" in told.stdout
    again = CliRunner().invoke(app, [*stated, "--json"])
    assert json.loads(again.stdout)["trained"] == []
    dry = CliRunner().invoke(app, [*stated, "--dry-run", "--json"])
    assert json.loads(dry.stdout)["cells"] == 2
    bad = CliRunner().invoke(app, [*stated, "--seeds", "a"])
    assert bad.exit_code == 2

"""`faithful train`: the contract as written, independence of cells, resume, refusals, files that SAELens reads."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from faithful.activations.stream import ActivationStream, StreamConfig, stream_rows
from faithful.base.errors import FaithfulError
from faithful.cli import app
from faithful.cli.output.training_tables import LiveTable
from faithful.formats.files import load_sae
from faithful.hooks.truncated import TruncatedModel
from faithful.models.spec import ModelSpec, resolve_model
from faithful.store import corpus as store
from faithful.store.corpora_of_saes import bos_of
from faithful.store.corpus import Corpus, read_manifest, write_manifest
from faithful.store.readings import NAME
from faithful.training import corpus_pass as module
from faithful.training import train as training
from faithful.training.cell import Cell, refuse_untrained, transformer_lens_name
from faithful.training.config import TrainConfig
from faithful.training.corpus_pass import TrainProgress
from faithful.training.evaluate import Evaluation
from faithful.training.forecast import CPU_FLOPS_PER_THREAD, plan_rows, plan_training
from faithful.training.settings import settle
from faithful.training.train import train
from generation.sampling.distribution import Sampling
from tests.documented import undocumented
from tests.families import build_without_bos, copy_family
from tests.own import write_external, write_own

Model = Callable[[str], tuple[ModelSpec, Any]]
TOKENS = 6000
TRAINED = [{"step": 1, "loss": 1.0}, {"step": 9, "loss": 0.5}]


def evaluation(hook_module: str = "h.1", weights_sha256: str = "a", **figures: float) -> Evaluation:
    """One that shows a training, but for what is given."""
    return Evaluation({"l0": 1.0, "l2_ratio": 1.0} | figures, torch.zeros(8), hook_module, weights_sha256)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> dict[str, Path]:
    """Two own corpora of a tiny GPT-2."""
    spec, model = family_model("gpt2")
    root = tmp_path_factory.mktemp("train") / "corpora"
    sampling = Sampling(max_tokens=31)
    sizes = {"train": 7000, "test": 1500}
    return {
        "own": write_own(root / "own", spec, model, sampling, sizes),
        "cool": write_own(root / "cool", spec, model, sampling.with_changes(temperature=0.7), sizes, seed=3),
    }


def configured(made: dict[str, Path], out: Path, **values: Any) -> TrainConfig:
    defaults: dict[str, Any] = {
        "corpora": (made["own"],), "out": out, "seeds": (0, 1), "layer": 1, "d_sae": (96,), "k": (4,), "lr": 3e-3,
        "tokens": TOKENS, "context": 32, "batch": 256, "device": "cpu", "eval_tokens": 1000,
    }  # fmt: skip
    return TrainConfig(**defaults | values)


@pytest.fixture(scope="module")
def trained(corpora: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of one shape; never change it."""
    out = tmp_path_factory.mktemp("saes")
    train(configured(corpora, out))
    return out


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "sae_weights.safetensors")


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


def test_the_same_again_does_nothing(trained: Path, corpora: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "load_model", lambda *_: pytest.fail("a model was loaded"))
    result = train(configured(corpora, trained))
    assert result.trained == [] and len(result.skipped) == 2 and "nothing to do" in result.note


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


def test_all_corpora_get_the_same_number_of_tokens(corpora: dict[str, Path], tmp_path: Path) -> None:
    both = (corpora["own"], corpora["cool"])
    plan = plan_training(configured(corpora, tmp_path, corpora=both, tokens=None))
    assert plan.cells == 4 and 6900 <= plan.tokens <= 7100
    train(configured(corpora, tmp_path, corpora=both, seeds=(0,)))
    steps = [
        json.loads((tmp_path / name / "resid_pre.1-f96-k4" / "seed-0" / "cfg.json").read_text())["metadata"]["steps"]
        for name in ("own", "cool")
    ]
    assert abs(steps[0] - steps[1]) <= 1


def test_epochs_and_what_lies_beyond_the_context(corpora: dict[str, Path], tmp_path: Path) -> None:
    one = plan_training(configured(corpora, tmp_path, tokens=None, epochs=2.0))
    assert one.tokens == pytest.approx(2 * 7000, rel=0.02)
    cut = plan_training(configured(corpora, tmp_path, tokens=7000, context=16))
    assert cut.unusable["own"] > 1000 and cut.tokens < 7000
    result = train(configured(corpora, tmp_path, epochs=1.5, tokens=None, seeds=(0,)))
    record = json.loads((result.trained[0] / "cfg.json").read_text())["metadata"]
    assert record["tokens"] == pytest.approx(1.5 * 7000, rel=0.02)
    again, _ = settle(configured(corpora, tmp_path, tokens=None, batch=None), "cpu")
    assert (again.epochs, again.tokens) == (1.5, record["faithful"]["identity"]["tokens"])


def test_what_is_left_out_comes_from_the_saes_that_are_there(
    trained: Path, corpora: dict[str, Path], family_model: Model, tmp_path: Path
) -> None:
    """Corpora and seeds join a grid as it began, however large they are; what cannot is refused before anything is read."""
    out = shutil.copytree(trained, tmp_path / "saes")
    left_out = dict.fromkeys(("tokens", "context", "batch", "buffer", "lr"))
    stated, _ = settle(configured(corpora, trained), "cpu")
    both = (corpora["own"], corpora["cool"])
    assert settle(configured(corpora, out, corpora=both, **left_out), "cpu")[0] == stated
    alone = configured(corpora, out, corpora=(corpora["cool"],), seeds=(0,), **left_out)
    assert settle(alone, "cpu")[0] == replace(stated, seeds=(0,))
    train(alone)
    assert [path.parts[-3] for path in train(replace(alone, corpora=both)).skipped] == ["own", "cool"]
    spec, _ = family_model("gpt2")
    texts = {"train": [np.arange(5, 36)] * 100, "test": [np.arange(5, 36)]}
    short = write_external(tmp_path / "corpora" / "short", spec, texts)
    with pytest.raises(FaithfulError, match=r"short holds 3,100 tokens .* trained on 6,000 .* make short larger"):
        settle(configured(corpora, out, corpora=(*both, short), **left_out), "cpu")
    path = out / "cool" / "resid_pre.1-f96-k4" / "seed-0" / "cfg.json"
    config = json.loads(path.read_text())
    config["metadata"]["faithful"] = {"identity": config["metadata"]["faithful"]["identity"] | {"tokens": 5000}}
    path.write_text(json.dumps(config))
    assert settle(configured(corpora, out, **left_out), "cpu")[0] == stated
    with pytest.raises(FaithfulError, match=r"trained with tokens 5,000 and 6,000; choose with --tokens"):
        settle(configured(corpora, out, corpora=both, **left_out), "cpu")


def test_contexts_begin_with_the_bos_that_the_corpora_were_sampled_from(
    corpora: dict[str, Path], family_folder: Callable[[str], Path], family_model: Model, tmp_path: Path
) -> None:
    folder = str(family_folder("gpt2"))
    spec, model = resolve_model(folder, bos=7), family_model("gpt2")[1]
    sizes = {"train": 900, "test": 200}
    own = write_own(tmp_path / "seven", spec, model, Sampling(max_tokens=31), sizes)
    text = [np.arange(5, 36)] * 40
    prose = write_external(tmp_path / "prose", family_model("gpt2")[0], {"train": text, "test": text})
    derived = write_external(tmp_path / "derived", spec, {"train": text, "test": text}, kind="derived")
    parts = [{"kind": "derived", "provenance": {"inputs": [{"kind": "own", "provenance": {}}]}}]
    edit_provenance(derived, inputs=parts)
    for places in ((own,), (prose, own), (derived, prose)):
        for named in (None, folder):
            wish = configured(corpora, tmp_path / "saes", corpora=places, model=named, tokens=None)
            assert settle(wish, "cpu")[0].model.bos_id == 7
    assert settle(configured(corpora, tmp_path / "saes", corpora=(prose,), tokens=None), "cpu")[0].model.bos_id == 296
    assert bos_of([]) is None
    with pytest.raises(
        FaithfulError, match=r"begin with different tokens .*seven with token 7 and .*own with token 296"
    ):
        settle(configured(corpora, tmp_path / "saes", corpora=(own, corpora["own"])), "cpu")


def test_a_model_without_a_bos_is_trained_with_the_one_it_was_sampled_from(tmp_path: Path) -> None:
    spec = resolve_model(str(build_without_bos(tmp_path / "model")), bos=5)
    text = [np.arange(5, 36)] * 40
    corpus = write_external(tmp_path / "text", spec, {"train": text, "test": text})
    settings, _ = settle(configured({"own": corpus}, tmp_path / "saes", tokens=None), "cpu")
    assert settings.model.bos_id == 5


def test_a_local_model_that_has_changed_is_named_with_what_helps(
    corpora: dict[str, Path], family_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copy_family(family_folder("gpt2"), tmp_path / "model")
    text = [np.arange(5, 36)] * 40
    corpus = write_external(tmp_path / "text", resolve_model(str(folder)), {"train": text, "test": text})
    (folder / "notes.txt").write_text("one more file of those that are hashed")
    wish = configured(corpora, tmp_path / "saes", corpora=(corpus,), tokens=None)
    with pytest.raises(
        FaithfulError, match=r"have changed; put the old model back, or train .* --model .*model\."
    ) as said:
        settle(wish, "cpu")
    assert "--revision" not in str(said.value)
    assert settle(replace(wish, model=str(folder)), "cpu")[0].model.source == str(folder.resolve())


def test_text_that_gives_nothing_to_train_or_to_evaluate_on_is_refused_before_the_training(
    family_model: Model, tmp_path: Path
) -> None:
    spec, _ = family_model("gpt2")
    text, end = [np.arange(5, 36)] * 40, np.array(spec.eos_ids)
    for name, train_text, test_text, layout, said in (
        ("ends", text, [end] * 30, "aligned", "held-out text of .*ends gives aligned contexts of 32 tokens nothing"),
        ("words", text, [np.array([5])] * 30, "aligned", "held-out text of .*words gives"),
        ("short", text, text[:1], "packed", "held-out text of .*short gives packed contexts of 64 tokens nothing"),
        ("least", text[:1], text, "packed", "text of .*least fills no packed context of 64 tokens"),
    ):
        corpus = write_external(tmp_path / name, spec, {"train": train_text, "test": test_text})
        context = 64 if layout == "packed" else 32
        wish = configured({"own": corpus}, tmp_path / "saes", layout=layout, context=context, tokens=None)
        with pytest.raises(FaithfulError, match=said):
            settle(wish, "cpu")
        with pytest.raises(FaithfulError, match=said):
            settle(replace(wish, tokens=30), "cpu")


def test_the_forecast_states_what_is_held_and_computed(
    corpora: dict[str, Path], family_model: Model, tmp_path: Path
) -> None:
    spec, model = family_model("gpt2")
    config = configured(corpora, tmp_path, d_sae=(96, 55), buffer=1024)
    plan, d_in = plan_training(config), 64
    settings, _ = settle(config, "cpu")
    hook = settings.hook
    streamed = StreamConfig(hook, 32, tokens=TOKENS, batch=256, buffer=1024)
    stream = ActivationStream(model, stream_rows(corpora["own"], spec, "train", streamed), streamed)
    stream.moments()
    memory = plan.memory
    assert memory.model == sum(weight.nbytes for weight in model.parameters())
    assert memory.buffer == stream._buffer._memory.nbytes
    assert stream._rows.nbytes <= memory.tokens < 4 * stream._rows.nbytes
    assert memory.forward == TruncatedModel(model, hook).forward_bytes(128, 32) == 128 * 32 * 24 * d_in * 4
    assert memory.saes == sum(settings.stack(d_in, *shape, (0, 1), 1).memory(256) for shape in settings.shapes)
    assert memory.dead == 4 * 256 * (96 + 55) + 20 * 96 * d_in
    weights = sum(2 * (2 * d_sae * d_in + d_sae + d_in) for d_sae in (96, 55))
    forward = TruncatedModel(model, hook).forward_bytes(625, 32)
    assert memory.evaluation == 20 * 625 * 32 * spec.vocab_size + 2 * forward + 4 * weights
    largest = max(memory.evaluation, memory.forward, memory.buffer)
    assert memory.total == memory.model + memory.tokens + memory.buffer + memory.saes + memory.dead + largest
    assert plan.to_dict()["memory"]["total"] == memory.total
    truncated = TruncatedModel(model, hook)
    with FlopCounterMode(display=False) as counter:
        truncated(torch.randint(5, 200, (4, 32)))
    assert plan.forward_flops == pytest.approx(counter.get_total_flops() / 128, rel=0.08)
    assert plan.sae_flops == sum(2 * (2 * d_in * d_sae + 8 * 4 * d_in) for d_sae in (96, 55))
    rate = CPU_FLOPS_PER_THREAD * torch.get_num_threads()
    assert plan.seconds == pytest.approx(plan.tokens * (plan.forward_flops + plan.sae_flops) / rate)
    two = plan_training(replace(config, corpora=(corpora["own"], corpora["cool"])))
    assert two.seconds == pytest.approx(2 * plan.seconds) and two.memory.saes == memory.saes
    shown = dict(plan_rows(plan))
    assert {name for name in shown if name.startswith("memory")} >= {"memory: dead latents", "memory in all"}


def test_the_live_table_has_a_row_per_cell_with_speed_and_time_left() -> None:
    def point(step: str, done: int, fvu: float, *names: str) -> TrainProgress:
        figures = {"fvu": fvu, "l0": 3.9, "dead_in_training": 1200, "loss": 0.26}
        return TrainProgress(f"training {step}", done, 9000, [{"cell": name} | figures for name in names])

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
    Console(file=written, width=150).print(table.told(TrainProgress("evaluating own", 0, 100, unit="contexts"), 13.0))
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


def edit_provenance(folder: Path, **values: Any) -> None:
    """Set keys of a corpus' provenance, which no hash guards."""
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, provenance=manifest.provenance | values))


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


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"device": "mps"}, "'mps' is not a device; choose cpu or cuda"),
        ({"device": "cuda"}, "no GPU here"),
        ({"tokens": None, "epochs": float("nan")}, "--epochs must be a finite number above 0"),
        ({"tokens": None, "epochs": float("inf")}, "--epochs must be a finite number above 0"),
        ({"lr": -1.0}, "--lr must be a finite number above 0"),
        ({"lr": 0.0}, "--lr must be a finite number above 0"),
        ({"batch": -5}, "--batch must be at least 1"),
        ({"batch": 0}, "--batch must be at least 1"),
        ({"buffer": 0}, "--buffer must be at least 1"),
        ({"context": 0}, "--context must be at least 1"),
        ({"eval_tokens": 0}, "--eval-tokens must be at least 1"),
        ({"threads": -1}, "--threads must be at least 1"),
        ({"workers": 0}, "--workers must be at least 1"),
        ({"checkpoint_minutes": -1.0}, "--checkpoint-minutes must be at least 0"),
        ({"checkpoint_minutes": float("nan")}, "--checkpoint-minutes must be at least 0"),
        ({"data_seed": -1}, "must not be negative"),
        ({"seeds": (0, -1)}, "must not be negative"),
        ({"batch": TOKENS + 1}, "A batch of 6,001 is more than the 6,000 tokens; use a smaller --batch"),
        ({"buffer": 511}, "give --buffer at least 512"),
    ],
)
def test_a_dry_run_refuses_what_the_training_refuses_before_a_weight_is_loaded(
    stated: dict[str, Any], said: str, corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(training, "load_model", lambda *given: pytest.fail("weights were loaded"))
    config = configured(corpora, tmp_path / "out", **stated)
    for ask in (plan_training, train):
        with pytest.raises(FaithfulError, match=said):
            ask(config)
    assert not (tmp_path / "out").exists()


def test_a_cell_trained_otherwise_is_refused_with_the_difference(trained: Path, corpora: dict[str, Path]) -> None:
    with pytest.raises(FaithfulError, match=r"lr 0\.001 asked for, 0\.003 there"):
        train(configured(corpora, trained, lr=1e-3))


def test_a_corpus_of_another_tokenizer_is_refused(
    corpora: dict[str, Path], family_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(FaithfulError, match="tokenised for"):
        train(configured(corpora, tmp_path, model=str(family_folder("llama"))))


@pytest.mark.parametrize(
    ("log", "quality", "said"),
    [
        (TRAINED, {"hook_module": "h.2"}, "evaluated at h.2, not at h.1"),
        (TRAINED, {"weights_sha256": "b"}, "other weights"),
        ([], {"l0": 1, "l2_ratio": 1}, "no step"),
        ([{"step": 1, "loss": 1.0}, {"step": 9, "loss": 1.0}], {"l0": 1, "l2_ratio": 1}, "its loss went"),
        ([{"step": 1, "loss": 1.0}, {"step": 9, "loss": float("nan")}], {"l0": 1, "l2_ratio": 1}, "nan"),
        ([{"step": 1, "loss": 1.0}, {"step": 9, "loss": 0.5}], {"l0": 0, "l2_ratio": 1}, "no latent fires"),
        ([{"step": 1, "loss": 1.0}, {"step": 9, "loss": 0.5}], {"l0": 1, "l2_ratio": 0}, "output is zero"),
    ],
)
def test_a_record_without_training_cannot_be_written(
    log: Any, quality: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(FaithfulError, match=said):
        refuse_untrained(Cell(tmp_path, 8, 2, 0, {}), log, evaluation(**quality), "h.1", "a")


def test_a_record_of_a_training_can_be_written(tmp_path: Path) -> None:
    refuse_untrained(Cell(tmp_path, 8, 2, 0, {}), TRAINED, evaluation(), "h.1", "a")


@pytest.mark.parametrize(
    ("source", "family", "said"),
    [
        ("openai-community/gpt2", "gpt2", "gpt2-small"),
        ("EleutherAI/pythia-1.4b", "pythia", "pythia-1.4b"),
        ("google/gemma-2-2b", "gemma", "gemma-2-2b"),
        ("meta-llama/Llama-3.2-3B", "llama", "meta-llama/Llama-3.2-3B"),
        ("someone/model", "qwen2", "someone/model"),
    ],
)
def test_names_are_those_of_transformer_lens(source: str, family: str, said: str, family_model: Model) -> None:
    spec = replace(family_model("gpt2")[0], name=source, source=source, family=family, revision="a" * 40)
    assert transformer_lens_name(spec) == said


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

"""What a training will take, said before a weight is loaded."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from faithful.activations.stream import ActivationStream, StreamConfig, stream_rows
from faithful.base.errors import FaithfulError
from faithful.hooks.truncated import TruncatedModel
from faithful.models.spec import ModelSpec
from faithful.store.corpus import Corpus
from faithful.training import train as training
from faithful.training.evaluate import EVAL_TOKENS
from faithful.training.forecast import CPU_FLOPS_PER_THREAD, plan_rows, plan_training
from faithful.training.settings import settle
from faithful.training.train import train
from tests.faithful.training.grids import TOKENS, configured

Model = Callable[[str], tuple[ModelSpec, Any]]


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


def test_a_plan_that_spreads_a_model_is_refused_as_the_training_would_be(
    corpora: dict[str, Path], tmp_path: Path
) -> None:
    config = configured(corpora, tmp_path, shard_model=True)
    with pytest.raises(FaithfulError, match="--shard-model spreads a model over several GPUs, and this work has none"):
        plan_training(config)
    assert plan_training(config, "h200").cells, "what that machine has is not known here"


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
    assert memory.saes == sum(settings.stack(d_in, shape, (0, 1), 1).memory(256) for shape in settings.shapes)
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
    below = counter.get_total_flops()
    assert plan.forward_flops == pytest.approx(below / 128, rel=0.08)
    assert plan.sae_flops == sum(2 * (2 * d_in * d_sae + 8 * 4 * d_in) for d_sae in (96, 55))
    rate = CPU_FLOPS_PER_THREAD * torch.get_num_threads()
    held_out, context = Corpus(corpora["own"]).tokens("test"), torch.randint(5, 200, (4, 32))
    with FlopCounterMode(display=False) as counter:
        model(context)
    above = (counter.get_total_flops() - below) / 128
    assert config.eval_tokens and config.eval_tokens < held_out < EVAL_TOKENS["cpu"]
    assert plan.evaluation_flops == pytest.approx(config.eval_tokens * above, rel=0.08)
    evaluation = (plan.cells + 3) * plan.evaluation_flops
    training = plan.tokens * (plan.forward_flops + plan.sae_flops)
    assert plan.seconds == pytest.approx((training + evaluation) / rate)
    by_default = plan_training(replace(config, eval_tokens=None))
    assert by_default.evaluation_flops == pytest.approx(held_out * plan.evaluation_flops / config.eval_tokens)
    two = plan_training(replace(config, corpora=(corpora["own"], corpora["cool"])))
    assert two.seconds == pytest.approx(2 * plan.seconds) and two.memory.saes == memory.saes
    shown = dict(plan_rows(plan))
    assert {name for name in shown if name.startswith("memory")} >= {"memory: dead latents", "memory in all"}


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

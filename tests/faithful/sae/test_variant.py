"""What a variant changes of the training step: what fires, what is paid for, what holds when."""

from dataclasses import dataclass, replace

import pytest
from torch import Tensor

from faithful.sae.variant import Batch, Phase, State, Variant, find_kind, kind_of, variant_names
from tests.faithful.sae.data import CONFIG, batches, stack_for


@dataclass(frozen=True)
class Fewer(Variant):
    """Eight latents, then three."""

    def phase(self, fraction: float, k: int, auxk: float) -> Phase:
        return Phase(k=8 if fraction < 0.5 else 3, auxk=0.0)


@dataclass(frozen=True)
class EvenAlone(Variant):
    """Latents of odd numbers never fire."""

    def select(self, scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
        values, places = scores[:, ::2].topk(k, dim=1)
        return values, 2 * places


def test_a_variant_selects_what_fires() -> None:
    data = batches(5, 64, 24)
    stack = stack_for(replace(CONFIG, variant=EvenAlone()), data[0])
    before = stack.weights["W_dec"][0].clone()
    for x in data:
        stack.step(x)
    moved = ((stack.weights["W_dec"][0] - before).abs() > 1e-5).any(1)
    assert not moved[1::2].any() and moved[::2].sum() > 10
    assert stack.metrics()[0]["l0"] == pytest.approx(4, abs=0.5)


def test_what_an_objective_sees_is_the_batch_the_main_loss_is_of() -> None:
    @dataclass(frozen=True)
    class Main(Variant):
        """Adds the main loss once more."""

        def objective(self, batch: Batch, state: State) -> Tensor:
            made = batch.codes.dense(len(batch.W_dec)) @ batch.W_dec
            return (made - batch.x).square().sum() / batch.variance

    data = batches(3, 64, 24)
    stack = stack_for(replace(CONFIG, variant=Main(), auxk=0.0), data[0])
    for x in data:
        stack.step(x)
    row = stack.metrics()[0]
    assert row["objective"] == pytest.approx(row["fvu"], rel=1e-4)
    assert row["loss"] == pytest.approx(2 * row["fvu"], rel=1e-4)


def test_schedules_are_fractions_and_reach_k_and_weights() -> None:
    config = replace(CONFIG, steps=10, variant=Fewer())
    data = batches(10, 64, 24)
    stack = stack_for(config, data[0])
    seen = []
    for x in data:
        stack.step(x)
        row = stack.metrics()[0]
        seen.append((row["k"], row["l0"]))
    assert seen == [(8, 8.0)] * 5 + [(3, 3.0)] * 5
    assert stack.sae(0).k == 3


def test_controls_are_those_that_train_no_decoder_or_no_encoder_freely() -> None:
    controls = {name for name in variant_names() if find_kind(name).control}
    assert controls == {"frozen-decoder", "frozen-encoder", "soft-frozen"}
    assert controls == {name for name in variant_names() if find_kind(name).frozen or find_kind(name).stays}


def test_a_recorded_variant_that_is_gone_is_plain() -> None:
    assert kind_of({}) is find_kind("topk") and kind_of({"variant": "soft-frozen"}) is find_kind("soft-frozen")
    assert kind_of({"variant": "gone"}) is Variant

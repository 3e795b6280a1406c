"""What a stack promises beyond its arithmetic: independence to the bit, resuming, seeds, dead latents, schedules."""

import io
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.sae.config import StackConfig
from faithful.sae.stack import Stack, init_weights
from faithful.sae.variant import Batch, Phase, State, Variant
from tests.faithful.sae.data import CONFIG, batches, stack_for, trained

REVIVING: dict[str, Any] = {"dead_tokens": 16, "auxk_k": 5}


def cell_tensors(stack: Stack, cell: int) -> dict[str, Tensor]:
    """Everything a stack knows of a cell."""
    groups = {"weights": stack.weights, "first": stack.adam_m, "second": stack.adam_v}
    tensors = {f"{group}.{name}": t[cell] for group, named in groups.items() for name, t in named.items()}
    return tensors | {"silent": stack.silent[cell], "fvu": stack.fvu[cell], "sums": stack.sums[cell]}


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("d_in", "d_sae", "k"), [(33, 71, 3), (19, 257, 5), (24, 96, 4)])
def test_a_cell_alone_equals_the_cell_in_any_stack(d_in: int, d_sae: int, k: int, threads: int) -> None:
    torch.set_num_threads(threads)
    base = replace(CONFIG, d_in=d_in, d_sae=d_sae, k=k, steps=6, dead_tokens=24, auxk_k=5, clip=0.02)
    data = batches(6, 12, d_in)
    alone = {seed: cell_tensors(trained(replace(base, init_seeds=(seed,)), data), 0) for seed in (3, 1, 4, 7, 9)}
    assert alone[3]["sums"][2] > 0, "AuxK must be at work"
    for seeds in [(3, 1), (1, 3), (4, 3, 1), (9, 7, 3, 4, 1)]:
        stack = trained(replace(base, init_seeds=seeds), data)
        for cell, seed in enumerate(seeds):
            assert_same(cell_tensors(stack, cell), alone[seed])


def test_every_cell_begins_at_a_cache_line() -> None:
    """Dense products may round otherwise elsewhere."""
    stack = stack_for(replace(CONFIG, d_in=33, d_sae=71, init_seeds=(0, 1, 2)), batches(1, 8, 33)[0])
    for named in (stack.weights, stack.adam_m, stack.adam_v):
        assert all(tensor[cell].data_ptr() % 64 == 0 for tensor in named.values() for cell in range(3))


def test_a_cell_alone_equals_the_cell_in_a_stack_where_work_is_cut_into_parts() -> None:
    torch.set_num_threads(2)
    base = replace(CONFIG, d_in=515, d_sae=1093, k=9, steps=2)
    data = batches(2, 1100, 515)
    stack = trained(replace(base, init_seeds=(5, 6, 2)), data)
    for cell, seed in enumerate((5, 6, 2)):
        assert_same(cell_tensors(stack, cell), cell_tensors(trained(replace(base, init_seeds=(seed,)), data), 0))


def test_the_init_seed_changes_the_init_and_only_the_init() -> None:
    one, two = init_weights(1, 24, 96), init_weights(2, 24, 96)
    assert torch.equal(one, init_weights(1, 24, 96))
    assert (one * two).sum(1).abs().mean() < 0.3
    torch.testing.assert_close(one.norm(dim=1), torch.ones(96))
    stack = stack_for(replace(CONFIG, init_seeds=(1, 2, 1)), batches(1, 64, 24)[0])
    assert torch.equal(stack.weights["W_dec"][0], one)
    assert torch.equal(stack.weights["W_enc"][1], two)
    assert_same(cell_tensors(stack, 0), cell_tensors(stack, 2))
    for name in ("b_enc", "b_dec"):
        assert torch.equal(stack.weights[name][0], stack.weights[name][1])


def test_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    trained(replace(CONFIG, steps=2), batches(2, 32, 24))
    assert torch.equal(before, torch.random.get_rng_state())


def test_resuming_equals_the_uninterrupted_run() -> None:
    config = replace(CONFIG, init_seeds=(0, 8), **REVIVING)
    data = batches(12, 12, 24)
    through = trained(config, data)
    first = trained(config, data[:5])
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = Stack(config, torch.zeros(24), 1.0, "cpu")
    second.load_state_dict(torch.load(file, weights_only=True))
    for x in data[5:]:
        second.step(x)
    for cell in (0, 1):
        assert_same(cell_tensors(second, cell), cell_tensors(through, cell))
    assert second.metrics() == through.metrics()
    assert torch.equal(second.sae(1).b_dec, through.sae(1).b_dec)


def test_the_state_of_another_stack_is_refused() -> None:
    state = stack_for(CONFIG, batches(1, 8, 24)[0]).state_dict()
    other = stack_for(replace(CONFIG, init_seeds=(1,)), batches(1, 8, 24)[0])
    with pytest.raises(FaithfulError, match="init_seeds"):
        other.load_state_dict(state)


def test_rows_keep_unit_norm_at_every_step_and_gradients_are_tangential() -> None:
    config = replace(CONFIG, lr=0.05, **REVIVING)
    data = batches(8, 12, 24)
    stack = stack_for(config, data[0])
    for x in data:
        rows = stack.weights["W_dec"][0].clone()
        stack.adam_m["W_dec"].zero_()
        stack.step(x)
        assert (stack.adam_m["W_dec"][0] * rows).sum(1).abs().max() < 1e-6
        assert (stack.weights["W_dec"][0].norm(dim=1) - 1).abs().max() < 1e-6
    assert (stack.sae(0).W_dec.norm(dim=1) - 1).abs().max() < 1e-6


def test_the_folded_scale_leaves_reconstructions_equal() -> None:
    data = batches(10, 64, 24)
    stack = trained(replace(CONFIG, k=7), data)
    x = data[0]
    W_enc, b_enc, W_dec, b_dec = (stack.weights[name][0] for name in ("W_enc", "b_enc", "W_dec", "b_dec"))
    scores = (x * stack.scale - b_dec) @ W_enc.T + b_enc
    best = scores.topk(7, 1)
    inside = torch.zeros_like(scores).scatter(1, best.indices, best.values.relu())
    sae = stack.sae(0)
    torch.testing.assert_close(sae.reconstruct(x), (inside @ W_dec + b_dec) / stack.scale, rtol=0, atol=2e-5)
    torch.testing.assert_close(sae.encode(x), inside / stack.scale, rtol=0, atol=2e-5)
    assert abs(stack.scale - 1) > 0.1
    assert sae.k == 7


def test_the_exported_sae_is_a_copy() -> None:
    data = batches(2, 32, 24)
    stack = trained(CONFIG, data[:1])
    sae = stack.sae(0)
    before = sae.W_dec.clone(), sae.W_enc.clone(), sae.b_dec.clone()
    stack.step(data[1])
    assert all(torch.equal(a, b) for a, b in zip(before, (sae.W_dec, sae.W_enc, sae.b_dec), strict=True))


def test_latents_zeroed_by_the_relu_are_not_active_and_learn_nothing() -> None:
    x = batches(1, 16, 24)[0]
    stack = stack_for(replace(CONFIG, k=96), x)
    stack.weights["b_enc"][0, :40] = -1000.0
    stack.step(x)
    positive = (stack_scores(stack_for(replace(CONFIG, k=96), x), x) > 0)[:, 40:]
    assert stack.silent[0, :40].tolist() == [16] * 40
    assert stack.silent[0, 40:].tolist() == torch.where(positive.any(0), 0, 16).tolist()
    for name in ("W_enc", "b_enc", "W_dec"):
        assert not stack.adam_m[name][0, :40].any(), name
        assert stack.adam_m[name][0, 40:].any(), name
    assert stack.metrics()[0]["l0"] == pytest.approx(float(positive.sum(1).double().mean()))


def stack_scores(stack: Stack, x: Tensor) -> Tensor:
    """Pre-activations [N, F] of the first cell."""
    W_enc, b_enc, b_dec = (stack.weights[name][0] for name in ("W_enc", "b_enc", "b_dec"))
    return (x * stack.scale - b_dec) @ W_enc.T + b_enc


def test_silence_is_counted_in_tokens_and_survives_a_resume() -> None:
    config = replace(CONFIG, dead_tokens=50)
    data = batches(1, 20, 24)[0], batches(1, 29, 24)[0], batches(1, 1, 24)[0]
    stack = stack_for(config, data[0])
    stack.weights["b_enc"][0, 17] = -1000.0
    dead = []
    for x in data:
        stack.step(x)
        other = stack_for(config, data[0])
        other.load_state_dict(stack.state_dict())
        stack = other
        dead.append(stack.metrics()[0]["dead_in_training"])
    assert dead[:2] == [0, 0]
    assert dead[2] >= 1
    assert int(stack.silent[0, 17]) == 50


def with_dead(config: StackConfig, x: Tensor, handicap: float = 0.2) -> tuple[Stack, list[int]]:
    """A stack with 30 latents that have been silent for long and are seldom chosen."""
    stack = stack_for(config, x)
    dead = list(range(0, 90, 3))
    state = stack.state_dict()
    state["weights"]["b_enc"][0, dead] -= handicap
    state["silent"][0, dead] = 10**9
    stack.load_state_dict(state)
    return stack, dead


def test_auxk_reaches_the_dead_latents_encoder_and_not_the_decoder_bias() -> None:
    x = batches(1, 64, 24)[0]
    config = replace(CONFIG, dead_tokens=10**6, auxk_k=6, clip=1e9)
    (aided, dead), (plain, _) = with_dead(config, x), with_dead(replace(config, auxk=0.0), x)
    aided.step(x)
    plain.step(x)
    still = [latent for latent in dead if int(plain.silent[0, latent]) > 0]
    assert len(still) > 10
    for name in ("W_enc", "b_enc", "W_dec"):
        assert not plain.adam_m[name][0, still].any()
        assert aided.adam_m[name][0, still].any(), name
    living = [latent for latent in range(96) if latent not in dead]
    assert torch.equal(aided.adam_m["W_enc"][0, living], plain.adam_m["W_enc"][0, living])
    assert torch.equal(aided.adam_m["b_dec"], plain.adam_m["b_dec"])
    assert aided.adam_m["b_dec"].any()
    assert aided.metrics()[0]["aux"] > 0


def test_auxk_is_nothing_when_no_latent_is_dead() -> None:
    data = batches(5, 64, 24)
    aided, plain = trained(CONFIG, data), trained(replace(CONFIG, auxk=0.0), data)
    assert aided.metrics()[0]["aux"] == 0
    for name, tensor in aided.weights.items():
        assert torch.equal(tensor, plain.weights[name])


def test_auxk_revives() -> None:
    data = batches(60, 64, 24)
    config = replace(CONFIG, steps=60, lr=0.01, dead_tokens=128, auxk_k=12)
    (aided, dead), (plain, _) = with_dead(config, data[0], 0.4), with_dead(replace(config, auxk=0.0), data[0], 0.4)
    for x in data:
        aided.step(x)
        plain.step(x)
    assert (aided.silent[0, dead] >= 10**9).sum() < (plain.silent[0, dead] >= 10**9).sum() / 2


def test_the_learning_rate_rises_and_falls_with_the_fraction() -> None:
    short, long = (replace(CONFIG, steps=steps, lr=1.0, warmup=0.1, decay=0.2) for steps in (100, 1000))
    assert [short.learning_rate(step) for step in (0, 4, 9, 50, 80)] == pytest.approx([0.1, 0.5, 1.0, 1.0, 1.0])
    assert short.learning_rate(90) == pytest.approx(0.5)
    assert short.learning_rate(99) == pytest.approx(0.05)
    assert long.learning_rate(900) == pytest.approx(short.learning_rate(90))
    assert all(short.learning_rate(step) > 0 for step in range(100))


def test_an_objective_reaches_values_and_rows_with_its_weight() -> None:
    x = batches(1, 32, 24)[0]
    direction = torch.linspace(-1, 1, 24)

    @dataclass(frozen=True)
    class Heavy(Variant):
        """Both terms at half their weight."""

        def phase(self, fraction: float, k: int, auxk: float) -> Phase:
            return Phase(4, 0.0, objective=0.5)

        def objective(self, batch: Batch, state: State) -> Tensor:
            assert batch.fraction == 0.0
            assert 0 < float(batch.fvu) < 2
            return batch.codes.values.sum() / len(batch.x) + (batch.W_dec @ direction).sum()

    plain = stack_for(replace(CONFIG, clip=1e9), x)
    heavy = stack_for(replace(CONFIG, clip=1e9, variant=Heavy()), x)
    rows = plain.weights["W_dec"][0].clone()
    plain.step(x)
    heavy.step(x)
    scores = stack_scores(stack_for(CONFIG, x), x)
    best = scores.topk(4, 1)
    fired = torch.zeros(96).index_add_(0, best.indices.flatten(), (best.values > 0).flatten().float())
    torch.testing.assert_close(
        10 * (heavy.adam_m["b_enc"][0] - plain.adam_m["b_enc"][0]), 0.5 * fired / 32, rtol=1e-4, atol=1e-6
    )
    tangent = direction - (rows @ direction)[:, None] * rows
    torch.testing.assert_close(
        10 * (heavy.adam_m["W_dec"][0] - plain.adam_m["W_dec"][0]), 0.5 * tangent, rtol=1e-4, atol=1e-5
    )
    found, without = heavy.metrics()[0], plain.metrics()[0]
    expected = float(best.values.relu().sum() / 32 + (rows @ direction).sum())
    assert found["objective"] == pytest.approx(expected, rel=1e-5)
    assert found["loss"] == pytest.approx(without["loss"] + 0.5 * expected, rel=1e-5)


def test_metrics_are_means_since_the_last_call() -> None:
    data = batches(3, 64, 24)
    each, once = stack_for(CONFIG, data[0]), stack_for(CONFIG, data[0])
    rows = []
    for x in data:
        each.step(x)
        rows.append(each.metrics()[0])
        once.step(x)
    found = once.metrics()[0]
    for name in ("loss", "fvu", "l0", "grad_norm"):
        assert found[name] == pytest.approx(sum(row[name] for row in rows) / 3)
    with pytest.raises(FaithfulError, match="training step"):
        once.metrics()


def test_the_loss_is_the_fvu_of_the_batch_and_falls() -> None:
    data = batches(200, 128, 24)
    stack = stack_for(replace(CONFIG, steps=200, lr=5e-3), data[0])
    x = data[0]
    before = stack.sae(0).reconstruct(x)
    stack.step(x)
    first = stack.metrics()[0]
    expected = (x - before).square().sum() / (x - x.mean(0)).square().sum()
    assert first["fvu"] == pytest.approx(float(expected), rel=1e-4)
    for x in data[1:]:
        stack.step(x)
    last = stack.metrics()[0]
    assert last["fvu"] < first["fvu"]
    assert (x - stack.sae(0).reconstruct(x)).square().sum() / (x - x.mean(0)).square().sum() < 0.75 * first["fvu"]


def test_narrow_products_choose_latents_and_float32_computes_them() -> None:
    data = batches(30, 64, 24)
    config = replace(CONFIG, steps=30, **(REVIVING | {"dead_tokens": 200}))
    narrow, wide = (stack_for(replace(config, gemm_dtype=dtype), data[0]) for dtype in ("bfloat16", None))
    for x in data:
        narrow.step(x)
        wide.step(x)
    found, expected = narrow.metrics()[0], wide.metrics()[0]
    assert found["fvu"] == pytest.approx(expected["fvu"], rel=0.02)
    assert found["fvu"] != expected["fvu"]
    assert all(tensor.dtype == torch.float32 for tensor in narrow.weights.values())


def test_an_untrained_cell_can_be_taken_out() -> None:
    sae = stack_for(CONFIG, batches(1, 64, 24)[0]).sae(0)
    assert torch.equal(sae.W_dec, init_weights(0, 24, 96))
    assert torch.equal(sae.W_enc, sae.W_dec.T)


def test_the_memory_stated_is_the_memory_held() -> None:
    config = replace(CONFIG, d_in=48, d_sae=6000, init_seeds=(0, 1, 2))
    stack = trained(config, batches(1, 6000, 48))
    held = [*stack.weights.values(), *stack.adam_m.values(), *stack.adam_v.values(), stack.silent]
    held += stack._scratch._flat.values()
    assert sum(tensor.nbytes for tensor in held) == config.memory(6000)
    assert stack._scratch._flat["scores"].numel() < 6000 * 6000
    assert config.flops(10) == 3 * (2 * 10 * 48 * 6000 + 8 * 10 * 48 * 4)


def test_activations_of_16_bit_are_taken() -> None:
    x = batches(1, 64, 24)[0].bfloat16()
    narrow, wide = stack_for(CONFIG, x.float()), stack_for(CONFIG, x.float())
    narrow.step(x)
    wide.step(x.float())
    assert_same(cell_tensors(narrow, 0), cell_tensors(wide, 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 97}, "k 97 does not fit 96 latents"),
        ({"k": 0}, "k 0"),
        ({"init_seeds": ()}, "init seed"),
        ({"steps": 0}, "step"),
        ({"dead_tokens": 0}, "window"),
        ({"decay": 1.5}, "shares"),
        ({"gemm_dtype": "int8"}, "bfloat16"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FaithfulError, match=message):
        replace(CONFIG, **change)


def test_batches_and_means_of_another_shape_are_refused() -> None:
    stack = stack_for(CONFIG, batches(1, 8, 24)[0])
    for shape in [(8, 23), (24,), (0, 24)]:
        with pytest.raises(FaithfulError, match="batch"):
            stack.step(torch.zeros(shape))
    with pytest.raises(FaithfulError, match="mean"):
        Stack(CONFIG, torch.zeros(3), 1.0, "cpu")


@pytest.mark.parametrize("seed", [0, 1])
def test_known_directions_in_superposition_are_recovered(seed: int) -> None:
    """64 directions in 32 dimensions, 3 at a time: most cosines with the nearest learned row are near 1."""
    generator = torch.Generator().manual_seed(100 + seed)
    directions = torch.nn.functional.normalize(torch.randn(64, 32, generator=generator), dim=1)
    mean = torch.randn(32, generator=generator)

    def batch() -> Tensor:
        active = torch.rand(512, 64, generator=generator).topk(3, 1).indices
        amounts = torch.zeros(512, 64).scatter_(1, active, 1 + torch.rand(512, 3, generator=generator))
        return 7 * (amounts @ directions + mean + 0.01 * torch.randn(512, 32, generator=generator))

    config = StackConfig(d_in=32, d_sae=96, k=3, init_seeds=(seed,), steps=500, lr=5e-3, dead_tokens=12_800)
    stack = stack_for(config, batch())
    untrained = (directions @ stack.sae(0).W_dec.T).amax(1).mean()
    for _ in range(config.steps):
        stack.step(batch())
    assert untrained < 0.7
    assert (directions @ stack.sae(0).W_dec.T).amax(1).mean() >= 0.95

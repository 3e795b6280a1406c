"""SAE quality against closed forms, and spliced losses against hooks set by hand."""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from faithful.activations.quality import Quality, Spliced, splice_contexts
from faithful.hooks.hook import KINDS, Hook
from faithful.hooks.hook_points import decoder_layers
from faithful.hooks.truncated import TruncatedModel
from faithful.models.spec import ModelSpec
from faithful.store.token_rows import special_ids

Models = Callable[[str], tuple[ModelSpec, Any]]
N, D, M = 400, 6, 10


def data(seed: int = 0, shift: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, D, generator=generator) * torch.arange(1, D + 1) + shift


def codes(seed: int = 1) -> Tensor:
    """A tenth of the entries above 0, some below, latent 0 never."""
    values = torch.randn(N, M, generator=torch.Generator().manual_seed(seed)) - 1.28
    values[:, 0] = 0.0
    return values


def quality(h: Tensor, h_hat: Tensor, f: Any = None, pieces: Sequence[int] = (N,)) -> dict[str, float]:
    return measured(h, h_hat, codes() if f is None else f, pieces).result()


def measured(h: Tensor, h_hat: Tensor, f: Tensor, pieces: Sequence[int] = (N,)) -> Quality:
    found = Quality(D, M)
    for part in zip(h.split(list(pieces)), h_hat.split(list(pieces)), f.split(list(pieces)), strict=True):
        found.update(*part)
    return found


@pytest.mark.parametrize("shift", [0.0, 3.0, 1e4])
def test_the_mean_explains_nothing_and_the_identity_everything(shift: float) -> None:
    h = data(shift=shift)
    mean = quality(h, h.double().mean(0).expand_as(h))
    assert mean["fvu"] == pytest.approx(1, abs=1e-6)
    assert mean["explained_variance"] == pytest.approx(0, abs=1e-6)
    identity = quality(h, h)
    assert identity["explained_variance"] == 1
    assert identity["fvu"] == identity["mse"] == 0
    assert identity["l2_ratio"] == identity["cosine"] == pytest.approx(1)


def test_known_noise_gives_known_figures() -> None:
    h = data()
    half = quality(h, h / 2)
    assert half["mse"] == pytest.approx(float(h.double().square().mean() / 4))
    assert half["l2_ratio"] == pytest.approx(0.5)
    assert half["cosine"] == pytest.approx(1)
    assert quality(h, -2 * h)["cosine"] == pytest.approx(-1)
    error = data(5, 0.0)
    variance = (h.double() - h.double().mean(0)).square().sum()
    assert quality(h, h + error)["fvu"] == pytest.approx(float(error.double().square().sum() / variance))


def test_figures_do_not_depend_on_batches() -> None:
    h, h_hat, f = data(), data(2), codes()
    whole = measured(h, h_hat, f)
    for pieces in ((1, 99, 300), (200, 200), (1,) * N):
        parts = measured(h, h_hat, f, pieces)
        assert parts.result() == pytest.approx(whole.result(), rel=1e-12)
        assert torch.equal(parts.density, whole.density)
    twice = Quality(D, M)
    for _ in range(2):
        twice.update(h, h_hat, f)
    assert twice.result()["mse"] == pytest.approx(whole.result()["mse"])
    assert whole.result()["tokens"] == N


def test_a_batch_that_is_added_to_several_sums_is_in_each_what_it_is_alone() -> None:
    """To the bit, though one of them has read something before."""
    h, f = data(), codes()
    begun, alone = (measured(data(2), h, f) for _ in range(2))
    part = Quality(D, M)
    part.update(h, 0.5 * h, f, begun)
    alone.update(h, 0.5 * h, f)
    assert part.result() == measured(h, 0.5 * h, f).result() and begun.result() == alone.result()
    assert begun.tokens == 2 * N and torch.equal(begun.density, alone.density)


def test_reconstructions_of_zero_are_counted_and_give_no_nan() -> None:
    h = data()
    some = h.clone()
    some[:100] = 0
    found = quality(h, some)
    assert found["zero_reconstructions"] == 100
    assert found["cosine"] == pytest.approx(0.75)
    assert found["l2_ratio"] == pytest.approx(0.75)
    nothing = quality(h, torch.zeros_like(h))
    assert nothing["cosine"] == nothing["l2_ratio"] == 0
    assert all(math.isfinite(value) for value in nothing.values())


def test_only_codes_above_zero_fire() -> None:
    f = codes()
    found = measured(data(), data(2), f)
    fired = f > 0
    assert found.result()["l0"] == pytest.approx(float(fired.sum() / N))
    assert found.density.dtype == torch.float64
    torch.testing.assert_close(found.density, fired.double().mean(0))
    assert found.result()["never_fired"] == 1


def test_sparse_codes_count_as_dense_ones() -> None:
    f = codes().relu()
    f[:50] = 0.0  # fewer than k above 0: the rest of the k are zeros
    top = torch.topk(f, M - 1)
    sparse = Quality(D, M)
    sparse.update(data(), data(2), (top.values, top.indices))
    dense = measured(data(), data(2), f)
    assert sparse.result() == dense.result()
    assert torch.equal(sparse.density, dense.density)


def test_the_mean_activation_is_kept() -> None:
    torch.testing.assert_close(measured(data(), data(), codes(), (150, 250)).mean, data().mean(0))


class Identity:
    def encode(self, x: Tensor) -> Tensor:
        return x

    def decode(self, codes: Tensor) -> Tensor:
        return codes


def scaled(h: Tensor) -> Tensor:
    """Half the activation plus a ramp, which no norm takes away."""
    return 0.5 * h + torch.linspace(-1, 2, h.shape[-1]).to(h)


class Scaled(Identity):
    """An SAE with codes that are no tensor."""

    def encode(self, x: Tensor) -> Any:
        return x, "not a tensor"

    def decode(self, codes: Any) -> Tensor:
        return scaled(codes[0])


class Constant(Identity):
    def __init__(self, value: Tensor) -> None:
        self.value = value

    def decode(self, codes: Tensor) -> Tensor:
        return self.value.expand_as(codes)


def contexts(spec: ModelSpec) -> tuple[list[np.ndarray], np.ndarray]:
    """Contexts of several lengths with special tokens inside, and what is ordinary."""
    rng = np.random.default_rng(4)
    ordinary = np.ones(spec.vocab_size, dtype=bool)
    ordinary[sorted(special_ids(spec))] = False
    rows = []
    for length in (1, 2, 9, 17, 17, 30):
        row = rng.integers(5, spec.mapped - 1, length)
        row[0] = spec.bos_id
        row[3:-2:6] = spec.eos_ids[0]
        rows.append(row)
    return rows, ordinary


def by_hand(model: Any, hook: Hook, rows: list[np.ndarray], ordinary: np.ndarray, change: Any) -> list[Tensor]:
    """log-probabilities at scored positions, row by row, with `change` applied at the hook to ordinary tokens."""
    place, found = hook.place(model), []
    for row in rows:
        at = torch.from_numpy(ordinary[row])

        def put(hidden: Tensor, at: Tensor = at) -> Tensor:
            hidden = hidden.clone()
            hidden[0, at] = change(hidden[0, at])
            return hidden

        handle = place.on(put)
        with torch.no_grad():
            log_p = model(torch.from_numpy(row)[None]).logits[0].log_softmax(-1)
        handle.remove()
        found.append(log_p[:-1][at[:-1]])
    return found


def cross_entropy(log_p: list[Tensor], rows: list[np.ndarray], ordinary: np.ndarray) -> float:
    targets = [torch.from_numpy(row[1:][ordinary[row[:-1]]]) for row in rows]
    losses = [-p.gather(1, t[:, None]).double() for p, t in zip(log_p, targets, strict=True)]
    return float(torch.cat(losses).mean())


def losses(spliced: list[Spliced]) -> list[dict[str, float]]:
    return [one.losses for one in spliced]


@pytest.mark.parametrize("kind", KINDS)
def test_losses_with_saes_equal_hooks_set_by_hand(family: str, family_model: Models, kind: str) -> None:
    spec, model = family_model(family)
    rows, ordinary = contexts(spec)
    hook = Hook(1, kind)
    width = TruncatedModel(model, hook).d_in
    mean = torch.linspace(-1, 1, width)
    told: list[int] = []
    saes = [Scaled(), Identity()]
    spliced = splice_contexts(model, hook, saes, rows, mean, ordinary, rows_per_forward=2, told=told.append)
    first, second = losses(spliced)
    assert told == sorted(told) and len(told) > 3 * len(saes) and told[-1] == len(rows), (
        "after each SAE a part of a batch"
    )
    clean = by_hand(model, hook, rows, ordinary, lambda h: h)
    sae = by_hand(model, hook, rows, ordinary, scaled)
    assert first["ce_clean"] == pytest.approx(cross_entropy(clean, rows, ordinary), abs=2e-5)
    assert first["ce_sae"] == pytest.approx(cross_entropy(sae, rows, ordinary), abs=2e-5)
    zero = by_hand(model, hook, rows, ordinary, torch.zeros_like)
    assert first["ce_zero"] == pytest.approx(cross_entropy(zero, rows, ordinary), abs=2e-5)
    middle = by_hand(model, hook, rows, ordinary, lambda h: mean.expand_as(h))
    assert first["ce_mean"] == pytest.approx(cross_entropy(middle, rows, ordinary), abs=2e-5)
    kl = torch.cat([(p.exp() * (p - q)).sum(-1) for p, q in zip(clean, sae, strict=True)]).mean()
    assert first["kl"] == pytest.approx(float(kl), abs=2e-5)
    assert first["kl"] > 0.01
    assert first["ce_diff"] == first["ce_sae"] - first["ce_clean"]
    recovered = (first["ce_zero"] - first["ce_sae"]) / (first["ce_zero"] - first["ce_clean"])
    assert first["ce_recovered"] == recovered
    assert first["scored_tokens"] == sum(len(p) for p in clean)
    assert second["ce_sae"] == second["ce_clean"] == first["ce_clean"]
    assert (second["kl"], second["ce_diff"], second["ce_recovered"]) == (0, 0, 1)


def test_reference_values_are_saes_too(family_model: Models) -> None:
    """An SAE that gives 0, or the mean, has the loss of that ablation; recovered is then 0."""
    spec, model = family_model("llama")
    rows, ordinary = contexts(spec)
    mean = torch.ones(TruncatedModel(model, Hook(0, "resid_post")).d_in)
    constants = [Constant(0 * mean), Constant(mean)]
    zero, middle = losses(splice_contexts(model, Hook(0, "resid_post"), constants, rows, mean, ordinary))
    assert zero["ce_sae"] == zero["ce_zero"] == middle["ce_zero"]
    assert zero["ce_recovered"] == 0
    assert middle["ce_sae"] == middle["ce_mean"] == zero["ce_mean"]


def test_contexts_per_forward_change_only_rounding(family_model: Models) -> None:
    spec, model = family_model("gemma2")
    rows, ordinary = contexts(spec)
    mean = torch.zeros(TruncatedModel(model, Hook(1, "resid_pre")).d_in)
    one, all_of_them = (
        losses(splice_contexts(model, Hook(1, "resid_pre"), [Scaled()], rows, mean, ordinary, size))[0]
        for size in (1, None)
    )
    assert one == pytest.approx(all_of_them, abs=2e-5)


def test_layers_below_the_hook_run_once_and_the_model_is_left_as_it_was(family_model: Models) -> None:
    spec, model = family_model("mistral")
    rows, ordinary = contexts(spec)
    attention = decoder_layers(model)[1][0].self_attn
    calls = [0]

    def count(*_: Any) -> None:
        calls[0] += 1

    ids = torch.from_numpy(rows[-1])[None]
    with torch.no_grad():
        before = model(ids).logits
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    mean = torch.zeros(TruncatedModel(model, Hook(1, "resid_pre")).d_in)
    handle = attention.register_forward_pre_hook(count)
    Hook(1, "resid_pre").place(model)
    to_find_the_place = calls[0]
    splice_contexts(model, Hook(1, "resid_pre"), [Identity()] * 3, rows, mean, ordinary, rows_per_forward=10)
    handle.remove()
    assert calls[0] - 2 * to_find_the_place == 1
    assert all("forward" not in module.__dict__ for module in model.modules())
    assert hooks == [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    with torch.no_grad():
        assert torch.equal(model(ids).logits, before)


def test_sixteen_bits_run_too(family_model: Models) -> None:
    spec, model = family_model("gpt2")
    rows, ordinary = contexts(spec)
    mean = torch.zeros(TruncatedModel(model, Hook(1, "resid_pre")).d_in)
    half = copy.deepcopy(model).bfloat16()
    saes = [Identity(), Scaled()]
    found = losses(splice_contexts(half, Hook(1, "resid_pre"), saes, rows, mean, ordinary))
    exact = losses(splice_contexts(model, Hook(1, "resid_pre"), saes, rows, mean, ordinary))
    assert found[0]["ce_sae"] == found[0]["ce_clean"]
    assert found[1]["ce_sae"] == pytest.approx(exact[1]["ce_sae"], abs=0.1)

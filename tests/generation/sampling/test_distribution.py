"""The sampling distribution q and its draws against naive references, and the seeds they come from."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from faithful.base.errors import FaithfulError
from generation.sampling.distribution import Sampling, draw, log_q, sure_limits
from generation.sampling.seeds import uniforms

NARROW = 60


def random_logits(*shape: int, scale: float = 3.0, seed: int = 0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_seen(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(9)) < 0.3


def naive_q(
    logits: np.ndarray, sampling: Sampling, seen: np.ndarray | None = None, mapped: int | None = None
) -> np.ndarray:
    """q of one row by the book: sort, walk down, stop; ties with the last token kept stay in."""
    scores = logits.astype(np.float64).copy()
    for token in range(len(scores)):
        if seen is not None and seen[token]:
            factor = 1 / sampling.repetition_penalty if scores[token] > 0 else sampling.repetition_penalty
            scores[token] *= factor
    scores /= sampling.temperature
    alive = np.arange(len(scores)) < (mapped if sampling.mask_unmapped and mapped is not None else len(scores))
    mass = np.where(alive, np.exp(scores - scores[alive].max()), 0.0)
    mass /= mass.sum()
    if sampling.min_p > 0:
        mass[mass < sampling.min_p * mass.max() * (1 - 1e-12)] = 0.0
        mass /= mass.sum()
    if sampling.top_k > 0:
        least = sorted(mass, reverse=True)[: sampling.top_k][-1]
        mass[mass < least] = 0.0
        mass /= mass.sum()
    if sampling.top_p < 1:
        total = 0.0
        for least in sorted(mass, reverse=True):
            total += least
            if total >= sampling.top_p:
                break
        mass[mass < least] = 0.0
        mass /= mass.sum()
    return mass


def check(
    logits: Tensor, sampling: Sampling, seen: Tensor | None = None, mapped: int | None = None, slack: float = 0.0
) -> None:
    """log_q has the reference's support and values in every row.

    `slack` is the mass on which the supports may differ: the nucleus' normaliser is a float32, good to about 1e-6 of the
    mass, which decides over the last token where single tokens are as rare as that.
    """
    result = log_q(logits, sampling, seen, mapped)
    assert result.dtype == torch.float32 and result.shape == logits.shape
    for row in range(len(logits)):
        expected = naive_q(logits[row].numpy(), sampling, None if seen is None else seen[row].numpy(), mapped)
        got = result[row].double().exp().numpy()
        differ = (got > 0) != (expected > 0)
        assert np.maximum(got, expected)[differ].sum() <= slack
        assert np.abs(got - expected).max() < 1e-6 + slack
        assert abs(got.sum() - 1) < 1e-5


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("penalty", [0.7, 1.0, 1.5])
def test_log_q_equals_the_naive_reference(temperature: float, penalty: float) -> None:
    logits, seen = random_logits(6, NARROW), random_seen(6, NARROW)
    for top_p, top_k, min_p, mask in itertools.product((0.3, 0.9, 1.0), (0, 5, 1000), (0.0, 0.02, 0.3), (False, True)):
        sampling = Sampling(
            temperature=temperature, repetition_penalty=penalty, top_p=top_p, top_k=top_k, min_p=min_p,
            mask_unmapped=mask,
        )  # fmt: skip
        check(logits, sampling, seen, mapped=50)


def test_defaults_are_the_models_own_distribution() -> None:
    logits = random_logits(4, NARROW)
    assert Sampling().is_model and not Sampling().truncates
    assert torch.equal(log_q(logits, Sampling()), logits.log_softmax(-1))
    assert torch.equal(log_q(logits.bfloat16(), Sampling()), logits.bfloat16().float().log_softmax(-1))


def test_log_q_leaves_its_arguments_alone() -> None:
    logits, seen = random_logits(3, NARROW), random_seen(3, NARROW)
    before = logits.clone()
    log_q(logits, Sampling(top_p=0.5, repetition_penalty=1.3, mask_unmapped=True), seen, 50)
    log_q(logits, Sampling(mask_unmapped=True), None, 50)
    assert torch.equal(logits, before)


def test_min_p_comes_before_top_p() -> None:
    """Probabilities .5 .2 .1 .1 .1: min-p 0.3 leaves .5 .2, renormalised .71 .29; top-p 0.7 then keeps the first alone.

    The other way round top-p 0.7 keeps .5 .2 and min-p 0.3 both of them.
    """
    logits = torch.tensor([[0.5, 0.2, 0.1, 0.1, 0.1]]).log()
    assert log_q(logits, Sampling(min_p=0.3, top_p=0.7)).exp()[0].tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert (log_q(logits, Sampling(top_p=0.69)).exp()[0] > 0).sum() == 2


def test_top_k_comes_before_top_p() -> None:
    """Of .4 .3 .2 .1 top-k 2 leaves .57 .43, of which top-p 0.55 keeps one; alone it would have kept two."""
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    assert (log_q(logits, Sampling(top_k=2, top_p=0.55)).exp()[0] > 0).tolist() == [True, False, False, False]
    assert (log_q(logits, Sampling(top_p=0.55)).exp()[0] > 0).tolist() == [True, True, False, False]


def test_temperature_comes_before_truncation() -> None:
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log()
    assert (log_q(logits, Sampling(min_p=0.2)).exp() > 0).sum() == 2
    assert (log_q(logits, Sampling(min_p=0.2, temperature=2.0)).exp() > 0).sum() == 3


def test_repetition_penalty_divides_positive_and_multiplies_negative_logits() -> None:
    logits = torch.tensor([[2.0, -2.0, 2.0, -2.0, 0.0]])
    seen = torch.tensor([[True, True, False, False, True]])
    expected = torch.tensor([[1.0, -4.0, 2.0, -2.0, 0.0]]).log_softmax(-1)
    assert torch.allclose(log_q(logits, Sampling(repetition_penalty=2.0), seen), expected, atol=1e-6)


def test_penalty_and_mask_need_their_arguments() -> None:
    with pytest.raises(ValueError, match="seen"):
        log_q(random_logits(1, 5), Sampling(repetition_penalty=1.1))
    with pytest.raises(ValueError, match="mapped"):
        log_q(random_logits(1, 5), Sampling(mask_unmapped=True))


@pytest.mark.parametrize("settings", [{"top_k": 2}, {"top_p": 0.5}, {"min_p": 0.6}])
def test_ties_are_kept(settings: dict[str, float]) -> None:
    logits = torch.tensor([[0.0, 3.0, 2.5, 2.5, 2.5, -1.0]])
    kept = log_q(logits, Sampling(**settings))[0].exp() > 0
    assert kept.tolist() == [False, True, True, True, True, False]


TRUNCATIONS = [
    {"top_k": 8}, {"top_p": 0.8}, {"min_p": 0.05}, {"top_k": 12, "top_p": 0.9}, {"min_p": 0.02, "top_k": 9, "top_p": 0.95},
]  # fmt: skip


@pytest.mark.parametrize("settings", TRUNCATIONS)
@pytest.mark.parametrize("delta", [0.0, 0.05])
def test_what_lies_above_the_sure_limit_survives_rounding_and_any_cut_of_ties(
    settings: dict[str, float], delta: float
) -> None:
    values, sampling = (random_logits(200, NARROW) + 12).bfloat16().float(), Sampling(**settings)
    sure = (values > sure_limits(values, sampling, delta)).numpy()
    generator = np.random.default_rng(0)
    for row, kept in zip(values.double().numpy(), sure, strict=True):
        sampled = row + generator.uniform(-delta, delta, NARROW)
        order = np.lexsort((generator.random(NARROW), -sampled))
        order = order[sampled[order] >= sampled.max() + math.log(sampling.min_p or 1e-300)]
        order = order[: sampling.top_k or NARROW]
        mass = np.exp(sampled[order]) / np.exp(sampled[order]).sum()
        order = order[np.cumsum(mass) - mass < sampling.top_p]
        assert set(np.flatnonzero(kept)) <= set(order)
    assert sure.sum(-1).mean() > 2


@pytest.mark.parametrize("settings", [*TRUNCATIONS, {"top_k": NARROW}, {"top_p": 0.999999}, {"top_p": 0.01}])
def test_without_ties_and_rounding_the_sure_limit_is_the_border(settings: dict[str, float]) -> None:
    values, sampling = random_logits(200, NARROW), Sampling(**settings)
    assert torch.equal(values > sure_limits(values, sampling, 0.0), log_q(values, sampling) > -math.inf)


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999])
def test_the_sure_limit_of_a_nucleus_wider_than_the_first_candidates(top_p: float) -> None:
    values, sampling = random_logits(3, 5000, scale=0.05), Sampling(top_p=top_p)
    assert torch.equal(values > sure_limits(values, sampling, 0.0), log_q(values, sampling) > -math.inf)


@pytest.mark.parametrize("scale", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("top_p", [0.02, 0.5, 0.9, 0.999])
def test_nucleus_wider_than_the_first_candidates(scale: float, top_p: float) -> None:
    logits = random_logits(3, 5000, scale=scale)
    kept = (log_q(logits, Sampling(top_p=top_p)) > -math.inf).sum(-1)
    if scale == 0.0:
        assert kept.tolist() == [5000] * 3  # all tie
        return
    check(logits, Sampling(top_p=top_p), slack=3e-5)
    if top_p >= 0.5:
        assert kept.min() > 256


def test_nucleus_of_flat_and_peaked_rows_together() -> None:
    """One row needs thousands of candidates, the other one; neither may disturb the other."""
    logits = torch.cat([random_logits(1, 5000, scale=0.1), random_logits(1, 5000, scale=20.0)])
    together = log_q(logits, Sampling(top_p=0.9))
    alone = torch.cat([log_q(row[None], Sampling(top_p=0.9)) for row in logits])
    assert torch.allclose(together, alone, atol=1e-5)
    check(logits, Sampling(top_p=0.9))


def test_nucleus_with_top_k_inside_the_candidates() -> None:
    check(random_logits(3, 5000, scale=0.1), Sampling(top_p=0.9, top_k=300))
    check(random_logits(3, 5000, scale=0.1), Sampling(top_p=0.9, top_k=100))


@pytest.mark.parametrize("width", [1, 5, 63, 64, 65, 128, 1000])
def test_draw_equals_naive_inverse_cdf(width: int) -> None:
    logits = random_logits(400, width)
    log_probs = log_q(logits, Sampling(top_p=0.9) if width > 1 else Sampling())
    points = torch.rand(400, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mass = log_probs.exp().double().cumsum(-1).numpy()
    expected = [
        int(np.searchsorted(row, u * row[-1], side="right")) for row, u in zip(mass, points.numpy(), strict=True)
    ]
    assert draw(log_probs, points).tolist() == expected


@pytest.mark.parametrize("point", [0.0, 2.0**-53, 0.5, 1 - 2.0**-53])
@pytest.mark.parametrize("width", [7, 64, 200, 5000])
def test_draw_never_gives_a_token_without_mass(point: float, width: int) -> None:
    rows = 200
    log_probs = random_logits(rows, width)
    out = torch.rand(rows, width, generator=torch.Generator().manual_seed(2)) < 0.9
    out[:, width // 2] = False  # at least one token stays
    log_probs[out] = -math.inf
    drawn = draw(log_probs.log_softmax(-1), torch.full((rows,), point, dtype=torch.float64))
    assert not out.gather(1, drawn[:, None]).any()
    places = torch.arange(width)
    if point == 0.0:
        assert torch.equal(drawn, torch.where(out, width, places).amin(-1))
    if point > 0.9 and width < 5000:  # in wide rows the last token may lie beyond the last point
        assert torch.equal(drawn, torch.where(out, -1, places).amax(-1))


def test_draw_at_the_border_of_a_block() -> None:
    """Just below a block's upper border rounding must not carry the draw over to a token without mass."""
    rows, block = 4000, 64
    log_probs = random_logits(rows, 3 * block, scale=10.0)
    log_probs[:, block] = log_probs[:, 2 * block :] = -math.inf
    by_block = log_probs.exp().view(rows, 3, block).sum(-1, dtype=torch.float64).cumsum(-1)
    border = by_block[:, 0] / by_block[:, -1]
    for points in (border, torch.nextafter(border, torch.zeros_like(border)), torch.full_like(border, 1 - 2.0**-53)):
        drawn = draw(log_probs, points.clamp(max=1 - 2.0**-53))
        assert not log_probs.gather(1, drawn[:, None]).isinf().any()


@pytest.mark.parametrize("only", [0, 63, 64, 130, 199])
def test_draw_of_a_certain_token(only: int) -> None:
    log_probs = torch.full((3, 200), -math.inf)
    log_probs[:, only] = 0.0
    points = torch.tensor([0.0, 0.3, 1 - 2.0**-53], dtype=torch.float64)
    assert draw(log_probs, points).tolist() == [only] * 3


def test_draw_keeps_shares() -> None:
    count, width = 20_000, 150
    log_probs = log_q(random_logits(1, width, scale=1.0), Sampling(min_p=0.02))
    points = torch.from_numpy(uniforms(np.array([11]), count)[0])
    observed = torch.bincount(draw(log_probs.expand(count, -1), points), minlength=width).numpy()
    expected = count * log_probs[0].double().softmax(-1).numpy()
    held = expected > 0
    assert observed[~held].sum() == 0 and expected[held].min() > 5
    assert stats.chisquare(observed[held], expected[held]).pvalue > 1e-4


BAD = {
    "temperature": (-0.1, 2.1, math.nan), "top_p": (0.0, -0.5, 1.01), "top_k": (-1,), "min_p": (-0.1, 1.0),
    "repetition_penalty": (0.0, -1.0, 2.5), "max_tokens": (0, -5), "mode": ("poems", ""),
}  # fmt: skip


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in BAD.items() for value in values])
def test_bounds(field: str, value: object) -> None:
    with pytest.raises(FaithfulError, match="Cannot sample this way"):
        Sampling(**{field: value})


@pytest.mark.parametrize(
    "settings",
    [{"temperature": 2.0}, {"temperature": 0.01}, {"top_p": 1e-3}, {"top_k": 2}, {"min_p": 0.999}, {"max_tokens": 1}],
)
def test_bounds_are_inside(settings: dict[str, float]) -> None:
    assert not Sampling(**settings).deterministic


@pytest.mark.parametrize(
    "settings", [{"temperature": 0.0}, {"temperature": 0.009}, {"top_k": 1}, {"top_p": 1e-6}, {"min_p": 0.9999}]
)
def test_greedy_only_when_asked_for(settings: dict[str, float]) -> None:
    with pytest.raises(FaithfulError, match="--greedy"):
        Sampling(**settings)
    sampling = Sampling(**settings, greedy=True)
    logits = random_logits(5, NARROW)
    logits[torch.arange(5), torch.tensor([3, 0, 59, 7, 30])] = 20.0  # no near-ties
    assert sampling.deterministic
    points = torch.linspace(0, 0.999, 5, dtype=torch.float64)
    assert torch.equal(draw(log_q(logits, sampling), points), logits.argmax(-1))


@pytest.mark.parametrize(
    ("settings", "suffix"),
    [
        ({}, ""),
        ({"temperature": 0.7, "top_p": 0.9}, "-t0.7-p0.9"),
        ({"top_k": 50, "min_p": 0.05}, "-k50-m0.05"),
        ({"repetition_penalty": 1.1, "max_tokens": 63}, "-r1.1-l63"),
        ({"mode": "streams", "mask_unmapped": True, "temperature": 2.0}, "-t2-streams-mapped"),
    ],
)
def test_suffix(settings: dict[str, float], suffix: str) -> None:
    assert Sampling(**settings).suffix(127) == suffix


def test_suffix_tells_settings_apart() -> None:
    pairs = [({"max_tokens": 1_000_000}, {"max_tokens": 1_000_001}), ({"top_p": 0.9999999}, {"top_p": 0.9999998})]
    for one, other in pairs:
        assert Sampling(**one).suffix(127) != Sampling(**other).suffix(127)


def test_dictionary_round_trip() -> None:
    sampling = Sampling(temperature=0.7, top_p=0.9, top_k=4, mode="streams", mask_unmapped=True, max_tokens=9)
    assert Sampling.from_dict(sampling.to_dict() | {"unknown": 1}) == sampling
    assert Sampling.from_dict({}) == Sampling()


def test_with_changes() -> None:
    assert Sampling(top_p=0.9).with_changes(top_k=3, top_p=None) == Sampling(top_p=0.9, top_k=3)
    with pytest.raises(FaithfulError):
        Sampling().with_changes(temperature=0.0)


@pytest.mark.parametrize(
    ("settings", "is_model", "truncates"),
    [
        ({"temperature": 0.9}, False, False),
        ({"repetition_penalty": 1.1}, False, False),
        ({"top_p": 0.99}, False, True),
        ({"top_k": 1000}, False, True),
        ({"min_p": 0.01}, False, True),
        ({"mask_unmapped": True}, False, True),
        ({"max_tokens": 3, "mode": "streams"}, True, False),
    ],
)
def test_what_is_the_model_and_what_truncates(settings: dict[str, float], is_model: bool, truncates: bool) -> None:
    assert (Sampling(**settings).is_model, Sampling(**settings).truncates) == (is_model, truncates)

"""The transformers engine against plain full forward passes, for every family."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from transformers import AutoModelForCausalLM, BloomConfig, MptConfig, PreTrainedConfig

from faithful.base.errors import FaithfulError
from faithful.models.load import load_model
from faithful.models.spec import ModelSpec, resolve_model
from generation.sampling.distribution import Sampling, log_q
from generation.sampling.engine import Request, Sample
from generation.sampling.seeds import sample_seed, uniforms
from generation.sampling.transformers_engine import TransformersEngine
from tests.families import build_nan, copy_family

Loader = Callable[[str], tuple[ModelSpec, Any]]

DRAWS = {
    "temperature": {"temperature": 0.7},
    "top-p": {"top_p": 0.8},
    "top-k": {"top_k": 12},
    "min-p": {"min_p": 0.05},
    "repetition": {"repetition_penalty": 1.4},
    "all": {"temperature": 1.3, "top_p": 0.9, "top_k": 40, "min_p": 0.01, "repetition_penalty": 1.2},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread: more only cost time on models this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def requests(count: int, first: int = 0) -> list[Request]:
    return [Request(index, sample_seed(0, "train", index)) for index in range(first, first + count)]


def sample(loaded: tuple[ModelSpec, Any], sampling: Sampling, slots: int, wanted: list[Request]) -> list[Sample]:
    """All samples in the order of their indices."""
    spec, model = loaded
    done = list(TransformersEngine(model, spec, sampling, slots).run(iter(wanted)))
    return sorted(done, key=lambda one: one.index)


@torch.inference_mode()
def plain_logits(loaded: tuple[ModelSpec, Any], ids: list[int]) -> Tensor:
    """Logits [len(ids), vocab] from one full forward pass, no cache and no mask, on [BOS] + ids."""
    spec, model = loaded
    return model(torch.tensor([[spec.bos_id, *ids[:-1]]]), use_cache=False).logits[0].float()


def plain_log_q(loaded: tuple[ModelSpec, Any], sampling: Sampling, ids: list[int]) -> Tensor:
    """log q [len(ids), vocab] from plain logits; what was seen is counted up token by token."""
    spec, _ = loaded
    seen = torch.zeros(len(ids), spec.vocab_size, dtype=torch.bool)
    for t in range(len(ids)):
        seen[t, [spec.bos_id, *ids[:t]]] = True
    return log_q(plain_logits(loaded, ids), sampling, seen, spec.mapped)


def difference(stored: list[float], log_probs: Tensor, ids: list[int]) -> float:
    """Largest difference between stored log-probabilities and those of the tokens in `log_probs`."""
    expected = log_probs.gather(1, torch.tensor(ids)[:, None]).squeeze(1)
    assert len(stored) == len(ids)
    return float((torch.tensor(stored) - expected).abs().max())


@pytest.mark.parametrize("mode", ["documents", "streams"])
def test_log_p_equals_a_full_forward(family: str, family_model: Loader, mode: str) -> None:
    loaded = family_model(family)
    samples = sample(loaded, Sampling(max_tokens=31, mode=mode), 5, requests(24))
    lengths = {len(one.token_ids) for one in samples}
    assert max(lengths) == 31
    assert len(lengths) > 3 if mode == "documents" else lengths == {31}
    for one in samples:
        log_p = plain_logits(loaded, one.token_ids).log_softmax(-1)
        assert difference(one.logprob_p, log_p, one.token_ids) < 1e-4
        assert one.logprob_q is None


def test_tokens_are_inverse_cdf_draws_of_the_samples_own_uniforms(family: str, family_model: Loader) -> None:
    loaded = family_model(family)
    for one in sample(loaded, Sampling(max_tokens=31), 5, requests(12)):
        mass = plain_logits(loaded, one.token_ids).double().softmax(-1).cumsum(-1).numpy()
        row = uniforms(np.array([one.seed]), len(one.token_ids))[0]
        drawn = [int(np.searchsorted(mass[t], row[t] * mass[t, -1], side="right")) for t in range(len(row))]
        assert drawn == one.token_ids


@pytest.mark.parametrize("setting", DRAWS)
def test_log_q_equals_the_definition(family: str, family_model: Loader, setting: str) -> None:
    loaded = family_model(family)
    sampling = Sampling(max_tokens=24, **DRAWS[setting])
    for one in sample(loaded, sampling, 3, requests(8)):
        assert one.logprob_q is not None
        expected = plain_log_q(loaded, sampling, one.token_ids)
        assert difference(one.logprob_q, expected, one.token_ids) < 1e-4
        log_p = plain_logits(loaded, one.token_ids).log_softmax(-1)
        assert difference(one.logprob_p, log_p, one.token_ids) < 1e-4
        assert one.logprob_q != one.logprob_p


def test_slots_do_not_change_the_samples(family: str, family_model: Loader) -> None:
    loaded = family_model(family)
    alone, three, eight = (sample(loaded, Sampling(max_tokens=31), slots, requests(8)) for slots in (1, 3, 8))
    for other in (three, eight):
        assert [one.token_ids for one in other] == [one.token_ids for one in alone]
        for one, reference in zip(other, alone, strict=True):
            assert np.allclose(one.logprob_p, reference.logprob_p, atol=1e-4)


def test_equal_runs_give_equal_bytes(family_model: Loader) -> None:
    first, second = (sample(family_model("gemma2"), Sampling(max_tokens=20), 4, requests(10)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("slots", [1, 4, 40])
def test_every_request_is_answered_once(family: str, family_model: Loader, slots: int) -> None:
    spec, model = family_model(family)
    wanted = requests(17, first=100)
    done = list(TransformersEngine(model, spec, Sampling(max_tokens=12), slots).run(iter(wanted)))
    assert sorted(one.index for one in done) == [request.index for request in wanted]
    seeds = {request.index: request.seed for request in wanted}
    assert all(one.seed == seeds[one.index] for one in done)


def test_finish_reasons_of_documents(family: str, family_model: Loader) -> None:
    loaded = family_model(family)
    ends = set(loaded[0].eos_ids)
    samples = sample(loaded, Sampling(max_tokens=31), 16, requests(64))
    for one in samples:
        assert not ends & set(one.token_ids[:-1])
        assert one.finish_reason == ("stop" if one.token_ids[-1] in ends else "length")
        assert len(one.token_ids) == 31 or one.finish_reason == "stop"
    assert {one.finish_reason for one in samples} == {"stop", "length"}


def test_streams_run_through_end_of_text(family: str, family_model: Loader) -> None:
    loaded = family_model(family)
    ends = set(loaded[0].eos_ids)
    samples = sample(loaded, Sampling(max_tokens=31, mode="streams"), 8, requests(24))
    assert all(len(one.token_ids) == 31 and one.finish_reason == "length" for one in samples)
    assert any(ends & set(one.token_ids[:-1]) for one in samples)


def test_streams_begin_like_documents(family: str, family_model: Loader) -> None:
    loaded = family_model(family)
    documents = sample(loaded, Sampling(max_tokens=31), 5, requests(10))
    streams = sample(loaded, Sampling(max_tokens=31, mode="streams"), 4, requests(10))
    for document, stream in zip(documents, streams, strict=True):
        assert stream.token_ids[: len(document.token_ids)] == document.token_ids


def test_every_end_of_text_id_stops(family_model: Loader) -> None:
    samples = sample(family_model("llama"), Sampling(max_tokens=63), 32, requests(96))
    assert {one.token_ids[-1] for one in samples if one.finish_reason == "stop"} == {2, 3, 4}


def test_no_requests_no_samples(family_model: Loader) -> None:
    assert sample(family_model("gpt2"), Sampling(), 4, []) == []


def test_requests_are_pulled_only_when_there_is_room(family_model: Loader) -> None:
    spec, model = family_model("gpt2")
    pulled: list[int] = []

    def stream() -> Iterator[Request]:
        for request in requests(50):
            pulled.append(request.index)
            yield request

    running = TransformersEngine(model, spec, Sampling(max_tokens=20), 6).run(stream())
    next(running)
    assert pulled == list(range(6))
    running.close()
    assert len(pulled) == 6


@pytest.mark.parametrize("sampling", [Sampling(max_tokens=5), Sampling(max_tokens=5, top_p=0.9)], ids=["p", "q"])
def test_nan_weights_stop_the_run(tmp_path: Path, sampling: Sampling) -> None:
    spec = resolve_model(str(build_nan(tmp_path / "nan")))
    with pytest.raises(FaithfulError, match="NaN"):
        sample((spec, load_model(spec, "cpu")), sampling, 3, requests(6))


def test_first_token_follows_the_exact_distribution(family: str, family_model: Loader) -> None:
    loaded = family_model(family)
    count = 4_000
    samples = sample(loaded, Sampling(max_tokens=1), 500, requests(count))
    first = np.array([one.token_ids[0] for one in samples])
    assert all(len(one.token_ids) == 1 for one in samples)
    expected = count * plain_logits(loaded, [0])[0].double().softmax(-1).numpy()
    observed = np.bincount(first, minlength=len(expected))
    rare = expected < 5
    tables = [np.append(table[~rare], table[rare].sum()) for table in (observed, expected)]
    assert stats.chisquare(*tables).pvalue > 1e-4


def test_mask_unmapped(family_model: Loader) -> None:
    loaded = family_model("gpt_neox")
    spec, _ = loaded
    plain = sample(loaded, Sampling(max_tokens=15), 20, requests(60))
    assert max(i for one in plain for i in one.token_ids) >= spec.mapped
    masked = Sampling(max_tokens=15, mask_unmapped=True)
    for one in sample(loaded, masked, 20, requests(60)):
        assert max(one.token_ids) < spec.mapped
        assert one.logprob_q is not None
        assert difference(one.logprob_q, plain_log_q(loaded, masked, one.token_ids), one.token_ids) < 1e-4
        assert all(q > p for p, q in zip(one.logprob_p, one.logprob_q, strict=True))


@pytest.mark.parametrize(("name", "window"), [("gemma2", 16), ("mistral", 24)])
def test_sliding_windows_are_shorter_than_these_samples(family_model: Loader, name: str, window: int) -> None:
    """Without this the checks above could not see a window that is ignored."""
    loaded = family_model(name)
    config = loaded[1].config
    assert config.sliding_window == window
    (one,) = sample(loaded, Sampling(max_tokens=31, mode="streams"), 1, requests(1))
    within = plain_logits(loaded, one.token_ids)
    try:
        config.sliding_window = 64
        without = plain_logits(loaded, one.token_ids)
    finally:
        config.sliding_window = window
    moved = (within - without).abs().amax(-1)
    assert moved[:window].max() < 1e-4
    assert moved[window:].max() > 1e-2


@pytest.mark.parametrize(
    "config",
    [
        BloomConfig(hidden_size=64, n_layer=2, n_head=2),
        MptConfig(d_model=64, n_layers=2, n_heads=2, max_seq_len=48),
    ],
    ids=["bloom", "mpt"],
)
def test_families_without_sdpa_and_position_embeddings(
    config: PreTrainedConfig, family_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copy_family(family_folder("gpt2"), tmp_path / "model")
    config.vocab_size, config.bos_token_id, config.eos_token_id = 297, 296, 296
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    for weight in model.parameters():
        weight.data *= 8 if weight.dim() > 1 else 1
    model.save_pretrained(folder)
    spec = resolve_model(str(folder))
    loaded = spec, load_model(spec, "cpu")
    for one in sample(loaded, Sampling(max_tokens=40), 3, requests(8)):
        expected = plain_logits(loaded, one.token_ids).log_softmax(-1)[range(len(one.token_ids)), one.token_ids]
        np.testing.assert_allclose(one.logprob_p, expected, atol=1e-4)


def test_an_engine_tells_the_tokens_in_flight_after_every_step(
    family_model: Callable[[str], tuple[ModelSpec, Any]],
) -> None:
    """Rows of one age: they grow by a token each until the first is whole; at the end nothing is in flight."""
    spec, model = family_model("gpt2")
    sampling = Sampling(max_tokens=6, mode="streams")
    engine = TransformersEngine(model, spec, sampling, 3)
    heard: list[int] = []
    engine.told = heard.append
    assert len(list(engine.run(Request(index, index + 1) for index in range(3)))) == 3
    assert heard == [3, 6, 9, 12, 15, 0]

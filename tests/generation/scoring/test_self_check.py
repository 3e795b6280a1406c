"""The check of a sampler before its first sample: what it lets pass, what it falls back on, what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.models.load import load_model
from faithful.models.spec import ModelSpec, resolve_model
from generation.configs.generate import GenerateConfig
from generation.own.prepare import stated_sampling
from generation.sampling import transformers_engine
from generation.sampling.distribution import Sampling
from generation.sampling.engine import Request
from generation.sampling.seeds import sample_seed
from generation.sampling.transformers_engine import TransformersEngine, schedules
from generation.scoring.scorer import Scorer
from generation.scoring.self_check import checked_engine
from tests.causal_types import VOCAB, build_causal_type

Loader = Callable[[str], tuple[ModelSpec, Any]]
SHORT = Sampling(max_tokens=20)


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Loader:
    """Spec and model of a small causal type, built on first use."""
    root, loaded = tmp_path_factory.mktemp("types"), {}

    def model(name: str) -> tuple[ModelSpec, Any]:
        if name not in loaded:
            spec = resolve_model(str(build_causal_type(name, root / name)))
            loaded[name] = spec, load_model(spec, "cpu")
        return loaded[name]

    return model


def engine(loaded: tuple[ModelSpec, Any], slots: int = 3) -> TransformersEngine:
    return checked_engine(loaded[1], loaded[0], SHORT, slots)


def test_ordinary_families_keep_the_rolling_schedule(family: str, family_model: Loader) -> None:
    assert engine(family_model(family)).schedule == "rolling"


@pytest.mark.parametrize(
    ("name", "schedule"),
    [("mamba2", "even"), ("qwen3_5_text", "even"), ("lfm2", "even"), ("llama4_text", "even"), ("rwkv", "whole")],
)
@pytest.mark.parametrize("slots", [1, 5])
def test_other_caches_have_schedules_of_their_own(typed: Loader, name: str, schedule: str, slots: int) -> None:
    """Rows that end at different times, and leave the batch, have the log-probabilities of one pass over each."""
    spec, model = typed(name)
    found = engine((spec, model), slots)
    assert found.schedule == schedule
    found.stop_ids = frozenset(range(0, VOCAB, 6))
    samples = sorted(
        found.run(iter([Request(i, sample_seed(0, "train", i)) for i in range(12)])), key=lambda s: s.index
    )
    assert [sample.index for sample in samples] == list(range(12))
    assert len({len(sample.token_ids) for sample in samples}) > 2
    expected = Scorer(model, spec, SHORT).log_p([np.array(sample.token_ids) for sample in samples])
    np.testing.assert_allclose(np.concatenate([sample.logprob_p for sample in samples]), expected, atol=1e-3)


def test_a_cache_that_does_not_work_is_done_without(typed: Loader) -> None:
    """transformers' one-token steps of Bamba are not its pass over a text: every token is fed again."""
    loaded = typed("bamba")
    assert schedules(loaded[1]) == ("even", "whole")
    assert engine(loaded).schedule == "whole"


def test_positions_that_cannot_be_told_do_not_roll(typed: Loader) -> None:
    """TrOCR counts positions by the length of the cache: a row that begins late would begin with late positions."""
    spec, model = typed("trocr")
    assert schedules(model) == ("even", "whole")
    rows = sorted(
        TransformersEngine(model, spec, SHORT, 3, "rolling").run(
            iter([Request(i, sample_seed(0, "train", i)) for i in range(6)])
        ),
        key=lambda sample: sample.index,
    )
    scored = Scorer(model, spec, SHORT).log_p([np.array(row.token_ids) for row in rows])
    drawn = np.concatenate([row.logprob_p for row in rows])
    assert np.abs(drawn - scored).max() > 0.1


def test_probabilities_that_depend_on_the_batch_are_refused_with_the_difference(
    family_model: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, model = family_model("llama")
    plain = type(model).forward

    def crowded(self: Any, input_ids: torch.Tensor, **rest: Any) -> Any:
        output = plain(self, input_ids=input_ids, **rest)
        output.logits[:, :, 7] += 0.05 * len(input_ids)
        return output

    monkeypatch.setattr(type(model), "forward", crowded)
    with pytest.raises(
        FaithfulError, match=r"\(llama\) cannot be sampled faithfully here: .* by 0\.\d+ nats per token"
    ):
        engine((spec, model))


def test_what_a_family_says_is_one_sentence(family_model: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, model = family_model("llama")
    monkeypatch.setattr(transformers_engine, "schedules", lambda _: ("rolling",))

    def stubborn(self: Any, input_ids: torch.Tensor, **rest: Any) -> Any:
        raise ValueError("no steps here.\nand a second line")

    monkeypatch.setattr(type(model), "forward", stubborn)
    with pytest.raises(FaithfulError, match="no steps here") as caught:
        engine((spec, model))
    assert "second line" not in str(caught.value)


def test_memory_is_not_taken_for_a_family_that_fails(family_model: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, model = family_model("llama")

    def full(self: Any, input_ids: torch.Tensor, **rest: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(type(model), "forward", full)
    with pytest.raises(MemoryError):
        engine((spec, model))


def longrope(folder: Path) -> Path:
    """A Phi-3 whose rotary embeddings switch at 16 tokens."""
    build_causal_type("phi3", folder)
    config = json.loads((folder / "config.json").read_text())
    half = config["hidden_size"] // config["num_attention_heads"] // 2
    config["original_max_position_embeddings"] = 16
    config["rope_parameters"] = {
        "rope_type": "longrope", "rope_theta": 10_000.0, "original_max_position_embeddings": 16,
        "short_factor": [1.0] * half, "long_factor": [4.0] * half, "partial_rotary_factor": 1.0,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def dynamic(folder: Path) -> Path:
    """A Llama whose rotary embeddings are stretched beyond 16 tokens."""
    build_causal_type("llama", folder)
    config = json.loads((folder / "config.json").read_text())
    config["max_position_embeddings"] = 16
    config["rope_parameters"] = {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 4.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("build", [longrope, dynamic])
def test_a_context_ends_where_positions_depend_on_the_batch(build: Callable[[Path], Path], tmp_path: Path) -> None:
    spec = resolve_model(str(build(tmp_path / "model")))
    assert spec.positions == 16
    model = load_model(spec, "cpu")
    ids = torch.randint(30, VOCAB, (1, 30), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        short, within, beyond = (model(ids[:, :length]).logits[:, :12] for length in (12, 16, 24))
    assert (short - within).abs().max() < 1e-4
    assert (short - beyond).abs().max() > 1e-2
    assert stated_sampling(GenerateConfig(), "phi", spec.positions).max_tokens == 15
    with pytest.raises(FaithfulError, match="at most 15"):
        stated_sampling(GenerateConfig(max_tokens=23), "phi", spec.positions)

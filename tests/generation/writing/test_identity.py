"""What is promised of a corpus."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.models.spec import resolve_model
from faithful.store.corpus import Manifest
from generation.sampling.engine import EngineSettings
from generation.writing.identity import (
    check_engine,
    engine_identity,
    model_identity,
    model_provenance,
    promise,
    settings_from,
    spec_of,
    tokenizer_identity,
)


@pytest.mark.parametrize(
    ("change", "promised"),
    [
        ({}, "bytes"),
        ({"threads": 2}, "distribution"),
        ({"deterministic": False}, "distribution"),
        ({"device": "cuda"}, "distribution"),
        ({"name": "vllm"}, "distribution"),
        ({"name": "vllm", "device": "cuda"}, "distribution"),
    ],
    ids=str,
)
def test_bytes_are_promised_by_our_engine_on_one_thread_of_a_cpu_alone(change: dict[str, Any], promised: str) -> None:
    settings = EngineSettings("transformers", "cpu", 1, 8, 24, deterministic=True)
    assert promise(EngineSettings(**(asdict(settings) | change))) == promised


def test_the_gpus_of_a_worker_are_recorded_where_there_are_several() -> None:
    settings = EngineSettings("vllm", "cuda", 1, 8, 24, deterministic=False)
    assert "tensor_parallel" not in engine_identity(settings)
    assert settings_from(engine_identity(settings)) == settings
    spread = replace(settings, tensor_parallel=2)
    assert settings_from(engine_identity(spread)) == spread
    with pytest.raises(FaithfulError, match="tensor_parallel None → 2"):
        check_engine(engine_identity(settings), engine_identity(spread), accept=False)


def test_how_weights_are_loaded_is_recorded_where_they_are_quantised() -> None:
    """Corpora of models as they are keep the identity, and the provenance, that they had before there was another way."""
    plain = resolve_model("tiny")
    quantised = replace(plain, load="4bit")
    assert "load" not in model_identity(plain) and "load" not in model_provenance(plain)
    assert model_identity(quantised) == model_identity(plain) | {"load": "4bit"}
    assert "load" not in tokenizer_identity(quantised)
    for spec in (plain, quantised):
        manifest = Manifest("x", "own", {"model": model_identity(spec)}, {"model": model_provenance(spec)}, {})
        assert spec_of(manifest) == replace(spec, source=spec_of(manifest).source)
    settings = EngineSettings("transformers", "cpu", 1, 8, 24, deterministic=True)
    assert engine_identity(settings, "4bit")["versions"].keys() - engine_identity(settings)["versions"] == {
        "bitsandbytes"
    }

"""What is promised of a corpus."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from generation.sampling.engine import EngineSettings
from generation.writing.identity import check_engine, engine_identity, promise, settings_from


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

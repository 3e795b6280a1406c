"""What is promised of a corpus."""

from dataclasses import asdict
from typing import Any

import pytest

from generation.sampling.engine import EngineSettings
from generation.writing.identity import promise


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

"""What `corpus certify` is told."""

from pathlib import Path

from generation.configs.certify import CertifyConfig


def test_what_is_scored_otherwise_than_declared() -> None:
    assert CertifyConfig(Path("x"), as_temperature=0.5, as_top_k=3).overrides() == {"temperature": 0.5, "top_k": 3}
    assert CertifyConfig(Path("x"), tokens=5).overrides() == {}

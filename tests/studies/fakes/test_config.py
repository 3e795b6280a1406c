import pytest

from studies.fakes.config import noise_tokens


@pytest.mark.parametrize(
    ("device", "context", "tokens"), [("cpu", 33, 64_000), ("cpu", 128, 127_000), ("cuda:0", 128, 1_000_000)]
)
def test_noise_has_a_thousand_contexts_at_least(device: str, context: int, tokens: int) -> None:
    assert noise_tokens(device, context) == tokens


@pytest.mark.parametrize(
    ("device", "context", "tokens"),
    [("cpu", 128, 127_000), ("cpu", 32, 64_000), ("cuda", 128, 1_000_000), ("cuda:1", 1024, 1_023_000)],
)
def test_no_fewer_than_1000_contexts_are_drawn_unless_told(device: str, context: int, tokens: int) -> None:
    assert noise_tokens(device, context) == tokens

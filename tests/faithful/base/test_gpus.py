"""Forecasts for a GPU that is not here."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.base.gpus import GPUS, UNKNOWN, forecast_gpu, gpu_here, known_gpu
from faithful.cli import app
from generation.configs.generate import GenerateConfig
from generation.own.dry_run import dry_run


def test_a_card_is_known_by_its_short_name() -> None:
    assert known_gpu("H100") is GPUS["h100"]
    assert forecast_gpu("a100").bytes == 80e9
    with pytest.raises(FaithfulError, match=r"'h10' is no GPU .* Did you mean h100\?"):
        known_gpu("h10")


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100NVL", "h100"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA GeForce RTX 4090", "4090"),
        ("NVIDIA RTX A1000", None),
        ("NVIDIA RTX 40900", None),
        ("NVIDIA GA100", None),
    ],
)
def test_the_card_here_is_known_by_a_word_of_its_name(
    name: str, listed: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: name)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (1, 2))
    found = gpu_here()
    assert found is not None and (found.name, found.bytes) == (name, 2.0)
    assert found.bandwidth == (GPUS[listed] if listed else UNKNOWN).bandwidth


def test_a_generation_is_forecast_for_the_card() -> None:
    """vLLM on it, whatever is installed here; decoding is bound by the card's bandwidth."""
    config = GenerateConfig(model="pythia-2.8b")
    by_card = {card: dry_run(config, card) for card in ("4090", "a100", "h100", "h200")}
    assert all(plan.engine == "vllm" and plan.dtype == "float16" and plan.fits for plan in by_card.values())
    rates = [plan.tokens_per_second for plan in by_card.values()]
    assert rates == sorted(rates) and rates[-1] > 2 * rates[0]
    assert by_card["4090"].concurrency < by_card["h200"].concurrency == 256
    assert "assumed H100 (80 GB" in by_card["h100"].device
    assert not dry_run(GenerateConfig(model="llama-3.1-8b", dtype="float32"), "4090").fits


def test_to_assume_is_for_forecasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in ("generate --model pythia-2.8b", "run pythia-2.8b"):
        told = CliRunner().invoke(app, [*line.split(), "--assume", "h100"])
        assert told.exit_code == 2 and "add --dry-run" in told.output
        told = CliRunner().invoke(app, [*line.split(), "--assume", "tpu", "--dry-run"])
        assert told.exit_code == 2 and "choose one of h200" in told.output
    assert list(tmp_path.iterdir()) == []

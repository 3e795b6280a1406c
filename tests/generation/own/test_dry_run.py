"""A dry run says what would be done, refuses what would be refused, and leaves no trace."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.cli import app
from faithful.models.presets import presets
from generation.configs.generate import GenerateConfig
from generation.own.dry_run import dry_run
from generation.writing.splits import held_out_budget


def everything_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("model", ["pythia-2.8b", "gemma-2-2b", None])
def test_a_dry_run_of_a_preset_says_its_values_and_writes_nothing(
    model: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    preset = presets()[model or "tiny"]
    forecast = dry_run(GenerateConfig(model=model, device="cpu"))
    assert (forecast.train_tokens, forecast.test_tokens) == (preset.tokens, held_out_budget(preset.tokens))
    assert forecast.max_tokens == preset.context - 1
    assert forecast.kv_bytes_per_token == preset.shape.kv_bytes_per_token(4)
    assert forecast.folder == f"runs/{preset.name}/corpora/own"
    assert forecast.preset is not None
    assert forecast.preset["d_sae"] == preset.d_sae
    assert everything_below(tmp_path) == []


def test_a_dry_run_of_a_local_model_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family_folder
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    model = family_folder("llama")
    before = {path: path.stat().st_mtime_ns for path in model.rglob("*")}
    forecast = dry_run(GenerateConfig(model=str(model), tokens=5000, temperature=0.7, device="cpu"))
    assert (forecast.train_tokens, forecast.max_tokens) == (5000, 127)
    assert forecast.folder.endswith("/own-t0.7")
    assert everything_below(tmp_path) == []
    assert {path: path.stat().st_mtime_ns for path in model.rglob("*")} == before


@pytest.mark.parametrize(
    "stated",
    [
        {"temperature": 0.0}, {"top_p": 0.0}, {"mode": "songs"}, {"engine": "magic"}, {"device": "tpu"}, {"batch": 0},
        {"max_tokens": 5000}, {"workers": 0}, {"dtype": "float7"},
    ],
    ids=str,
)  # fmt: skip
def test_a_dry_run_refuses_what_generate_refuses(
    stated: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FaithfulError) as caught:
        dry_run(GenerateConfig(model="gpt2", **stated))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert everything_below(tmp_path) == []


def test_a_dry_run_of_a_preset_refuses_a_folder_that_holds_other_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "gpt2" / "corpora" / "own"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FaithfulError, match="not empty"):
        dry_run(GenerateConfig(model="gpt2"))


def test_a_model_that_is_too_large_does_not_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("generation.own.forecast.available_memory", lambda: 2**33)
    forecast = dry_run(GenerateConfig(model="pythia-2.8b", device="cpu"))
    assert not forecast.fits
    assert "does not fit" in forecast.note and "--dtype bfloat16" in forecast.note
    shown = CliRunner().invoke(app, ["generate", "--model", "pythia-2.8b", "--device", "cpu", "--dry-run"])
    assert shown.exit_code == 0 and "none: it does not fit" in shown.stdout
    assert dry_run(GenerateConfig(model="pythia-2.8b", device="cpu", dtype="bfloat16")).fits
    assert "fit" not in dry_run(GenerateConfig(model="gpt2", device="cpu")).note


def test_a_plan_for_a_gpu_that_is_not_here_is_refused_as_the_run_would_be(tmp_path: Path) -> None:
    wish = GenerateConfig(model="pythia-2.8b", load="4bit", out=tmp_path / "own")
    assert dry_run(wish, "h200").engine == "transformers"
    with pytest.raises(FaithfulError, match="--load 4bit quantises a model for transformers; use --engine"):
        dry_run(replace(wish, engine="vllm"), "h200")
    with pytest.raises(FaithfulError, match="--tensor-parallel spreads a model over GPUs with vLLM"):
        dry_run(replace(wish, tensor_parallel=4), "h200")
    with pytest.raises(FaithfulError, match="'vlm' is not an engine; choose"):
        dry_run(replace(wish, engine="vlm"), "h200")

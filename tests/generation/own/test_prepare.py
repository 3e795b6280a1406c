"""What a run of `generate` settles before it starts: its folder, its sampling, its engine."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.models import spec as spec_module
from faithful.store.corpus import Shard
from generation.certificate.reference import is_reference
from generation.configs.generate import GenerateConfig
from generation.own import engines
from generation.own import prepare as preparing
from generation.own.prepare import (
    corpus_folder,
    corpus_to_go_on_with,
    drawing_settings,
    prepare,
    refuse_bad_counts,
    refuse_differences,
    stated_sampling,
)

HELD_OUT = {"train": [], "test": [Shard("test/part-00000.parquet", 0, 1, 5, 1, "0" * 64, {})]}


@pytest.mark.parametrize("positions", [0, 128])
def test_a_model_that_states_no_context_has_no_longest_sample(positions: int) -> None:
    assert stated_sampling(GenerateConfig(max_tokens=127), "x/y", positions).max_tokens == 127
    config = GenerateConfig(max_tokens=5000)
    if not positions:
        assert stated_sampling(config, "x/y", positions).max_tokens == 5000
        assert stated_sampling(GenerateConfig(), "x/y", positions).max_tokens == 511
        return
    with pytest.raises(FaithfulError, match="at most 127"):
        stated_sampling(config, "x/y", positions)


def test_a_corpus_is_called_by_what_its_sampling_changes(tmp_path: Path) -> None:
    assert corpus_folder(GenerateConfig(model="gpt2")) == Path("runs/gpt2/corpora/own")
    assert corpus_folder(GenerateConfig(model="gpt2", temperature=0.7, top_p=0.9)).name == "own-t0.7-p0.9"
    assert corpus_folder(GenerateConfig(model="gpt2", temperature=0.7, out=tmp_path)) == tmp_path


def test_a_folder_is_gone_on_with_where_it_holds_a_corpus_or_nothing(tmp_path: Path) -> None:
    assert corpus_to_go_on_with(tmp_path / "none") is None
    assert corpus_to_go_on_with(tmp_path) is None
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FaithfulError, match="not empty"):
        corpus_to_go_on_with(tmp_path)


@pytest.mark.parametrize(
    "stated",
    [
        {"batch": 0}, {"shard_rows": -1}, {"workers": 0}, {"threads": 0}, {"tensor_parallel": 0}, {"tokens": -5},
        {"held_out": 0},
    ],
    ids=str,
)  # fmt: skip
def test_counts_that_count_nothing_are_refused(stated: dict[str, int]) -> None:
    with pytest.raises(FaithfulError, match=next(iter(stated)).replace("_", "-")):
        refuse_bad_counts(GenerateConfig(model="gpt2", **stated))  # type: ignore[arg-type]


def test_an_engine_that_is_found_out_is_refused_like_a_stated_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus that was drawn on a CPU is gone on with on two GPUs each: by vLLM where it is installed."""
    recorded = {
        "name": "transformers",
        "device": "cpu",
        "threads": 1,
        "slots": 8,
        "shard_rows": 8,
        "deterministic": False,
    }
    manifest: Any = SimpleNamespace(segments=[{"engine": recorded}], identity={"model": {}})
    config = GenerateConfig(device="cuda", tensor_parallel=2, accept_engine_change=True)
    monkeypatch.setattr(engines, "has_vllm", lambda: True)
    found = drawing_settings(config, manifest)
    assert (found.name, found.device, found.tensor_parallel) == ("vllm", "cuda", 2)
    monkeypatch.setattr(engines, "has_vllm", lambda: False)
    with pytest.raises(FaithfulError, match="--tensor-parallel spreads a model over GPUs with vLLM"):
        drawing_settings(config, manifest)


@pytest.mark.parametrize("stated", [{}, {"engine": "transformers"}, {"device": "cpu"}], ids=str)
def test_a_model_is_spread_over_gpus_by_vllm_alone(stated: dict[str, str], tmp_path: Path) -> None:
    wish: dict[str, Any] = {"device": "cpu", "tensor_parallel": 2} | stated
    with pytest.raises(FaithfulError, match="--tensor-parallel spreads a model over GPUs with vLLM"):
        prepare(GenerateConfig(model="tiny", out=tmp_path, **wish))


def test_a_quantised_model_is_another_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert corpus_folder(GenerateConfig(model="gpt2", load="4bit", temperature=0.7)).name == "own-4bit-t0.7"
    assert corpus_folder(GenerateConfig(model="gpt2", load="full")).name == "own"
    monkeypatch.setattr(spec_module, "require_quantising", lambda _: None)
    config = GenerateConfig(load="4bit", out=tmp_path / "own-4bit", device="cpu")
    folder, manifest, spec = prepare(config)
    assert spec.load == "4bit" and manifest.identity["model"]["load"] == "4bit"
    refuse_differences(config, folder, manifest)
    refuse_differences(replace(config, load=None), folder, manifest)
    for load in ("8bit", "full"):
        with pytest.raises(FaithfulError, match=f"made otherwise: load {load} asked for, 4bit in the corpus"):
            refuse_differences(replace(config, load=load), folder, manifest)
    _, plain, _ = prepare(GenerateConfig(out=tmp_path / "own", device="cpu"))
    with pytest.raises(FaithfulError, match="load 4bit asked for, full in the corpus"):
        refuse_differences(config, folder, plain)
    assert is_reference(replace(manifest, shards=HELD_OUT), spec)
    assert not is_reference(replace(manifest, shards=HELD_OUT), replace(spec, load=None))


@pytest.mark.parametrize(("most", "is_asked"), [(None, False), (64, True)])
def test_a_corpus_that_is_there_is_gone_on_with_without_its_model(
    monkeypatch: pytest.MonkeyPatch, most: int | None, is_asked: bool
) -> None:
    """But where the name hangs on the model's context: of a stated --max-tokens."""
    asked = []
    monkeypatch.setattr(preparing, "_resolve", lambda config: asked.append(config) or SimpleNamespace(positions=128))
    monkeypatch.setattr(preparing, "corpus_to_go_on_with", lambda folder, part: "there")
    monkeypatch.setattr(preparing, "refuse_differences", lambda config, folder, manifest: None)
    monkeypatch.setattr(preparing, "spec_of", lambda manifest: "its model")
    folder, _, spec = preparing.prepare(GenerateConfig(model="some-org/model", max_tokens=most))
    assert folder.name == ("own-l64" if most else "own") and spec == "its model"
    assert bool(asked) is is_asked

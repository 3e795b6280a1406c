"""What a wish to add comes down to, before work starts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from faithful.store.corpus import read_manifest
from generation.configs.add import AddConfig
from generation.external.add import add
from generation.external.prepare import model_of, source_name
from generation.sampling.distribution import Sampling
from tests.generation.external.test_add import contents, times
from tests.own import write_own


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 4}, "seed 4 asked for, 3 in the corpus"),
        ({"context": 64}, "context 64 asked for, 32 in the corpus"),
        ({"window": 65}, "window 65"),
        ({"shard_rows": 7}, "shard rows 7"),
        ({"model": "tiny"}, "model tiny asked for"),
        ({"unit": "passage"}, "source.unit passage asked for, document in the corpus"),
        ({"template": "{text}!"}, "source.template"),
        ({"name": "noise"}, "source.kind noise asked for, files in the corpus"),
    ],
)
def test_other_settings_are_refused_by_name_and_touch_nothing(
    corpus: Path, wish: AddConfig, change: dict[str, Any], named: str
) -> None:
    before = contents(corpus), times(corpus)
    with pytest.raises(FaithfulError) as refused:
        add(replace(wish, **change))
    assert named in str(refused.value)
    assert "was made otherwise" in str(refused.value)
    assert (contents(corpus), times(corpus)) == before


def test_names_become_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: AddConfig) -> None:
    names = {
        "prose": "prose",
        "HuggingFaceFW/fineweb": "fineweb",
        "some-one/A set": "A-set",
        "a/b/notes.jsonl.gz": "notes",
        "a/日本語.txt": "日本語",
        "a/한국어 글.txt": "한국어-글",
        "a/.hidden.txt": "hidden",
        "a/...": "corpus",
        "a/my notes!.txt": "my-notes-",
    }
    assert {name: source_name(name) for name in names} == names
    monkeypatch.chdir(tmp_path)
    result = add(AddConfig("noise", tokens=500, held_out=100))
    assert result.folder == Path("runs/tiny/corpora/noise")
    assert (tmp_path / "runs/current").read_text() == "tiny\n"
    assert add(AddConfig("noise", tokens=500, held_out=100, seed=2)).folder.name == "noise-s2"


def test_text_is_tokenised_for_the_model_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family_model: Callable[[str], tuple[ModelSpec, Any]]
) -> None:
    """As after `faithful generate --model pythia-2.8b`: of the current run or the one that is named, else `tiny`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FAITHFUL_RUN", raising=False)
    spec, model = family_model("gpt2")
    sizes = {"train": 200, "test": 100}
    for name in ("mine", "damaged"):
        write_own(tmp_path / "runs" / name / "corpora" / "own", spec, model, Sampling(max_tokens=31), sizes)
    (tmp_path / "runs/damaged/corpora/own/corpus.json").write_text("{")
    noise = AddConfig("noise", tokens=300, held_out=100, context=32)
    assert model_of(noise) == "tiny"
    assert model_of(replace(noise, run="damaged")) == "tiny"
    (tmp_path / "runs/current").write_text("mine\n")
    assert model_of(noise) == model_of(replace(noise, run="mine")) == spec.source
    assert model_of(replace(noise, model="gpt2")) == "gpt2"
    with pytest.raises(
        FaithfulError, match=f"The run runs/mine holds text of {spec.name}, whose tokenizer differs from"
    ):
        add(replace(noise, model="tiny", run="mine"))
    added = add(replace(noise, run="mine"))
    assert added.folder == Path("runs/mine/corpora/noise")
    assert read_manifest(added.folder).identity["model"]["tokenizer_sha256"] == spec.tokenizer_sha256


@pytest.mark.parametrize(
    ("stated", "option"),
    [({"unit": "passage"}, "--unit"), ({"unit": "document"}, "--unit"), ({"window": 9}, "--window")],
)
def test_noise_takes_nothing_that_would_only_give_it_another_name(
    tmp_path: Path, stated: dict[str, Any], option: str
) -> None:
    with pytest.raises(FaithfulError, match=f"^noise .*takes no {option}; leave that out"):
        add(AddConfig("noise", out=tmp_path / "noise", tokens=500, **stated))
    assert not (tmp_path / "noise").exists()

"""What a training comes down to: what is left out comes from what is there."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from faithful.models import spec as spec_module
from faithful.models.spec import ModelSpec, in_words, resolve_model
from faithful.store.corpora_of_saes import bos_of, loaded_otherwise
from faithful.store.corpus import Corpus, read_manifest, write_manifest
from faithful.training.settings import settle
from faithful.training.train import train
from generation.configs.derive import ShuffleConfig
from generation.derived.shuffle import shuffle
from generation.sampling.distribution import Sampling
from tests.faithful.training.grids import configured
from tests.families import build_without_bos, copy_family
from tests.own import write_external, write_own

Model = Callable[[str], tuple[ModelSpec, Any]]


def test_what_is_left_out_comes_from_the_saes_that_are_there(
    trained: Path, corpora: dict[str, Path], family_model: Model, tmp_path: Path
) -> None:
    """Corpora and seeds join a grid as it began, however large they are; what cannot is refused before anything is read."""
    out = shutil.copytree(trained, tmp_path / "saes")
    left_out = dict.fromkeys(("tokens", "context", "batch", "buffer", "lr"))
    stated, _ = settle(configured(corpora, trained), "cpu")
    both = (corpora["own"], corpora["cool"])
    assert settle(configured(corpora, out, corpora=both, **left_out), "cpu")[0] == stated
    alone = configured(corpora, out, corpora=(corpora["cool"],), seeds=(0,), **left_out)
    assert settle(alone, "cpu")[0] == replace(stated, seeds=(0,))
    train(alone)
    assert [path.parts[-3] for path in train(replace(alone, corpora=both)).skipped] == ["own", "cool"]
    spec, _ = family_model("gpt2")
    texts = {"train": [np.arange(5, 36)] * 100, "test": [np.arange(5, 36)]}
    short = write_external(tmp_path / "corpora" / "short", spec, texts)
    with pytest.raises(FaithfulError, match=r"short holds 3,100 tokens .* trained on 6,000 .* make short larger"):
        settle(configured(corpora, out, corpora=(*both, short), **left_out), "cpu")
    path = out / "cool" / "resid_pre.1-f96-k4" / "seed-0" / "cfg.json"
    config = json.loads(path.read_text())
    config["metadata"]["faithful"] = {"identity": config["metadata"]["faithful"]["identity"] | {"tokens": 5000}}
    path.write_text(json.dumps(config))
    assert settle(configured(corpora, out, **left_out), "cpu")[0] == stated
    with pytest.raises(FaithfulError, match=r"trained with tokens 5,000 and 6,000; choose with --tokens"):
        settle(configured(corpora, out, corpora=both, **left_out), "cpu")


def test_contexts_begin_with_the_bos_that_the_corpora_were_sampled_from(
    corpora: dict[str, Path], family_folder: Callable[[str], Path], family_model: Model, tmp_path: Path
) -> None:
    folder = str(family_folder("gpt2"))
    spec, model = resolve_model(folder, bos=7), family_model("gpt2")[1]
    sizes = {"train": 900, "test": 200}
    own = write_own(tmp_path / "seven", spec, model, Sampling(max_tokens=31), sizes)
    text = [np.arange(5, 36)] * 40
    prose = write_external(tmp_path / "prose", family_model("gpt2")[0], {"train": text, "test": text})
    derived = write_external(tmp_path / "derived", spec, {"train": text, "test": text}, kind="derived")
    parts = [{"kind": "derived", "provenance": {"inputs": [{"kind": "own", "provenance": {}}]}}]
    edit_provenance(derived, inputs=parts)
    for places in ((own,), (prose, own), (derived, prose)):
        for named in (None, folder):
            wish = configured(corpora, tmp_path / "saes", corpora=places, model=named, tokens=None)
            assert settle(wish, "cpu")[0].model.bos_id == 7
    assert settle(configured(corpora, tmp_path / "saes", corpora=(prose,), tokens=None), "cpu")[0].model.bos_id == 296
    assert bos_of([]) is None
    with pytest.raises(
        FaithfulError, match=r"begin with different tokens .*seven with token 7 and .*own with token 296"
    ):
        settle(configured(corpora, tmp_path / "saes", corpora=(own, corpora["own"])), "cpu")


def test_a_model_without_a_bos_is_trained_with_the_one_it_was_sampled_from(tmp_path: Path) -> None:
    spec = resolve_model(str(build_without_bos(tmp_path / "model")), bos=5)
    text = [np.arange(5, 36)] * 40
    corpus = write_external(tmp_path / "text", spec, {"train": text, "test": text})
    settings, _ = settle(configured({"own": corpus}, tmp_path / "saes", tokens=None), "cpu")
    assert settings.model.bos_id == 5


def test_a_local_model_that_has_changed_is_named_with_what_helps(
    corpora: dict[str, Path], family_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copy_family(family_folder("gpt2"), tmp_path / "model")
    text = [np.arange(5, 36)] * 40
    corpus = write_external(tmp_path / "text", resolve_model(str(folder)), {"train": text, "test": text})
    (folder / "notes.txt").write_text("one more file of those that are hashed")
    wish = configured(corpora, tmp_path / "saes", corpora=(corpus,), tokens=None)
    with pytest.raises(
        FaithfulError, match=r"have changed; put the old model back, or train .* --model .*model\."
    ) as said:
        settle(wish, "cpu")
    assert "--revision" not in str(said.value)
    assert settle(replace(wish, model=str(folder)), "cpu")[0].model.source == str(folder.resolve())


def test_text_that_gives_nothing_to_train_or_to_evaluate_on_is_refused_before_the_training(
    family_model: Model, tmp_path: Path
) -> None:
    spec, _ = family_model("gpt2")
    text, end = [np.arange(5, 36)] * 40, np.array(spec.eos_ids)
    for name, train_text, test_text, layout, said in (
        ("ends", text, [end] * 30, "aligned", "held-out text of .*ends gives aligned contexts of 32 tokens nothing"),
        ("words", text, [np.array([5])] * 30, "aligned", "held-out text of .*words gives"),
        ("short", text, text[:1], "packed", "held-out text of .*short gives packed contexts of 64 tokens nothing"),
        ("least", text[:1], text, "packed", "text of .*least fills no packed context of 64 tokens"),
    ):
        corpus = write_external(tmp_path / name, spec, {"train": train_text, "test": test_text})
        context = 64 if layout == "packed" else 32
        wish = configured({"own": corpus}, tmp_path / "saes", layout=layout, context=context, tokens=None)
        with pytest.raises(FaithfulError, match=said):
            settle(wish, "cpu")
        with pytest.raises(FaithfulError, match=said):
            settle(replace(wish, tokens=30), "cpu")


def edit_provenance(folder: Path, **values: Any) -> None:
    """Set keys of a corpus' provenance, which no hash guards."""
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, provenance=manifest.provenance | values))


def test_the_model_is_loaded_as_its_own_corpus_was_sampled_unless_it_is_said(
    corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spec_module, "require_quantising", lambda _: None)
    made = {"own": shutil.copytree(corpora["own"], tmp_path / "own")}
    assert settle(configured(made, tmp_path / "saes"), "cpu")[0].model.load is None
    manifest = read_manifest(made["own"])
    manifest.identity["model"]["load"] = manifest.provenance["model"]["load"] = "4bit"
    write_manifest(made["own"], manifest)
    model = settle(configured(made, tmp_path / "saes"), "cpu")[0].model
    assert model.load == "4bit" and loaded_otherwise(Corpus(made["own"]), model) is None
    for stated, load in (("full", None), ("8bit", "8bit")):
        model = settle(configured(made, tmp_path / "saes", load=stated), "cpu")[0].model
        assert model.load == load
        said = loaded_otherwise(Corpus(made["own"]), model) or ""
        assert said.startswith("own was sampled from") and "quantised to 4bit, and" in said
        assert f"{in_words(load)} reads it: to that, its text is another model's." in said
    mixed = {"own": shuffle(ShuffleConfig(made["own"], out=tmp_path / "shuffled")).folder}
    assert settle(configured(mixed, tmp_path / "saes"), "cpu")[0].model.load == "4bit", "what it is made of counts"
    plain = settle(configured(mixed, tmp_path / "saes", load="full"), "cpu")[0].model
    assert (loaded_otherwise(Corpus(mixed["own"]), plain) or "").startswith("shuffled holds text sampled from")


def test_a_model_is_spread_as_asked_for_and_before_anything_is_read(corpora: dict[str, Path], tmp_path: Path) -> None:
    config = configured(corpora, tmp_path / "saes", shard_model=True)
    assert settle(config, "cpu")[0].model.sharded
    with pytest.raises(FaithfulError, match="--shard-model spreads a model over several GPUs, and this work has none"):
        train(config)
    assert not (tmp_path / "saes").exists()

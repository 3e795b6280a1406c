"""`faithful corpus certify` on a folder: what is scored, what is stored, what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from faithful.models import spec as spec_module
from faithful.models.load import load_model
from faithful.models.spec import ModelSpec
from faithful.store.corpus import Corpus, read_manifest, write_manifest
from generation.cards.describe import statistics_of
from generation.certificate.certify import certify
from generation.certificate.conclude import NO_CERTIFICATE
from generation.configs.certify import CertifyConfig
from generation.writing.identity import spec_of
from tests.documented import undocumented
from tests.own import write_external

Model = Callable[[str], tuple[ModelSpec, Any]]


def test_figures_that_need_the_model_stand_beside_the_certificate(own: Path) -> None:
    result = certify(CertifyConfig(own, everything=True, device="cpu"))
    assert result["stored"] and result["reference"] == "own"
    assert result["tokens_scored"] == Corpus(own).tokens()
    low, high = result["excess_ce_ci95"]
    assert low < 0 < high
    assert result["unigram_js"] < 2 * result["unigram_js_floor_max"]
    assert read_manifest(own).certificate["excess_ce"] == result["excess_ce"]


def test_every_figure_has_its_line_in_the_documentation(own: Path) -> None:
    words = {
        "verdict", "reason", "interval_from", "tests", "split", "split_tokens", "part", "sampling", "as_declared", "seed",
        "dtype", "stored", "reference",
    }  # fmt: skip
    found = certify(CertifyConfig(own, tokens=2000, device="cpu"))
    assert undocumented("Certificate", found["tests"]) == []
    missing = undocumented("Certificate", found.keys() - words)
    assert undocumented("Corpus", missing) == []
    counted = {"curves", "computed_on", "stored"}
    assert undocumented("Corpus", statistics_of(own).keys() - counted) == []


def test_a_smaller_certificate_does_not_replace_a_larger_one(own: Path) -> None:
    assert certify(CertifyConfig(own, everything=True, device="cpu"))["stored"]
    small = certify(CertifyConfig(own, tokens=1000, device="cpu"))
    assert not small["stored"] and "larger part" in small["not_stored"]
    assert read_manifest(own).certificate["tokens_scored"] > small["tokens_scored"]


def test_another_declaration_is_not_stored(own: Path) -> None:
    result = certify(CertifyConfig(own, tokens=1000, as_temperature=0.8, device="cpu"))
    assert "stored" not in result and read_manifest(own).certificate is None


def test_a_corpus_that_changed_meanwhile_keeps_no_certificate(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from generation.certificate import certify as module

    real = module.score_evidence

    def grow(*args: Any, **kwargs: Any) -> Any:
        manifest = read_manifest(own)
        manifest.shards["train"] = [replace(shard, statistics={}) for shard in manifest.shards["train"]]
        module.write_manifest(own, manifest)
        return real(*args, **kwargs)

    monkeypatch.setattr(module, "score_evidence", grow)
    assert not certify(CertifyConfig(own, tokens=1000, device="cpu"))["stored"]
    assert read_manifest(own).certificate is None


@pytest.mark.parametrize("options", [{"as_top_k": 1}, {"as_temperature": 0.0}, {"as_top_p": 1e-7}])
def test_declarations_without_randomness_have_no_certificate(own: Path, options: dict[str, Any]) -> None:
    result = certify(CertifyConfig(own, **options))
    assert result["verdict"] == NO_CERTIFICATE and result["tests"] == {} and "stored" not in result


def test_the_declared_sampling_stated_again_is_stored(own: Path) -> None:
    result = certify(CertifyConfig(own, tokens=1000, as_temperature=1.0, device="cpu"))
    assert result["stored"] and result["as_declared"] and not result["sampling"]["greedy"]


@pytest.mark.parametrize(("option", "message"), [("device", "not a device"), ("dtype", "not a dtype")])
def test_unknown_devices_and_dtypes_are_refused(own: Path, option: str, message: str) -> None:
    with pytest.raises(FaithfulError, match=f"'foo' is {message}"):
        certify(CertifyConfig(own, **{option: "foo"}))


def test_an_empty_corpus_names_what_fills_it(own: Path) -> None:
    manifest = read_manifest(own)
    manifest.shards["train"] = []
    write_manifest(own, manifest)
    with pytest.raises(FaithfulError, match="run the command that makes it again"):
        certify(CertifyConfig(own, device="cpu"))


def test_damaged_shards_are_refused_before_the_model_is_loaded(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = own / Corpus(own).manifest.shards["train"][0].file
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    monkeypatch.setattr("generation.certificate.certify.load_model", lambda *_: pytest.fail("a model was loaded"))
    with pytest.raises(FaithfulError, match="missing or damaged"):
        certify(CertifyConfig(own, device="cpu"))


def test_external_text_gets_no_declared_verdict_but_is_stored(own: Path, family_model: Model) -> None:
    spec = family_model("gpt2")[0]
    documents = list(Corpus(own).documents())
    generator = np.random.default_rng(0)
    shuffled = write_external(own.parent / "shuffled", spec, {"train": [generator.permutation(d) for d in documents]})
    result = certify(CertifyConfig(shuffled, everything=True, device="cpu"))
    assert not result["as_declared"] and result["verdict"] == "not from this distribution"
    assert result["reference"] == "own" and result["excess_ce_ci95"][0] > 0
    assert read_manifest(shuffled).certificate["interval_from"].startswith("bootstrap over documents")


def test_what_is_made_of_texts_of_samples_is_not_condemned(own: Path, family_model: Model) -> None:
    spec = family_model("gpt2")[0]
    generator = np.random.default_rng(0)
    documents = [generator.permutation(document) for document in Corpus(own).documents()]
    folder = write_external(own.parent / "mixed", spec, {"train": documents})
    manifest = read_manifest(folder)
    manifest.kind = "derived"
    manifest.identity["derivation"] = {"operation": "mix", "inputs": [{"name": "texts", "identity_sha256": "0" * 64}]}
    made = {"source": {"samples": {"are_ids": False}}}
    manifest.provenance["inputs"] = [{"name": "texts", "kind": "foreign", "identity": made, "provenance": {}}]  # type: ignore[typeddict-item]
    write_manifest(folder, manifest)
    result = certify(CertifyConfig(folder, everything=True, device="cpu"))
    assert result["verdict"] == "text re-tokenised: not decidable" and "texts of texts" in result["reason"]


def test_another_way_to_load_the_model_scores_and_is_not_stored(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = certify(CertifyConfig(own, tokens=1000, device="cpu"))
    assert plain["stored"] and "load" not in plain
    for load in ("8bit", "nobits"):
        with pytest.raises(
            FaithfulError, match="bitsandbytes" if load == "8bit" else "'nobits' is no way to load a model"
        ):
            monkeypatch.setattr(spec_module.importlib.util, "find_spec", lambda _: None)
            certify(CertifyConfig(own, tokens=1000, device="cpu", load=load))
    monkeypatch.setattr(spec_module, "require_quantising", lambda _: None)
    other = certify(
        CertifyConfig(own, tokens=1000, device="cpu", load="8bit"), model=load_model(spec_of(read_manifest(own)), "cpu")
    )
    assert other["load"] == "8bit" and "stored" not in other
    assert "load" not in read_manifest(own).certificate
    with pytest.raises(FaithfulError, match="--shard-model"):
        certify(CertifyConfig(own, device="cpu", shard_model=True))

"""One corpus measured: once, anew where anything that decides it is another, and nothing else is touched."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faithful.models.spec import ModelSpec
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import read_manifest, write_manifest
from generation.certificate.conclude import NOT_FROM
from generation.certificate.retokenised import RETOKENISED, drawn_through_text
from generation.sampling.distribution import Sampling
from studies.common.results import Done
from studies.corpora import measure
from studies.corpora.study import study_corpora
from tests.own import write_external, write_own
from tests.studies.corpora.made import NAMES, cells, configured

Model = Callable[[str], tuple[ModelSpec, Any]]


LONGEST = 31


def test_nothing_is_computed_twice(done: Done, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(measure, "load_model", never)
    again = study_corpora(configured(run))
    assert again.taken == tuple(NAMES) and again.summary == done.summary


def test_another_seed_or_size_is_computed_anew(done: Done, run: Path, tmp_path: Path) -> None:
    one = (run / "corpora" / "own",)
    first = study_corpora(configured(run, folders=one, out=tmp_path, tokens=3000))
    other = study_corpora(configured(run, folders=one, out=tmp_path, tokens=2000))
    seeded = study_corpora(configured(run, folders=one, out=tmp_path, tokens=2000, seed=1))
    assert not other.taken
    assert not seeded.taken
    intervals = [study_.summary["cells"]["own"]["figures"]["excess_ce_ci95"] for study_ in (other, seeded)]
    assert intervals[0] != intervals[1]
    scored = [study_.summary["cells"]["own"]["as_model"]["tokens_scored"] for study_ in (first, other)]
    assert scored[0] > scored[1]


def test_declared_verdicts_are_the_study_s_own_and_leave_the_corpora_alone(
    run: Path, tmp_path: Path, family_model: Model
) -> None:
    spec, model = family_model("gpt2")
    cool = Sampling(max_tokens=LONGEST, temperature=0.7)
    for name, made_for in (("cool", spec), ("elsewhere", replace(spec, revision="another"))):
        write_own(tmp_path / name, made_for, model, cool, {"train": 2500, "test": 0})
    folders = (run / "corpora" / "own", tmp_path / "cool", tmp_path / "elsewhere")
    before = {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.name != ".lock"
              if path.is_file()}  # fmt: skip
    done = study_corpora(configured(run, folders=folders, out=tmp_path / "out", tokens=1500, dtype="bfloat16"))
    assert done.summary["model"]["dtype"] == "bfloat16"
    found = cells(done)
    assert found["cool"]["as_declared"]["tokens_scored"] == found["cool"]["as_model"]["tokens_scored"]
    assert found["elsewhere"]["as_declared"] is None
    assert {path: path.read_bytes() for path in before} == before


def test_samples_of_others_are_judged_as_certify_judges_them(run: Path, tmp_path: Path, family_model: Model) -> None:
    """Their ids as drawn, and the same model's text tokenised again, which as ids would be condemned."""
    spec, model = family_model("gpt2")
    sampling = Sampling(max_tokens=LONGEST)
    write_own(tmp_path / "ids", spec, model, sampling, {"train": 4000, "test": 0}, seed=5)
    tokenizer = load_tokenizer(spec.source, None)
    texts, changed = drawn_through_text(model, spec, tokenizer, sampling, 200, 3, ends_known=1)
    assert changed > 0.5
    write_external(tmp_path / "texts", spec, {"train": texts})
    for name in ("ids", "texts"):
        manifest = read_manifest(tmp_path / name)
        manifest.kind = "foreign"
        manifest.identity |= {"sampling": sampling.to_dict(), "drawn_in": None}
        manifest.identity["source"] = {"name": name, "samples": {"are_ids": name == "ids"}}
        manifest.provenance["samples"] = {"samples": manifest.rows()}
        write_manifest(tmp_path / name, manifest)
    folders = (run / "corpora" / "own", tmp_path / "ids", tmp_path / "texts")
    found = cells(study_corpora(configured(run, folders=folders, out=tmp_path / "out", tokens=3000)))
    assert found["ids"]["as_model"]["verdict"] != NOT_FROM and found["ids"]["as_declared"] is None
    assert found["ids"]["as_model"]["interval_from"] == "declared variance"
    assert found["texts"]["as_model"]["verdict"].startswith(f"{RETOKENISED}: not decidable")
    assert found["texts"]["as_model"]["interval_from"].startswith("bootstrap")

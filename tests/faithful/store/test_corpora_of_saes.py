"""The corpora that SAEs are trained on."""

import multiprocessing
from pathlib import Path
from typing import Any

from faithful.store.corpora_of_saes import noted_corpora, remember_corpora, sampled_loads, trained_corpora
from faithful.store.corpus import MANIFEST, Manifest


def test_two_trainings_into_one_folder_note_both_corpora(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    names = [f"corpus-{number}" for number in range(12)]
    workers = [context.Process(target=remember_corpora, args=(tmp_path / "saes", [tmp_path / name])) for name in names]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert noted_corpora(tmp_path / "saes") == {name: f"../{name}" for name in names}


def test_corpora_are_found_from_any_folder_below_and_beside_a_run(tmp_path: Path) -> None:
    for name in ("own", "prose"):
        (tmp_path / "corpora" / name).mkdir(parents=True)
        (tmp_path / "corpora" / name / MANIFEST).write_text("{}")
    deep = tmp_path / "saes" / "own" / "resid_pre.1-f8-k2" / "seed-0"
    deep.mkdir(parents=True)
    here = {name: (tmp_path / "corpora" / name).resolve() for name in ("own", "prose")}
    assert trained_corpora(tmp_path / "saes") == here
    remember_corpora(tmp_path / "saes", [tmp_path / "corpora" / "own"])
    for folder in (deep, *deep.parents[:3]):
        assert trained_corpora(folder) == {"own": here["own"]}
    assert noted_corpora(tmp_path / "saes") == {"own": "../corpora/own"}, "the run can be moved"
    assert trained_corpora(tmp_path / "elsewhere") == {} == noted_corpora(tmp_path / "elsewhere")


def test_a_derived_corpus_is_of_the_model_as_it_was_loaded_for_its_parts() -> None:
    def part(name: str, kind: str, revision: str = "r", **load: Any) -> dict[str, Any]:
        return {
            "name": name, "kind": kind, "identity": {}, "provenance": {}, "model": {"revision": revision} | load,
        }  # fmt: skip

    def loads(*parts: Any, used: tuple[str, ...]) -> set[str | None]:
        identity = {"model": {"revision": "r"}, "derivation": {"inputs": [{"name": name} for name in used]}}
        manifest = Manifest("mix", "derived", identity, {"model": {}, "inputs": parts}, {"train": 0, "test": 0})
        return sampled_loads(manifest, "r")

    own, small, web = part("own", "own"), part("own-4bit", "own", load="4bit"), part("web", "external")
    assert loads(web, used=("web",)) == set()
    assert loads(web, own, small, used=("web", "own-4bit")) == {"4bit"}, "the lengths of own are looked at alone"
    assert loads(own, small, used=("own", "own-4bit")) == {None, "4bit"}
    assert loads(part("other", "own", "elsewhere", load="8bit"), used=("other",)) == set()
    inner = part("shuffled", "derived") | {
        "identity": {"derivation": {"inputs": [{"name": "own-4bit"}]}}, "provenance": {"inputs": [small]},
    }  # fmt: skip
    assert loads(inner, used=("shuffled",)) == {"4bit"}

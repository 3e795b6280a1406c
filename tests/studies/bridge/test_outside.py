"""A job for the other environment: what it is told, what is kept, and what goes wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.progress import silent
from faithful.store.saes import TrainedSae, find_saes
from studies.bridge.outside import Evaluation, evaluate_outside, many_files, one_file
from tests.studies.bridge.recording import recorded, write_small
from tests.studies.bridge.stub import jobs_of, write_stub

CORE = Evaluation("core", {"context_size": 64}, "key", one_file)


@pytest.fixture
def saes(tmp_path: Path) -> dict[str, TrainedSae]:
    write_small(tmp_path / "sae")
    return {"small": find_saes([tmp_path / "sae"])[0]}


def test_what_was_written_is_kept_and_not_made_again(tmp_path: Path, saes: dict[str, TrainedSae]) -> None:
    stub, out = write_stub(tmp_path / "bin"), tmp_path / "out"
    job = {"model": "tiny"}
    found = evaluate_outside(stub, out, job, [CORE], saes, silent)
    assert found == {"core": {"small": recorded("core")}}
    (kept,) = (out / "json" / "core").glob("small.*.json")
    assert kept.read_text() == (Path(__file__).parent / "recorded" / "core.json").read_text()
    assert not (out / ".work").exists()
    assert evaluate_outside(stub, out, job, [CORE], saes, silent) == found
    assert len(jobs_of(stub)) == 1
    evaluate_outside(stub, out, job, [Evaluation("core", {}, "other", one_file)], saes, silent)
    assert len(jobs_of(stub)) == 2


def test_the_job_names_the_sae_and_the_settings(tmp_path: Path, saes: dict[str, TrainedSae]) -> None:
    stub = write_stub(tmp_path / "bin", before=f"shutil.copy(sys.argv[2], {str(tmp_path / 'job.json')!r})")
    evaluate_outside(stub, tmp_path / "out", {"model": "tiny"}, [CORE], saes, silent)
    job = json.loads((tmp_path / "job.json").read_text())
    assert job["model"] == "tiny" and job["evals"] == {"core": {"context_size": 64}}
    assert [one["folder"] for one in job["saes"]] == [str((tmp_path / "sae").resolve())]


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("raise SystemExit('a sentence')", r"ended with an error \(a sentence\)"),
        ("print('too few'); sys.exit()", r"says nothing of small \(too few\)"),
    ],
)
def test_an_evaluation_that_fails_says_why(before: str, told: str, tmp_path: Path, saes: dict[str, TrainedSae]) -> None:
    with pytest.raises(FaithfulError, match=told):
        evaluate_outside(write_stub(tmp_path / "bin", before), tmp_path / "out", {}, [CORE], saes, silent)


def test_what_a_killed_command_left_whole_is_taken(tmp_path: Path, saes: dict[str, TrainedSae]) -> None:
    stub, out = write_stub(tmp_path / "bin", "raise SystemExit('killed')"), tmp_path / "out"
    for content in ('{"half', json.dumps(recorded("core"))):
        with pytest.raises(FaithfulError, match="killed"):
            evaluate_outside(stub, out, {}, [CORE], saes, silent)
        job: dict[str, Any] = json.loads((out / ".work" / "core.json").read_text())
        place = out / ".work" / "core" / f"{job['saes'][0]['name']}_custom_sae_eval_results.json"
        place.parent.mkdir(exist_ok=True)
        place.write_text(content)
    assert evaluate_outside(stub, out, {}, [CORE], saes, silent)["core"]["small"] == recorded("core")
    assert len(jobs_of(stub)) == 2


def test_the_files_of_sae_probes_become_one(tmp_path: Path) -> None:
    assert many_files(tmp_path, "small") is None
    for name in ("a", "b"):
        (tmp_path / "small" / "deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / "small" / "deep" / f"{name}.json").write_text(f'[{{"k": 1, "dataset": "{name}"}}]')
    assert json.loads(many_files(tmp_path, "small") or "") == {
        "a": [{"k": 1, "dataset": "a"}],
        "b": [{"k": 1, "dataset": "b"}],
    }

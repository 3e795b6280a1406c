"""A job for the other environment: what it is told, what is kept, and what goes wrong."""

import json
from pathlib import Path

import pytest

from faithful.base.progress import silent
from faithful.store.saes import TrainedSae, find_saes
from studies.bridge.inside import ENDING
from studies.bridge.outside import Evaluation, evaluate_outside, kept_figures
from tests.studies.bridge.recording import recorded, write_small
from tests.studies.bridge.stub import jobs_of, write_stub

CORE = Evaluation("core", {"context_size": 64}, "key")


@pytest.fixture
def saes(tmp_path: Path) -> dict[str, TrainedSae]:
    write_small(tmp_path / "sae")
    return {"small": find_saes([tmp_path / "sae"])[0]}


def test_what_was_written_is_kept_and_not_made_again(tmp_path: Path, saes: dict[str, TrainedSae]) -> None:
    stub, out = write_stub(tmp_path / "bin"), tmp_path / "out"
    for _ in range(2):
        assert evaluate_outside(stub, out, {"model": "tiny"}, [CORE], saes, silent) is None
        assert kept_figures(out, "core", "key", saes) == {"small": recorded("core")}
        assert len(jobs_of(stub)) == 1
    (kept,) = (out / "json" / "core").glob("small.*.json")
    assert kept.read_text() == (Path(__file__).parent / "recorded" / "core.json").read_text()
    assert not (out / ".work").exists() and kept_figures(out, "core", "other", saes) == {}
    evaluate_outside(stub, out, {}, [Evaluation("core", {}, "other")], saes, silent)
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
        ("raise SystemExit('a sentence')", r"ended with an error (a sentence)"),
        ("print('too few'); sys.exit()", r"says nothing of small (too few)"),
    ],
)
def test_an_evaluation_that_fails_says_why(before: str, told: str, tmp_path: Path, saes: dict[str, TrainedSae]) -> None:
    failed = evaluate_outside(write_stub(tmp_path / "bin", before), tmp_path / "out", {}, [CORE], saes, silent)
    assert failed is not None and told in failed


def test_one_that_fails_does_not_keep_the_next_from_being_made(tmp_path: Path, saes: dict[str, TrainedSae]) -> None:
    stub, out = write_stub(tmp_path / "bin", "'absorption' in job['evals'] and sys.exit('too few')"), tmp_path / "out"
    failed = evaluate_outside(stub, out, {}, [Evaluation("absorption", {}, "key"), CORE], saes, silent)
    assert failed is not None and "too few" in failed
    assert list(kept_figures(out, "core", "key", saes)) == ["small"]


def test_what_a_killed_command_left_whole_is_taken(tmp_path: Path, saes: dict[str, TrainedSae]) -> None:
    stub, out = write_stub(tmp_path / "bin", "raise SystemExit('killed')"), tmp_path / "out"
    for content in ('{"half', json.dumps(recorded("core"))):
        assert "killed" in str(evaluate_outside(stub, out, {}, [CORE], saes, silent))
        (path,) = (out / ".work").glob("*/job.json")
        place = path.parent / "core" / f"{json.loads(path.read_text())['saes'][0]['name']}{ENDING}"
        place.parent.mkdir(exist_ok=True)
        place.write_text(content)
    assert evaluate_outside(stub, out, {}, [CORE], saes, silent) is None
    assert kept_figures(out, "core", "key", saes)["small"] == recorded("core")
    assert len(jobs_of(stub)) == 2


def test_each_key_works_in_a_folder_of_its_own(tmp_path: Path, saes: dict[str, TrainedSae]) -> None:
    look = "Path('artifacts').exists() and sys.exit('stale'); Path('artifacts').mkdir(); sys.exit('killed')"
    stub, out = write_stub(tmp_path / "bin", look), tmp_path / "out"
    for key in ("one", "two"):
        failed = evaluate_outside(stub, out, {}, [Evaluation("core", {}, key)], saes, silent)
        assert failed is not None and "(killed)" in failed

"""`faithful evaluate`: what is refused before work, what the environment is handed, and what stands in results.parquet."""

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from faithful.base.errors import FaithfulError
from studies.bridge import evaluate
from studies.bridge.config import PYTHON, SaeBenchConfig, SaeProbesConfig
from studies.bridge.evaluate import evaluate_sae_probes, evaluate_saebench
from studies.common.config import PanelConfig, StudyConfig
from studies.common.inputs import resolve_input
from studies.common.panel import load_panel
from studies.probes.config import ProbesConfig
from studies.probes.study import study_probes
from studies.reconstruction.config import ReconstructionConfig
from studies.reconstruction.study import study_reconstruction
from tests.documented import undocumented
from tests.studies.bridge.recording import CONTEXT, KS, TASKS, write_small
from tests.studies.bridge.stub import jobs_of, write_stub

REAL = Path(os.environ.get("FAITHFUL_SAEBENCH", PYTHON))
with_saebench = pytest.mark.skipif(
    not REAL.is_file(), reason=f"no environment of SAEBench at {REAL}: `make` does not install it"
)


@pytest.fixture
def config(tmp_path: Path, run: Path) -> SaeBenchConfig:
    """Both evaluations of one SAE by a stub that keeps what it was handed."""
    keep = f"shutil.copytree(Path(job['out']).parent, {str(tmp_path / 'handed')!r}, dirs_exist_ok=True)"
    look = f"Path({str(tmp_path / 'model.txt')!r}).write_text(' '.join(p.name for p in Path(job['folder']).iterdir()))"
    stub = write_stub(tmp_path / "bin", f"{keep}; {look}")
    with (tmp_path / "texts.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        rows.writerows([[f"text number {at} of some", "ab"[at % 3 == 0]] for at in range(90)])
    return SaeBenchConfig(
        (next((run / "saes" / "own").glob("*/seed-0")),), tmp_path / "out", python=stub, device="cpu",
        corpora=(run / "corpora" / "own",), tokens=400, tasks=(str(tmp_path / "texts.csv"),),
    )  # fmt: skip


def test_saes_of_the_quantised_model_are_refused_before_a_text_is_read(
    config: SaeBenchConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = resolve_input(StudyConfig(config.saes, config.out, config.corpora, device="cpu"))
    monkeypatch.setattr(evaluate, "resolve_input", lambda _: replace(found, spec=replace(found.spec, load="4bit")))
    with pytest.raises(FaithfulError, match="as it is, and these SAEs are of it in 4bit; leave them out"):
        evaluate_saebench(replace(config, tasks=("there-is-no-such-task.csv",)))


def test_what_is_handed_over_and_what_comes_back(config: SaeBenchConfig, tmp_path: Path, run: Path) -> None:
    done = evaluate_saebench(config)
    found = resolve_input(PanelConfig(config.saes, config.out, config.corpora, layout="packed", device="cpu"))
    panel = load_panel(found, 400)
    handed = pl.read_parquet(tmp_path / "handed" / "rows" / "rows.parquet")["tokens"].to_list()
    assert np.array_equal(handed, np.stack(panel.rows)) and len(handed[0]) == found.context
    (path,) = (tmp_path / "handed").glob("core-*/job.json")
    job = json.loads(path.read_text())
    batches, size = (
        job["evals"]["core"][name] for name in ("n_eval_reconstruction_batches", "eval_batch_size_prompts")
    )
    assert batches * size == len(handed) and job["offline"]
    texts = json.loads((tmp_path / "handed" / "tasks.json").read_text())["texts"]
    counts = {side: {label: len(of) for label, of in by_label.items()} for side, by_label in texts.items()}
    assert counts["train"]["a"] == counts["train"]["b"] > 4 and counts["test"]["a"] == counts["test"]["b"] > 4
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set((tmp_path / "model.txt").read_text().split())
    assert not list(Path(job["folder"]).parent.glob(Path(job["folder"]).name))

    table = pl.read_parquet(done.folder / "results.parquet")
    assert set(table["study"]) == {"saebench"} and set(table["corpus"]) == {"own"} and set(table["seed"]) == {0}
    assert {"core:l0", "sparse_probing:sae_top:speech"} <= set(table["metric"])
    assert undocumented("Evaluations outside", set(table["metric"])) == []
    assert len(jobs_of(config.python)) == 2
    evaluate_saebench(config)
    assert len(jobs_of(config.python)) == 2
    evaluate_saebench(replace(config, tokens=300))
    assert len(jobs_of(config.python)) == 3


def test_sae_probes_in_rows(config: SaeBenchConfig) -> None:
    outside = SaeProbesConfig(
        config.saes, config.out, python=config.python, device="cpu", datasets=("one", "two"), ks=(2,)
    )
    done = evaluate_sae_probes(outside)
    values = {(row.metric, row.parameter): row.value for row in done.rows}
    assert values["sae_probes:test_acc:two", 2.0] == 0.52 and values["sae_probes:test_auc:one", 2.0] is None
    assert undocumented("Evaluations outside", {row.metric for row in done.rows}) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"evals": ("core", "ravel")}, "ravel is not run here: it needs Gemma-2"),
        ({"evals": ("cores",)}, "'cores' is no evaluation"),
        ({"python": Path("nowhere/bin/python")}, "There is no nowhere/bin/python"),
        ({"tasks": ("no such task",)}, "is no task"),
    ],
)
def test_refused_before_work(changes: dict[str, Any], told: str, config: SaeBenchConfig) -> None:
    with pytest.raises(FaithfulError, match=told):
        evaluate_saebench(replace(config, **changes))
    assert jobs_of(config.python) == []


def test_another_penalty_is_refused(config: SaeBenchConfig) -> None:
    with pytest.raises(FaithfulError, match="'l3' is no penalty"):
        evaluate_sae_probes(SaeProbesConfig(config.saes, config.out, python=config.python, penalty="l3"))


def test_two_tasks_of_one_name_are_refused(config: SaeBenchConfig) -> None:
    with pytest.raises(FaithfulError, match="Two tasks are called texts"):
        evaluate_saebench(replace(config, tasks=config.tasks * 2, out=config.out / "other"))
    assert jobs_of(config.python) == [] and not (config.out / "other").exists()


def test_what_only_named_tasks_take_is_refused_for_saebench_s_own_sets(
    config: SaeBenchConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "embedded_names", tuple)
    bare = replace(config, tasks=())
    for changed in (replace(bare, seed=1), replace(bare, train_size=20), replace(bare, test_size=20)):
        with pytest.raises(FaithfulError, match="its own sets with its own sizes and seed"):
            evaluate_saebench(changed)
    assert jobs_of(config.python) == []


def test_the_table_holds_what_came_out_in_earlier_calls_and_beside_a_failure(
    config: SaeBenchConfig, tmp_path: Path
) -> None:
    evaluate_saebench(replace(config, evals=("core",), seed=7))
    stub = write_stub(tmp_path / "bin", "'absorption' in job['evals'] and sys.exit('too few letters')")
    assert json.loads((config.out / "summary.json").read_text())["seed"] == 7
    for evals, there in (
        (("sparse_probing",), {"core", "sparse_probing"}), (("absorption",), {"core", "sparse_probing"}),
    ):  # fmt: skip
        done = evaluate_saebench(replace(config, evals=evals, python=stub))
        table = pl.read_parquet(config.out / "results.parquet")
        assert {name.partition(":")[0] for name in table["metric"]} == there
    assert done.failed is not None and "too few letters" in done.failed
    with pytest.raises(FaithfulError, match="too few letters"):
        evaluate_saebench(replace(config, evals=("absorption",), out=tmp_path / "none", python=stub))


def test_sae_probes_reads_what_the_model_has_room_for(config: SaeBenchConfig, tmp_path: Path, run: Path) -> None:
    done = evaluate_sae_probes(SaeProbesConfig(config.saes, config.out, python=config.python, device="cpu"))
    (path,) = (tmp_path / "handed").glob("sae_probes-*/job.json")
    found = resolve_input(StudyConfig(config.saes, config.out, device="cpu"))
    room = json.loads(path.read_text())["evals"]["sae_probes"]["max_seq_len"]
    assert room == min(1024, found.spec.positions) > found.context
    assert done.summary["seed"] == 42 and done.summary["model"]["dtype"] == "float32"


@pytest.mark.slow
@with_saebench
def test_core_is_what_study_reconstruction_says_of_the_same_rows(
    config: SaeBenchConfig, run: Path, tmp_path: Path
) -> None:
    saes = tuple(next((run / "saes" / "own").glob(f"*/seed-{seed}")) for seed in (0, 1))
    shutil.rmtree(config.out, ignore_errors=True)
    done = evaluate_saebench(replace(config, saes=saes, python=REAL, evals=("core",)))
    ours = ReconstructionConfig(
        saes, tmp_path / "ours", config.corpora, tokens=400, layout="packed", device="cpu", ks=(1,)
    )
    study_reconstruction(ours)
    table = pl.read_parquet(ours.out / "results.parquet").filter(pl.col("other") == "panel")
    same = {"ce_clean": "core:ce_loss_without_sae", "ce_sae": "core:ce_loss_with_sae", "l0": "core:l0"}
    for seed in (0, 1):
        for mine, theirs in same.items():
            (value,) = table.filter((pl.col("seed") == seed) & (pl.col("metric") == mine))["value"]
            (other,) = (row.value for row in done.rows if (row.seed, row.metric) == (seed, theirs))
            assert value == pytest.approx(other, abs=1e-6)


@pytest.mark.slow
@with_saebench
def test_sparse_probing_is_what_study_probes_says_of_the_same_tasks(tmp_path: Path) -> None:
    write_small(tmp_path / "sae")
    told: dict[str, Any] = {
        "saes": (tmp_path / "sae",), "device": "cpu", "context": CONTEXT, "tasks": TASKS, "ks": KS, "train_size": 256,
        "test_size": 400,
    }  # fmt: skip
    evaluated = SaeBenchConfig(out=tmp_path / "theirs", python=REAL, evals=("sparse_probing",), **told)
    theirs = {(row.metric, row.parameter): row.value for row in evaluate_saebench(evaluated).rows}
    study_probes(ProbesConfig(out=tmp_path / "ours", methods=("ours", "saebench"), curve_points=1, **told))
    ours = pl.read_parquet(tmp_path / "ours" / "results.parquet")
    for task in TASKS:
        found = ours.filter(pl.col("metric") == f"saebench_accuracy:{task}:f")
        assert sorted(found["parameter"]) == list(KS)
        for k, value in found.select("parameter", "value").rows():
            # From one CPU to another SAEBench's own figures move by one text of 512: two of them, here.
            assert value == pytest.approx(theirs[f"sparse_probing:sae_top:{task}", k], abs=4e-3), (task, k)


@pytest.mark.slow
@with_saebench
def test_sae_probes_itself_runs_on_an_sae(config: SaeBenchConfig, run: Path, tmp_path: Path) -> None:
    sae = next((run / "saes" / "own").glob("*/seed-0"))
    told = SaeProbesConfig((sae,), tmp_path / "probes", python=REAL, device="cpu", datasets=("105_click_bait",))
    found = {(row.metric, row.parameter): row.value for row in evaluate_sae_probes(told).rows}
    assert 0.5 < found["sae_probes:test_acc", 1] <= 1

"""What the runners inside the environment tell SAEBench and sae-probes, whose modules are stood for here."""

import json
import random
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from studies.bridge import inside


@pytest.fixture
def job(tmp_path: Path) -> inside.Job:
    return {"model": "m", "dtype": "float32", "device": "cpu", "out": str(tmp_path)}


def stand_in(patch: pytest.MonkeyPatch, name: str, **attributes: Any) -> ModuleType:
    """A module of that name, in packages of which those that are not there stand in too."""
    if name not in sys.modules:
        patch.setitem(sys.modules, name, ModuleType(name))
    module = sys.modules[name]
    for attribute, value in attributes.items():
        patch.setattr(module, attribute, value, raising=False)
    above, _, last = name.rpartition(".")
    if above:
        patch.setattr(stand_in(patch, above), last, module, raising=False)
    return module


def test_absorption_reads_the_layer_it_is_told_in_folders_of_its_own_and_draws_the_same_for_every_sae(
    monkeypatch: pytest.MonkeyPatch, job: inside.Job
) -> None:
    probed: list[dict[str, Any]] = []
    draws: list[float] = []

    def sparse(**told: Any) -> dict[str, np.ndarray]:
        probed.append(told)
        draws.append(random.random())
        return {"f1_probe": np.array(f1)}

    def absorb(**told: Any) -> None:
        probed.append(told)

    def run_eval(config: Any, saes: list[Any], device: str, out: str, force_rerun: bool) -> None:
        told = {"model": 0, "device": device, "prompt_template": "", "prompt_token_pos": -2}
        for _, sae in saes:
            main.run_k_sparse_probing_experiment(layer=sae.cfg.hook_layer, **told)
            main.run_feature_absortion_experiment(layer=sae.cfg.hook_layer, **told)

    main: Any = stand_in(
        monkeypatch, "sae_bench.evals.absorption.main", run_eval=run_eval, run_k_sparse_probing_experiment=sparse,
        run_feature_absortion_experiment=absorb,
    )  # fmt: skip
    trained: list[dict[str, Any]] = []
    stand_in(monkeypatch, "sae_bench.evals.absorption.common", load_or_train_probe=lambda **told: trained.append(told))
    least = SimpleNamespace(min_GT_probe_f1=0.6, min_feats_for_eval=2)
    stand_in(monkeypatch, "sae_bench.evals.absorption.eval_config", AbsorptionEvalConfig=lambda **_: least)
    f1 = [0.9, 0.5, 0.7]
    saes = [(name, SimpleNamespace(cfg=SimpleNamespace())) for name in "ab"]
    inside.RUNNERS["absorption"](job, saes, {"llm_batch_size": 2, "layer": 3}, "out")
    assert {told["layer"] for told in probed + trained} == {3} and len(probed) == 4
    assert draws[0] == draws[1]
    for told in probed + trained:
        places = [Path(value) for name, value in told.items() if name.endswith("_dir")]
        assert places and all(place.is_relative_to(job["out"]) for place in places)
    assert probed[0]["experiment_dir"] == probed[1]["sparse_probing_experiment_dir"] != probed[1]["experiment_dir"]
    f1[0], main.run_k_sparse_probing_experiment = 0.6, sparse
    with pytest.raises(
        SystemExit, match=r"1 letters have a probe with an F1 above 0\.6, and it wants 2: the model is too"
    ):
        inside.RUNNERS["absorption"](job, saes, {"llm_batch_size": 2, "layer": 3}, "out")


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What sae-probes is told; it writes the sets but those named as `failing`, and keeps files that are there."""
    told: dict[str, Any] = {"failing": ()}

    def run(*_: Any, results_path: Path, datasets: list[str], **more: Any) -> None:
        told.update(more)
        reading.generate_single_dataset_activations(max_seq_len=1024)
        for name in datasets:
            path = results_path / "deep" / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() and name not in told["failing"]:
                path.write_text(json.dumps([{"dataset": name, "k": 1}]))

    stand_in(monkeypatch, "sae_probes", run_sae_evals=run, DATASETS=["one", "two"])
    reading: Any = stand_in(
        monkeypatch, "sae_probes.generate_model_activations",
        generate_single_dataset_activations=lambda **more: told.update(more),
    )  # fmt: skip
    return told


def run_probes(job: inside.Job) -> Path:
    """One SAE's sets; where they are to be in the end."""
    out = Path(job["out"]) / "sae_probes"
    sae = SimpleNamespace(cfg=SimpleNamespace(metadata=SimpleNamespace(hook_name="blocks.1.hook_resid_pre")))
    inside.RUNNERS["sae_probes"](job, [("small", sae)], {"ks": [1], "datasets": [], "max_seq_len": 512}, str(out))
    return out / f"small{inside.ENDING}"


def test_sae_probes_is_done_when_every_set_is_there(job: inside.Job, probes: dict[str, Any]) -> None:
    half = Path(job["out"]) / "sae_probes" / "small" / "deep" / "one.json"
    half.parent.mkdir(parents=True)
    half.write_text("[{")
    probes["failing"] = ("two",)
    with pytest.raises(SystemExit, match="wrote nothing of two"):
        run_probes(job)
    assert not list(half.parents[1].parent.glob(f"*{inside.ENDING}"))
    probes["failing"] = ()
    whole = json.loads(run_probes(job).read_text())
    assert whole == {name: [{"dataset": name, "k": 1}] for name in ("one", "two")}
    assert probes["max_seq_len"] == 512 and probes["ks"] == [1]


def test_what_a_killed_job_had_read_is_not_taken(monkeypatch: pytest.MonkeyPatch, job: inside.Job) -> None:
    stale, path = Path(job["out"]) / "artifacts" / "activations.pt", Path(job["out"]) / "job.json"
    stale.parent.mkdir()
    stale.touch()
    path.write_text(json.dumps(job | {"offline": False, "saes": [], "evals": {"core": {}}}))
    monkeypatch.setattr(inside, "_find_model", lambda _: None)
    monkeypatch.setitem(inside.RUNNERS, "core", lambda *_: None)
    inside.main(str(path))
    assert not stale.exists()

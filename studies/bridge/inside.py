"""What runs inside the environment of SAEBench: its own evaluations, on SAEs, a model and data of this machine.

`python inside.py JOB.json`, alone: it imports nothing of `faithful`, which is not installed there. The job (written by
`studies.bridge.outside`) names the model's folder, the folders of the SAEs, and an evaluation with its settings; what an
evaluation writes of an SAE is left as it is. Of theirs is replaced what touches no figure: models are found in a folder under
the name that the SAEs have, labelled texts of `sparse_probing` come from a file, a data set that is a folder is looked for
there alone, sae-probes reads no more tokens than the model has room for, and absorption keeps its probes in the job's folder
in place of the installed package, where another model's of the same name would be taken for them. Absorption, which SAEBench
gives no seed, draws from `SEED` anew for each SAE; the other evaluations have seeds of their own.
"""

import json
import os
import random
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

SEED = 42
ENDING = "_custom_sae_eval_results.json"


class Told(TypedDict):
    """Model, device and data of a job.

    Attributes:
        model: the name that the SAEs have for it.
        folder: where it is, empty where it is found by its name.
        device, dtype: it is computed on and in.
        context: tokens.
        offline: whether everything is on this machine.
        tasks: a file of labelled texts, empty where `sparse_probing` takes its own sets.
    """

    model: str
    folder: str
    device: str
    dtype: str
    context: int
    offline: bool
    tasks: str


class Job(Told):
    """A job: the folder for what is written, SAEs with their names and folders, and evaluations with their settings."""

    out: str
    saes: list[dict[str, str]]
    evals: dict[str, dict[str, Any]]


def main(path: str) -> None:
    """Run every evaluation of a job in turn."""
    job: Job = json.loads(Path(path).read_text(encoding="utf-8"))
    os.environ["JAXTYPING_DISABLE"] = "1"  # its checks of shapes take the sizes of one call for those of another
    os.environ |= {"TRANSFORMERS_OFFLINE": "1", "HF_HUB_OFFLINE": "1"} if job["offline"] else {}
    _find_model(job)
    shutil.rmtree(_artifacts(job), ignore_errors=True)  # of a killed job: its last file may be half of one
    for name, settings in job["evals"].items():
        saes = [(one["name"], _load(one, job)) for one in job["saes"]]
        RUNNERS[name](job, saes, settings, str(Path(job["out"]) / name))


def _find_model(job: Job) -> None:
    """Let TransformerLens find the model's folder under its name."""
    import transformer_lens.loading_from_pretrained as loading

    known = loading.get_official_model_name
    if job["folder"]:
        found = {job["model"]: job["folder"]}
        loading.get_official_model_name = lambda model_name: found.get(model_name) or known(model_name)


def _artifacts(job: Job) -> Path:
    """Where SAEBench puts activations, which it looks for in the current folder."""
    return Path(job["out"]) / "artifacts"


def _load(one: dict[str, str], job: Job) -> Any:
    from sae_lens import SAE

    sae = SAE.load_from_disk(one["folder"], device=job["device"])
    sae.cfg.metadata.model_name = job["model"]
    sae.cfg.metadata.model_from_pretrained_kwargs = {}
    return sae


def _core(job: Job, saes: list[Any], settings: dict[str, Any], out: str) -> None:
    import sae_lens.training.activations_store as store
    from sae_bench.evals.core.main import multiple_evals

    store.validate_pretokenized_dataset_tokenizer = lambda **_: None  # it asks the Hub about a folder
    multiple_evals(saes, output_folder=out, dtype=job["dtype"], device=job["device"], force_rerun=True, **settings)


def _sparse_probing(job: Job, saes: list[Any], settings: dict[str, Any], out: str) -> None:
    import sae_bench.sae_bench_utils.dataset_info as info
    import sae_bench.sae_bench_utils.dataset_utils as utils
    from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
    from sae_bench.evals.sparse_probing.main import run_eval

    if job["tasks"]:
        tasks = json.loads(Path(job["tasks"]).read_text(encoding="utf-8"))
        info.chosen_classes_per_dataset |= {name: list(task["train"]) for name, task in tasks.items()}
        utils.get_multi_label_train_test_data = lambda name, *_: (tasks[name]["train"], tasks[name]["test"])
    config = SparseProbingEvalConfig(model_name=job["model"], llm_dtype=job["dtype"], **settings)
    run_eval(config, saes, job["device"], out, force_rerun=True, clean_up_activations=True)


def _absorption(job: Job, saes: list[Any], settings: dict[str, Any], out: str) -> None:
    import sae_bench.evals.absorption.main as theirs
    from sae_bench.evals.absorption.common import load_or_train_probe
    from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig

    settings = dict(settings)
    layer = settings.pop("layer")
    for _, sae in saes:
        sae.cfg.hook_layer = layer  # whose resid_post they read, whatever the SAE's own place is
    probes, sparse = ({name: _artifacts(job) / name} for name in ("probes_dir", "sparse_probing_experiment_dir"))
    run = theirs.run_k_sparse_probing_experiment

    config = AbsorptionEvalConfig(model_name=job["model"], llm_dtype=job["dtype"], **settings)

    def seeded(**told: Any) -> Any:
        same = {name: told[name] for name in ("model", "layer", "device")}
        _seed()
        load_or_train_probe(base_template=told["prompt_template"], pos_idx=told["prompt_token_pos"], **same, **probes)
        _seed()
        found = run(experiment_dir=sparse["sparse_probing_experiment_dir"], **told, **probes)
        known = int((found["f1_probe"] > config.min_GT_probe_f1).sum())
        if known < config.min_feats_for_eval:  # it would leave without a word in its results
            sys.exit(
                f"{known} letters have a probe with an F1 above {config.min_GT_probe_f1}, and it wants"
                f" {config.min_feats_for_eval}: the model is too small for the letters, or the place of its SAEs too early"
            )
        return found

    theirs.run_k_sparse_probing_experiment = seeded
    theirs.run_feature_absortion_experiment = partial(
        theirs.run_feature_absortion_experiment, experiment_dir=_artifacts(job) / "experiment_dir", **sparse, **probes
    )
    theirs.run_eval(config, saes, job["device"], out, force_rerun=True)


def _seed() -> None:
    import numpy as np
    import torch

    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002 – their code draws from the global generators
    torch.manual_seed(SEED)


def _sae_probes(job: Job, saes: list[Any], settings: dict[str, Any], out: str) -> None:
    import sae_probes.generate_model_activations as reading
    from sae_probes import DATASETS, run_sae_evals

    settings = settings | {"datasets": settings["datasets"] or DATASETS}
    room, cache = settings.pop("max_seq_len"), Path(job["out"]) / "artifacts"
    read = reading.generate_single_dataset_activations  # of texts of 1,024 tokens, which not every model has room for
    reading.generate_single_dataset_activations = lambda **told: read(**told | {"max_seq_len": room})
    for name, sae in saes:
        place = Path(out) / name
        _drop_halves(place)
        run_sae_evals(
            sae, job["model"], sae.cfg.metadata.hook_name, results_path=place, model_cache_path=cache,
            device=job["device"], **settings,
        )  # fmt: skip
        _unite(place, settings["datasets"])


def _drop_halves(place: Path) -> None:
    """Remove what a killed job left half written, which sae-probes would take for done."""
    for path in place.rglob("*.json"):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            path.unlink()


def _unite(place: Path, datasets: list[str]) -> None:
    """One file of an SAE, by the names of those that sae-probes wrote: only where all its sets are there."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(place.rglob("*.json"))}
    missing = set(datasets) - {entry["dataset"] for entries in found.values() for entry in entries}
    if missing:
        sys.exit(f"sae-probes wrote nothing of {', '.join(sorted(missing))}")
    aside = place / "whole"
    aside.write_text(json.dumps(found), encoding="utf-8")
    aside.replace(f"{place}{ENDING}")


RUNNERS = {
    "core": _core,
    "sparse_probing": _sparse_probing,
    "absorption": _absorption,
    "sae_probes": _sae_probes,
}

if __name__ == "__main__":
    main(sys.argv[1])

"""What runs inside the environment of SAEBench: its own evaluations, on SAEs, a model and data of this machine.

`python inside.py JOB.json`, alone: it imports nothing of `faithful`, which is not installed there. The job (written by
`studies.bridge.outside`) names the model's folder, the folders of the SAEs, and an evaluation with its settings; what an
evaluation writes of an SAE is left as it is. Of theirs is replaced what touches no figure: models are found in a folder under
the name that the SAEs have, labelled texts of `sparse_probing` come from a file, a data set that is a folder is looked for
there alone, and sae-probes reads no more tokens than the model has room for.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

Job = dict[str, Any]


def main(path: str) -> None:
    """Run every evaluation of a job in turn."""
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    os.environ["JAXTYPING_DISABLE"] = "1"  # its checks of shapes take the sizes of one call for those of another
    os.environ |= {"TRANSFORMERS_OFFLINE": "1", "HF_HUB_OFFLINE": "1"} if job["offline"] else {}
    _find_model(job)
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
    from sae_bench.evals.absorption.eval_config import AbsorptionEvalConfig
    from sae_bench.evals.absorption.main import run_eval

    config = AbsorptionEvalConfig(model_name=job["model"], llm_dtype=job["dtype"], **settings)
    run_eval(config, saes, job["device"], out, force_rerun=True)


def _sae_probes(job: Job, saes: list[Any], settings: dict[str, Any], out: str) -> None:
    import sae_probes.generate_model_activations as reading
    from sae_probes import DATASETS, run_sae_evals

    read = reading.generate_single_dataset_activations  # of texts of 1,024 tokens, which not every model has room for
    reading.generate_single_dataset_activations = lambda **told: read(**told | {"max_seq_len": job["context"]})
    cache = Path(job["out"]) / "activations"
    for name, sae in saes:
        run_sae_evals(
            sae, job["model"], sae.cfg.metadata.hook_name, results_path=f"{out}/{name}", model_cache_path=cache,
            device=job["device"], **settings | {"datasets": settings["datasets"] or DATASETS},
        )  # fmt: skip


RUNNERS = {
    "core": _core,
    "sparse_probing": _sparse_probing,
    "absorption": _absorption,
    "sae_probes": _sae_probes,
}

if __name__ == "__main__":
    main(sys.argv[1])

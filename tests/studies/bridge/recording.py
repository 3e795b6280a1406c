"""What SAEBench really wrote: of a small SAE of random weights on the embedded model, on a few rows and three tasks.

`python -m tests.studies.bridge.recording PYTHON`, PYTHON that of the environment, writes it anew.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from faithful.base.progress import silent
from faithful.formats.files import save_sae
from faithful.models.presets import tiny_path
from faithful.models.spec import ModelSpec, resolve_model
from faithful.models.tokenizer import load_tokenizer
from faithful.store.saes import find_saes
from studies.bridge.data import rows_at_once, write_rows, write_tasks
from studies.bridge.outside import Evaluation, evaluate_outside, kept_figures
from studies.probes.saebench import balanced_texts
from studies.probes.tasks.embedded import EmbeddedText
from studies.probes.tasks.examples import Draw, TaskData
from studies.probes.tasks.packaged import find_tasks
from studies.probes.tasks.read import load_task
from tests.studies.random_saes import random_sae

RECORDED = Path(__file__).with_name("recorded")
CONTEXT, D_SAE, K, SEED = 64, 256, 8, 3
TASKS = ("speech", "tests", "comment")
KS = (1, 2, 5, 10, 20, 50)
HOOK = "blocks.2.hook_resid_pre"
PASSAGES = 6


def recorded(name: str) -> Any:
    """A file that SAEBench wrote."""
    return json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))


def embedded(spec: ModelSpec) -> EmbeddedText:
    """Held-out passages in short contexts."""
    return EmbeddedText(lambda: load_tokenizer(spec.files, None), spec, CONTEXT)


def rows(spec: ModelSpec) -> list[np.ndarray]:
    """Full contexts of held-out prose, an end-of-text in the midst of each second one."""
    texts = [one.shown for one in embedded(spec).excerpts("prose")[::7]]
    encoder, found = embedded(spec).encoder, []
    for ids, _ in encoder.encode(texts):
        if len(ids) >= CONTEXT - 1 and len(found) < PASSAGES:
            row = np.concatenate([[spec.bos_id], ids[: CONTEXT - 1]]).astype(np.int64)
            row[20 * (len(found) % 2)] = spec.bos_id
            found.append(row)
    return found


def tasks(spec: ModelSpec) -> list[TaskData]:
    """Small draws of three embedded tasks."""
    return [load_task(find_tasks(name)[0], Draw(256, 400, 0, 4), embedded(spec)) for name in TASKS]


def write_small(folder: Path) -> None:
    """The SAE."""
    save_sae(folder, random_sae(256, D_SAE, K, SEED), {"model_name": "tiny", "hook_name": HOOK, "prepend_bos": True})


def record(python: Path) -> None:
    """Run both evaluations and keep what they say, without the figures of single latents and the SAE's own configuration."""
    spec = resolve_model("tiny", dtype="float32")
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        write_small(out / "sae")
        write_rows(rows(spec), out / "rows")
        texts = {one.task.name: balanced_texts(one) for one in tasks(spec)}
        write_tasks(texts, out / "tasks.json")
        size = rows_at_once(len(rows(spec)))
        told: dict[str, dict[str, Any]] = {
            "core": {
                "n_eval_reconstruction_batches": PASSAGES // size, "n_eval_sparsity_variance_batches": PASSAGES // size,
                "eval_batch_size_prompts": size, "exclude_special_tokens_from_reconstruction": True,
                "dataset": str(out / "rows"), "context_size": CONTEXT, "compute_featurewise_density_statistics": True,
                "compute_featurewise_weight_based_metrics": True,
            },
            "sparse_probing": {
                "k_values": list(KS), "context_length": CONTEXT, "llm_batch_size": 32, "dataset_names": list(TASKS),
            },
        }  # fmt: skip
        job = {
            "model": "tiny", "folder": str(tiny_path()), "device": "cpu", "dtype": "float32", "context": CONTEXT,
            "tasks": str(out / "tasks.json"), "offline": True,
        }  # fmt: skip
        evaluations = [Evaluation(name, settings, "key") for name, settings in told.items()]
        saes = {"small": find_saes([out / "sae"])[0]}
        if failed := evaluate_outside(python, out, job, evaluations, saes, silent):
            sys.exit(failed)
        for name in told:
            kept = kept_figures(out, name, "key", saes)["small"] | {"sae_cfg_dict": {}}
            kept["eval_config"]["dataset"] = "rows"
            if name == "core":
                kept["eval_result_details"] = kept["eval_result_details"][:2]
            (RECORDED / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]))

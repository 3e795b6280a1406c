"""`faithful evaluate saebench` and `faithful evaluate sae-probes`: their own code on SAEs of ours."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.base.progress import Reporter, silent
from faithful.base.records import read_cache, write_record
from faithful.models.presets import tiny_path
from faithful.store.saes import TrainedSae
from studies.bridge.config import BridgeConfig, SaeBenchConfig, SaeProbesConfig
from studies.bridge.data import absorption_layer, check_saes, model_folder, rows_at_once, write_rows, write_tasks
from studies.bridge.environment import check_environment
from studies.bridge.inside import SEED, Told
from studies.bridge.outside import Evaluation, evaluate_outside, kept_figures
from studies.bridge.results import rows_of
from studies.common.config import PanelConfig
from studies.common.inputs import StudyInput, resolve_input
from studies.common.panel import Panel, load_panel
from studies.common.results import Row, Summary, write_results
from studies.probes.config import held_out_examples, train_examples
from studies.probes.saebench import balanced_texts
from studies.probes.tasks.embedded import EmbeddedText
from studies.probes.tasks.examples import Draw
from studies.probes.tasks.levels import by_level
from studies.probes.tasks.packaged import tasks_of
from studies.probes.tasks.read import load_task
from studies.probes.tasks.task import embedded_names

EVALS = ("core", "sparse_probing", "absorption")
NOT_HERE = {
    "scr": "it does not measure quality and needs sets of the Hub",
    "tpp": "it does not measure quality and needs sets of the Hub",
    "unlearning": "it needs gemma-2-2b-it and files behind a form",
    "ravel": "it needs Gemma-2 or GPT-NeoX",
    "autointerp": "it needs a key of OpenAI's",
    "sparse_probing_sae_probes": "`faithful evaluate sae-probes` runs it",
}
FOLDS = 4
ROOM = 1024
"""Tokens that sae-probes reads of a text, at most."""
KEYS = "keys.json"


@dataclass(frozen=True)
class Evaluated:
    """What came out.

    Attributes:
        folder: where results.parquet and the JSON of the other packages are.
        summary: what summary.json holds.
        rows: those of results.parquet: of all evaluations that were made of these SAEs, in earlier calls too.
        failed: why an evaluation failed, as a sentence; None where all came out.
    """

    folder: Path
    summary: Summary
    rows: list[Row]
    failed: str | None = None


def evaluate_saebench(config: SaeBenchConfig, report: Reporter = silent) -> Evaluated:
    """Run evaluations of SAEBench.

    `core` reads the held-out text of the corpora as packed contexts, each once: those that `study reconstruction` reads with
    `layout=packed` and as many tokens. `sparse_probing` is given tasks of `study probes`, with as many examples of each class
    as the rarest has.

    Raises:
        FaithfulError: an evaluation that is not known or not to be had, no environment or another one's versions, SAEs that
            it cannot read, nothing came out; what `resolve_input`, `load_panel` and `load_task` refuse.
    """
    _refuse(config)
    versions = check_environment(config.python)
    found = _input(config, config.dtype, config.corpora, config.context)
    saes = check_saes(found)
    if "absorption" in config.evals:
        absorption_layer(found.hook)
    tasks = _tasks(config, found) if "sparse_probing" in config.evals else {}
    panel = load_panel(found, config.tokens) if "core" in config.evals else None
    with folder_lock(config.out), model_folder(found) as folder:
        work = config.out / ".work"
        offline = bool(folder) and ("sparse_probing" not in config.evals or bool(tasks))
        job = _job(found, folder, offline, str((work / "tasks.json").resolve()) if tasks else "")
        evaluations = []
        for name in dict.fromkeys(config.evals):
            settings, data = _settings(name, config, found, work, tasks, panel)
            evaluations.append(Evaluation(name, settings, digest([data, versions, _identity(found)])))
        summary = found.heading("saebench", config.seed)
        return _evaluate(config, summary, job, evaluations, saes, report)


def evaluate_sae_probes(config: SaeProbesConfig, report: Reporter = silent) -> Evaluated:
    """Run the k-sparse probes of sae-probes, on the sets in its wheel.

    Raises:
        FaithfulError: a penalty other than l1 and l2, no environment or another one's versions, SAEs that it cannot read; a
            set that it does not have.
    """
    if config.penalty not in ("l1", "l2"):
        raise FaithfulError(f"'{config.penalty}' is no penalty; choose l1 or l2.")
    versions = check_environment(config.python)
    found = _input(config, "float32")
    saes = check_saes(found)
    settings = {
        "reg_type": config.penalty,
        "setting": "normal",
        "ks": list(config.ks),
        "datasets": list(config.datasets),
        "max_seq_len": min(ROOM, found.spec.positions or ROOM),
    }
    with folder_lock(config.out), model_folder(found) as folder:
        job = _job(found, folder, bool(folder))
        evaluations = [Evaluation("sae_probes", settings, digest([settings, versions, _identity(found)]))]
        return _evaluate(config, found.heading("sae-probes", SEED), job, evaluations, saes, report)


def _refuse(config: SaeBenchConfig) -> None:
    for name in config.evals:
        if name in NOT_HERE:
            raise FaithfulError(f"{name} is not run here: {NOT_HERE[name]}; choose {', '.join(EVALS)}.")
        if name not in EVALS:
            raise FaithfulError(f"'{name}' is no evaluation of SAEBench's; choose {', '.join(EVALS)}.")


def _input(
    config: BridgeConfig,
    dtype: str | None,
    corpora: tuple[Path, ...] = (),
    context: int | None = None,
) -> StudyInput:
    found = resolve_input(
        PanelConfig(
            config.saes, config.out, corpora, config.model, context=context, layout="packed", device=config.device,
            dtype=dtype,
        )
    )  # fmt: skip
    if found.spec.load:
        raise FaithfulError(
            f"What evaluates loads the model itself, as it is, and these SAEs are of it in {found.spec.load}; leave them out."
        )
    return found


def _identity(found: StudyInput) -> list[Any]:
    return [found.spec.revision, found.spec.precision, found.hook.name, found.context]


def _job(found: StudyInput, folder: str, offline: bool, tasks: str = "") -> Told:
    spec = found.spec
    name = re.sub(r"[^\w.-]+", "-", spec.name) if folder else spec.source
    return {
        "model": name, "folder": folder, "device": found.device, "dtype": spec.dtype, "context": found.context,
        "offline": offline, "tasks": tasks,
    }  # fmt: skip


def _settings(
    name: str, config: SaeBenchConfig, found: StudyInput, work: Path, tasks: Mapping[str, Any], panel: Panel | None
) -> tuple[dict[str, Any], Any]:
    """What an evaluation is told, and all of it that decides its figures; its data is written."""
    if name == "absorption":
        settings: dict[str, Any] = {"llm_batch_size": 32, "layer": absorption_layer(found.hook)}
        return settings, settings
    if name == "sparse_probing":
        settings = {"k_values": sorted(config.ks), "context_length": found.context, "llm_batch_size": 32}
        if not tasks:
            return settings, settings
        data = write_tasks(tasks, work / "tasks.json")
        return settings | {"dataset_names": list(tasks)}, [settings, data]
    assert panel is not None
    rows = panel.rows
    write_rows(rows, work / "rows")
    size = rows_at_once(len(rows))
    settings = {
        "n_eval_reconstruction_batches": len(rows) // size, "n_eval_sparsity_variance_batches": len(rows) // size,
        "eval_batch_size_prompts": size, "exclude_special_tokens_from_reconstruction": True,
        "compute_featurewise_density_statistics": True, "compute_featurewise_weight_based_metrics": True,
        "context_size": found.context,
    }  # fmt: skip
    return settings | {"dataset": str((work / "rows").resolve())}, [settings, panel.sha256]


def _tasks(config: SaeBenchConfig, found: StudyInput) -> dict[str, Any]:
    """Balanced texts of each task; none where SAEBench is to take its own sets.

    Raises:
        FaithfulError: two tasks of one name; sizes or a seed for SAEBench's own sets.
    """
    is_tiny = Path(found.spec.source) == tiny_path()
    wishes = config.tasks or (tuple(embedded_names()) if is_tiny else ())
    if not wishes and (config.train_size or config.test_size or config.seed):
        raise FaithfulError(
            "SAEBench draws from its own sets with its own sizes and seed; name tasks with --task, or leave out train_size,"
            " test_size and --seed."
        )
    sizes = (
        config.train_size or train_examples(found.device, 0),
        config.test_size or held_out_examples(found.device, 0),
    )
    draw, embedded = Draw(*sizes, config.seed, FOLDS), EmbeddedText(lambda: found.tokenizer, found.spec, found.context)
    data = [one for task in tasks_of(wishes) for one in by_level(load_task(task, draw, embedded))]
    return {one.task.name: balanced_texts(one) for one in data}


def _evaluate(
    config: BridgeConfig, summary: Summary, job: Told, evaluations: Sequence[Evaluation],
    saes: Mapping[str, TrainedSae], report: Reporter,
) -> Evaluated:  # fmt: skip
    """Run what is not there yet, and leave rows and a summary of all that is."""
    failed = evaluate_outside(config.python, config.out, job, evaluations, saes, report)
    keys = _keys(config.out, summary) | {one.name: one.key for one in evaluations}
    found = {name: kept_figures(config.out, name, key, saes) for name, key in keys.items()}
    rows = [
        row for name, of_saes in found.items() for sae, wrote in of_saes.items()
        for row in rows_of(summary["study"], name, saes[sae], wrote)
    ]  # fmt: skip
    if failed and not rows:
        raise FaithfulError(failed)
    write_record(config.out / KEYS, {"read": _read(summary), "keys": keys})
    whole = summary | {"sizes": {"saes": len(saes), "evaluations": [name for name, of in found.items() if of]}}
    write_results(config.out, whole, rows)
    return Evaluated(config.out, whole, rows, failed)


def _read(summary: Summary) -> dict[str, object]:
    return {"model": summary["model"], "hook": summary["hook"]}


def _keys(out: Path, summary: Summary) -> dict[str, str]:
    """Of the evaluations that earlier calls made in this folder, on the same model at the same place."""
    record = read_cache(out / KEYS)
    return record["keys"] if record and record["read"] == _read(summary) else {}

"""`faithful train`: the whole grid of TopK SAEs of each corpus from one shared, truncated forward pass."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from faithful.corpus import Corpus
from faithful.errors import FaithfulError
from faithful.files import folder_lock, remove_temporaries
from faithful.model import load_model
from faithful.token_rows import TokenRows
from faithful.train_cell import Cell, cell_folder, finished
from faithful.train_checkpoint import split_by_checkpoint
from faithful.train_config import Settings, TrainConfig, cell_identity, settle
from faithful.train_corpora import remember_corpora
from faithful.train_pass import TrainingPass, TrainProgress
from faithful.train_plan import TrainPlan, forecast
from faithful.train_workers import spread


@dataclass(frozen=True)
class TrainResult:
    """What `train` did.

    Attributes:
        out: folder of the SAEs.
        trained, skipped: folders of cells trained now, and of those that were there.
        note: one sentence.
    """

    out: Path
    trained: list[Path]
    skipped: list[Path]
    note: str


def _silent(_: TrainProgress) -> None:
    return None


def train(
    config: TrainConfig, report: Any = _silent, announce: Callable[[TrainPlan], None] | None = None
) -> TrainResult:
    """Train what is missing of the grid; finished cells are skipped, a killed run goes on from its checkpoint.

    Args:
        config: what to train.
        report: called with `TrainProgress`.
        announce: called with the forecast before anything is loaded, if there is something to train.

    Raises:
        FaithfulError: bad settings (see `settle`), a cell trained otherwise, a loss that is not finite, a busy folder.
    """
    device = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if config.workers < 1:
        raise FaithfulError("--workers must be at least 1.")
    if config.threads:
        torch.set_num_threads(config.threads)
    settings, usable = settle(config, device)
    cells = {folder: grid(config.out, Corpus(folder), settings) for folder in config.corpora}
    skipped = [cell.folder for group in cells.values() for cell in group if finished(cell)]
    remember_corpora(config.out, config.corpora)
    missing = {folder: [cell for cell in group if cell.folder not in skipped] for folder, group in cells.items()}
    jobs = [job for folder, group in missing.items() for job in _jobs(folder, group, config.workers)]
    if not jobs:
        return TrainResult(
            config.out, [], skipped, f"{config.out} holds all {len(skipped)} SAEs already: nothing to do."
        )
    if announce:
        announce(forecast(settings, usable, device))
    if config.workers == 1:
        model = load_model(settings.model, device)
        for folder, group in jobs:
            _train_group(config, settings, folder, group, device, model, report)
    else:
        _spread(config, settings, jobs, device, report)
    trained = [cell.folder for _, group in jobs for cell in group]
    note = f"{len(trained)} SAEs trained on {settings.tokens:,} tokens each" + (
        f", {len(skipped)} were there already." if skipped else "."
    )
    return TrainResult(config.out, trained, skipped, note)


def grid(out: Path, corpus: Corpus, settings: Settings) -> list[Cell]:
    """All cells of a corpus, shape by shape."""
    wanted = math.ceil(settings.tokens / max(1.0, settings.epochs))
    prefix = TokenRows(corpus, settings.model, settings.context, settings.layout, "train", wanted).sha256
    return [
        Cell(
            cell_folder(out, corpus.name, settings, d_sae, k, seed),
            d_sae,
            k,
            seed,
            cell_identity(settings, corpus.name, prefix, d_sae, k, seed),
        )
        for d_sae, k in settings.shapes
        for seed in settings.seeds
    ]


def _jobs(folder: Path, cells: list[Cell], workers: int) -> Iterator[tuple[Path, list[Cell]]]:
    """One job per corpus; one per corpus and shape where several workers share the work."""
    if workers == 1:
        groups = [cells]
    else:
        shapes = dict.fromkeys((cell.d_sae, cell.k) for cell in cells)
        groups = [[cell for cell in cells if (cell.d_sae, cell.k) == shape] for shape in shapes]
    yield from ((folder, group) for group in groups if group)


@dataclass(frozen=True)
class _Job:
    """What a worker trains: cells of one corpus."""

    config: TrainConfig
    settings: Settings
    corpus: Path
    cells: list[Cell]
    device: str
    threads: int


def _spread(
    config: TrainConfig, settings: Settings, groups: list[tuple[Path, list[Cell]]], device: str, report: Any
) -> None:
    """Train groups of cells in processes of their own, one per GPU."""
    count = min(config.workers, len(groups))
    if device == "cuda" and count > torch.cuda.device_count():
        raise FaithfulError(
            f"--workers {config.workers} needs as many GPUs, and there are {torch.cuda.device_count()}."
        )
    threads = config.threads or max(1, torch.get_num_threads() // count)
    jobs = [_Job(config, settings, corpus, cells, device, threads) for corpus, cells in groups]
    spread(_train_alone, jobs, count, report)


def _train_alone(job: _Job, worker: int, report: Any) -> None:
    torch.set_num_threads(job.threads)
    where = f"cuda:{worker}" if job.device == "cuda" else job.device
    _train_group(job.config, job.settings, job.corpus, job.cells, where, load_model(job.settings.model, where), report)


def _train_group(
    config: TrainConfig,
    settings: Settings,
    corpus: Path,
    cells: list[Cell],
    device: str,
    model: Any,
    report: Any,
) -> None:
    """Train cells of one corpus, those from one forward pass that have come equally far."""
    with contextlib.ExitStack() as locks:
        for shape in dict.fromkeys(cell.folder.parent for cell in cells):
            locks.enter_context(folder_lock(shape))
            remove_temporaries(shape)
        for group, checkpoint in split_by_checkpoint(cells):
            TrainingPass(config, settings, corpus, group, device, model, checkpoint).run(report)


__all__ = ["Cell", "TrainConfig", "TrainProgress", "TrainResult", "grid", "train"]

"""`faithful train`: the whole grid of SAEs of each corpus from one shared, truncated forward pass."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from faithful.activations.stream import stream_rows
from faithful.base.files import allow_files, folder_lock, locked_together, refuse_local_locks, remove_temporaries
from faithful.base.progress import Reporter, silent
from faithful.base.quantities import Part
from faithful.executor.jobs import in_turn, run_jobs
from faithful.executor.protocol import Share
from faithful.executor.where import current_place, refuse_unsharded, share_of
from faithful.formats.files import CONFIG
from faithful.models.load import load_model
from faithful.store.corpora_of_saes import loaded_otherwise, remember_corpora
from faithful.store.corpus import Corpus
from faithful.store.readings import Readings
from faithful.store.shape import Shape
from faithful.store.token_rows import TokenRows
from faithful.training.cell import Cell, cell_folder, finished
from faithful.training.checkpoint import Checkpoint, open_checkpoints, split_by_checkpoint
from faithful.training.config import Settings, TrainConfig
from faithful.training.corpus_pass import TrainingPass
from faithful.training.forecast import TrainPlan, forecast
from faithful.training.identity import cell_identity
from faithful.training.loggers import require_logger
from faithful.training.settings import settle


@dataclass(frozen=True)
class TrainResult:
    """What `train` did.

    Attributes:
        out: folder of the SAEs.
        trained, skipped: folders of cells trained now, and of those that were there.
        note: what to say of it.
        left: SAEs of the grid that other parts of it are still to train.
    """

    out: Path
    trained: list[Path]
    skipped: list[Path]
    note: str
    left: int = 0


@contextmanager
def _own_threads() -> Iterator[None]:
    """Give the process its number of CPU threads back."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


@_own_threads()
def train(
    config: TrainConfig,
    report: Reporter = silent,
    announce: Callable[[TrainPlan], None] | None = None,
    part: Part | None = None,
) -> TrainResult:
    """Train what is missing of the grid; finished cells are skipped, a killed run goes on from its checkpoint.

    A part is so many cells that follow each other, by corpus, shape and seed, whatever is there already: several processes
    may train parts in one folder at the same time.

    What goes wrong with a cell, a corpus or a worker keeps no other from being trained and written.

    Args:
        config: what to train.
        report: progress, with the latest figures of each cell.
        announce: called with the forecast of the whole grid before anything is loaded, if there is something to train.
        part: which part of the grid to train; None for all of it.

    Raises:
        FaithfulError: a device that is not there, bad settings (see `settle`), a cell trained otherwise, SAEs that are being
            published; when all else is done, losses that were not finite, busy folders, workers that died.
    """
    where = current_place()
    device = where.check_device(config.device)
    require_logger(config.log)
    if config.shard_model:
        refuse_unsharded(device, config.workers)
    if part:
        refuse_local_locks(config.out)
    readings = Readings(config.out)
    settings, usable = settle(config, device, readings)
    if config.threads:
        torch.set_num_threads(config.threads)
    own = _own_cells(config.corpora, len(settings.shapes) * len(settings.seeds), part)
    cells = {folder: grid(config.out, folder, settings, readings)[places] for folder, places in own.items()}
    skipped = [cell.folder for group in cells.values() for cell in group if finished(cell)]
    remember_corpora(config.out, config.corpora)
    readings.keep()
    missing = {folder: [cell for cell in group if cell.folder not in skipped] for folder, group in cells.items()}
    workers = where.count(config.workers, Share(device, config.threads or 1))
    jobs = _jobs(missing, workers)
    if not jobs:
        return _result(config, settings, part, [], skipped)
    for folder in dict(jobs):
        Corpus(folder).refuse_damaged()
    where.refuse_unseen(config.out, *dict(jobs))
    if announce:
        announce(forecast(settings, usable, device, config.eval_tokens))
    with locked_together(config.out), folder_lock(config.out):  # as other trainings may, and who publishes may not
        if workers == 1 and where.is_here:
            model = load_model(settings.model, device)
            in_turn(lambda job: _train_group(config, settings, *job, device, model, report), jobs)
        else:
            _spread(config, settings, jobs, min(workers, len(jobs)), device, report)
    return _result(config, settings, part, [cell.folder for group in missing.values() for cell in group], skipped)


def _own_cells(corpora: Sequence[Path], each: int, part: Part | None) -> dict[Path, slice]:
    """Which of the cells of each corpus are a part's; corpora without any are left out: each is another forward pass."""
    run = part.run_of(len(corpora) * each) if part else range(len(corpora) * each)
    found = {}
    for place, folder in enumerate(corpora):
        first, last = max(run.start - place * each, 0), min(run.stop - place * each, each)
        if first < last:
            found[folder] = slice(first, last)
    return found


def _result(
    config: TrainConfig, settings: Settings, part: Part | None, trained: list[Path], skipped: list[Path]
) -> TrainResult:
    """What is said of a training, or of a part of one."""
    every = [
        cell_folder(config.out, folder.resolve().name, settings, shape, seed)
        for folder in config.corpora
        for shape in settings.shapes
        for seed in settings.seeds
    ]
    left = sum(not (folder / CONFIG).exists() for folder in every) if part else 0
    of = f" of part {part}" if part else ""
    if trained:
        there = f", {len(skipped)} were there already." if skipped else "."
        note = f"{len(trained)} SAE{'s' if trained[1:] else ''}{of} trained on {settings.tokens:,} tokens each{there}"
    elif skipped:
        held = f"all {len(skipped)} SAEs" if skipped[1:] else "the one SAE"
        note = f"{config.out} holds {held}{of} already: nothing to do."
    else:
        note = f"Part {part} has no SAE to train: there are {len(every)}."
    if part:
        note += f" {left or 'None'} of the {len(every)} of all parts {'is' if left == 1 else 'are'} still missing."
    others = [loaded_otherwise(Corpus(folder), settings.model) for folder in config.corpora]
    return TrainResult(config.out, trained, skipped, " ".join([note, *filter(None, others)]), left)


def grid(out: Path, folder: Path, settings: Settings, readings: Readings) -> list[Cell]:
    """All cells of a corpus, shape by shape.

    What they read is hashed where an SAE is there to be compared with it; else its hash is '' until they are trained, for
    which it is read once.
    """
    name = folder.resolve().name
    cells = [
        Cell(
            cell_folder(out, name, settings, shape, seed),
            cell_identity(settings, name, "", shape, seed),
            shape.variant,
        )
        for shape in settings.shapes
        for seed in settings.seeds
    ]
    if not any((cell.folder / CONFIG).exists() for cell in cells):
        return cells
    return _reading(cells, _prefix_sha256(folder, settings, readings))


def _reading(cells: list[Cell], prefix_sha256: str) -> list[Cell]:
    """The cells, now that the hash of what they read is known."""
    return [replace(cell, identity=cell.identity | {"prefix_sha256": prefix_sha256}) for cell in cells]


def _prefix_sha256(folder: Path, settings: Settings, readings: Readings, rows: TokenRows | None = None) -> str:
    """Hash of the tokens that a corpus' cells read, which are read for it only where neither they nor it are at hand."""
    stream = settings.stream
    how = {
        "what": "prefix",
        "context": stream.context,
        "layout": stream.layout,
        "tokens": stream.prefix_tokens,
    }
    return str(
        readings.of(
            Corpus(folder), "train", settings.model, how,
            lambda: (rows or stream_rows(folder, settings.model, "train", stream)).sha256,
        )
    )  # fmt: skip


def _jobs(missing: dict[Path, list[Cell]], workers: int) -> list[tuple[Path, list[Cell]]]:
    """One job per corpus, each of which is a forward pass; the largest is cut while there are too few for workers."""
    jobs = [(folder, cells) for folder, cells in missing.items() if cells]
    while len(jobs) < workers and (wide := [job for job in jobs if len(job[1]) > 1]):
        widest = max(wide, key=lambda job: _latents(job[1]))
        jobs.remove(widest)
        jobs += [(widest[0], half) for half in _halves(widest[1])]
    return jobs


def _halves(cells: list[Cell]) -> tuple[list[Cell], list[Cell]]:
    """Cut cells between shapes, into about equally many latents; those of one shape between seeds."""
    shapes: dict[Shape, list[Cell]] = {}
    for cell in cells:
        shapes.setdefault(cell.shape, []).append(cell)
    if len(shapes) == 1:
        return cells[: len(cells) // 2], cells[len(cells) // 2 :]
    halves: tuple[list[Cell], list[Cell]] = ([], [])
    for group in sorted(shapes.values(), key=_latents, reverse=True):
        min(halves, key=_latents).extend(group)
    return halves


def _latents(cells: list[Cell]) -> int:
    return sum(cell.shape.d_sae for cell in cells)


def _spread(
    config: TrainConfig,
    settings: Settings,
    groups: list[tuple[Path, list[Cell]]],
    count: int,
    device: str,
    report: Reporter,
) -> None:
    """Train groups of cells in processes of their own, one per GPU."""
    share = share_of(device, count, config.threads)
    run_jobs(_train_alone, groups, count, report, share=share, name="training", shared=(config, settings, device))


def _train_alone(shared: tuple[TrainConfig, Settings, str], job: tuple[Path, list[Cell]], report: Reporter) -> None:
    config, settings, device = shared
    _train_group(config, settings, *job, device, load_model(settings.model, device), report)


def _train_group(
    config: TrainConfig,
    settings: Settings,
    corpus: Path,
    cells: list[Cell],
    device: str,
    model: Any,
    report: Reporter,
) -> None:
    """Train cells of one corpus, those from one forward pass that have come equally far; its tokens are read once."""

    @_own_threads()
    def go_on(part: tuple[list[Cell], Checkpoint | None]) -> None:
        group, checkpoint = part
        TrainingPass(config, settings, rows, group, device, model, checkpoint).run(report)

    allow_files(len(cells))
    with ExitStack() as locks:
        for cell in cells:
            locks.enter_context(folder_lock(cell.folder))
            remove_temporaries(cell.folder)
        locks.enter_context(open_checkpoints(cells))
        rows, readings = stream_rows(corpus, settings.model, "train", settings.stream), Readings(config.out)
        cells = _reading(cells, _prefix_sha256(corpus, settings, readings, rows))
        readings.keep()
        # The lock was free only now: an equal training, begun at the same time, may have brought some to their end.
        if missing := [cell for cell in cells if not finished(cell)]:
            in_turn(go_on, split_by_checkpoint(missing))

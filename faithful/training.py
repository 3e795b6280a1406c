"""`faithful train`: the whole grid of TopK SAEs of each corpus from one shared, truncated forward pass."""

import contextlib
import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from faithful.activations import ActivationStream, StreamConfig
from faithful.corpus import Corpus
from faithful.errors import FaithfulError
from faithful.evaluate import evaluate
from faithful.files import append_line, folder_lock, remove_temporaries, write_atomically
from faithful.model import load_model
from faithful.sae.stack import Stack, StackConfig
from faithful.token_rows import TokenRows
from faithful.train_cell import Cell, cell_folder, finished, write_cell, write_log
from faithful.train_config import Settings, TrainConfig, cell_identity, settle
from faithful.train_corpora import remember_corpora
from faithful.train_log import open_logger

CHECKPOINTS = ".checkpoints"
INTERVALS = 100
DEAD_SHARE, DEAD_MOST = 0.1, 10_000_000


@dataclass(frozen=True)
class TrainProgress:
    """A point in time of a training, for a table with a row per cell.

    Attributes:
        step: what is being done.
        done, total: stored tokens.
        cells: name and latest figures of each cell.
        unit: of `done` and `total`.
    """

    step: str
    done: int
    total: int
    cells: list[dict[str, Any]] = field(default_factory=list)
    unit: str = "tokens"


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


def train(config: TrainConfig, report: Any = _silent) -> TrainResult:
    """Train what is missing of the grid; finished cells are skipped, a killed run goes on from its checkpoint.

    Args:
        config: what to train.
        report: called with `TrainProgress`.

    Raises:
        FaithfulError: bad settings (see `settle`), a cell trained otherwise, a loss that is not finite, a busy folder.
    """
    device = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if config.workers < 1:
        raise FaithfulError("--workers must be at least 1.")
    if config.threads:
        torch.set_num_threads(config.threads)
    settings, _ = settle(config, device)
    cells = {folder: grid(config.out, Corpus(folder), settings) for folder in config.corpora}
    skipped = [cell.folder for group in cells.values() for cell in group if finished(cell)]
    remember_corpora(config.out, config.corpora)
    missing = {folder: [cell for cell in group if cell.folder not in skipped] for folder, group in cells.items()}
    jobs = [job for folder, group in missing.items() for job in _jobs(folder, group, config.workers)]
    if not jobs:
        return TrainResult(
            config.out, [], skipped, f"{config.out} holds all {len(skipped)} SAEs already: nothing to do."
        )
    if config.workers == 1:
        model = load_model(settings.model, device)
        for folder, group in jobs:
            _train_group(config, settings, folder, group, device, model, report)
    else:
        _spread(config, settings, jobs, device)
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


def _spread(config: TrainConfig, settings: Settings, jobs: list[tuple[Path, list[Cell]]], device: str) -> None:
    """Train the jobs in processes of their own, one per GPU."""
    count = min(config.workers, len(jobs))
    if device == "cuda" and count > torch.cuda.device_count():
        raise FaithfulError(
            f"--workers {config.workers} needs as many GPUs, and there are {torch.cuda.device_count()}."
        )
    threads = config.threads or max(1, torch.get_num_threads() // count)
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        futures = [
            pool.submit(_train_alone, config, settings, folder, group, device, place % count, threads)
            for place, (folder, group) in enumerate(jobs)
        ]
        for future in futures:
            future.result()


def _train_alone(
    config: TrainConfig, settings: Settings, folder: Path, cells: list[Cell], device: str, gpu: int, threads: int
) -> None:
    torch.set_num_threads(threads)
    where = f"cuda:{gpu}" if device == "cuda" else device
    _train_group(config, settings, folder, cells, where, load_model(settings.model, where), _silent)


def _train_group(
    config: TrainConfig,
    settings: Settings,
    folder: Path,
    cells: list[Cell],
    device: str,
    model: Any,
    report: Any,
) -> None:
    """Train cells of one corpus from one forward pass, evaluate and write them."""
    with contextlib.ExitStack() as locks:
        for shape in dict.fromkeys(cell.folder.parent for cell in cells):
            locks.enter_context(folder_lock(shape))
            remove_temporaries(shape)
        for group in _by_checkpoint(cells):
            _Training(config, settings, folder, group, device, model).run(report)


def _by_checkpoint(cells: list[Cell]) -> list[list[Cell]]:
    """Cells that share a checkpoint go on together; the others make a group of their own."""
    root = cells[0].folder.parent.parent / CHECKPOINTS
    rest, groups = list(cells), []
    for path in sorted(root.glob("*.pt")):
        names = set(path.stem.split("-"))
        group = [cell for cell in rest if cell.sha256[:12] in names]
        if group and len(group) == len(names):
            groups.append(group)
            rest = [cell for cell in rest if cell not in group]
    return [*groups, rest] if rest else groups


class _Training:
    """One pass over a corpus for some cells of it."""

    def __init__(
        self, config: TrainConfig, settings: Settings, corpus: Path, cells: list[Cell], device: str, model: Any
    ) -> None:
        self.config, self.settings, self.corpus = config, settings, corpus
        self.cells, self.device, self.model = cells, device, model
        names = "-".join(sorted(cell.sha256[:12] for cell in cells))
        self.checkpoint = cells[0].folder.parent.parent / CHECKPOINTS / f"{names}.pt"
        self.rows: list[list[dict[str, Any]]] = [[] for _ in cells]
        self.step = 0
        self.seconds = 0.0

    def run(self, report: Any) -> None:
        """Train to the end, then evaluate and write every cell."""
        self.stream = self._stream()
        saved_state = self._load()
        self.stacks = self._stacks()
        if saved_state:
            self.step, self.seconds, self.rows = (saved_state[name] for name in ("step", "seconds", "rows"))
            for stack, weights in zip(self.stacks, saved_state["stacks"], strict=True):
                stack.load_state_dict(weights)
        logger = open_logger(self.config.log, self.cells, self.settings)
        every = max(1, self.stream.steps // INTERVALS)
        began = saved = time.monotonic()
        before = self.seconds
        for x in self.stream:
            for stack in self.stacks:
                stack.step(x)
            self.step += 1
            if self.step == 1 or self.step % every == 0:
                self.seconds = before + time.monotonic() - began
                self._note(report, logger)
            if time.monotonic() - saved > 60 * self.config.checkpoint_minutes and self.step < self.stream.steps:
                self._save()
                saved = time.monotonic()
        if self.rows[0][-1]["step"] < self.step:
            self.seconds = before + time.monotonic() - began
            self._note(report, logger)
        logger.close()
        self._finish(report)
        self.checkpoint.unlink(missing_ok=True)

    def _stream(self) -> ActivationStream:
        s = self.settings
        stream = StreamConfig(
            hook=s.hook,
            context=s.context,
            layout=s.layout,
            tokens=s.tokens,
            epochs=s.epochs,
            data_seed=s.data_seed,
            batch=s.batch,
            buffer=s.buffer,
            drop_outliers=s.drop_outliers,
        )
        return ActivationStream(self.model, s.model, self.corpus, "train", stream)

    def _stacks(self) -> list[Stack]:
        """One stack per shape; input mean and scale are those of the stream's first activations."""
        mean, scale = self.stream.moments()
        shapes = dict.fromkeys((cell.d_sae, cell.k) for cell in self.cells)
        lrs = dict(zip(self.settings.shapes, self.settings.lrs, strict=True))
        stacks = []
        for shape in shapes:
            seeds = tuple(cell.seed for cell in self.cells if (cell.d_sae, cell.k) == shape)
            config = StackConfig(
                d_in=len(mean),
                d_sae=shape[0],
                k=shape[1],
                init_seeds=seeds,
                steps=self.stream.steps,
                lr=lrs[shape],
                dead_tokens=min(DEAD_MOST, int(DEAD_SHARE * self.settings.tokens)),
                deterministic=self.settings.deterministic,
            )
            stacks.append(Stack(config, mean, scale, self.device))
        return stacks

    def _note(self, report: Any, logger: Any) -> None:
        """Read the metrics (the only synchronisation), keep them, and tell."""
        found = [row for stack in self.stacks for row in stack.metrics()]
        tokens = self.stream.counts.tokens
        speed = self.step * self.settings.batch / max(self.seconds, 1e-9)
        for cell, rows, row in zip(self.cells, self.rows, found, strict=True):
            if not math.isfinite(row["loss"]):
                raise FaithfulError(
                    f"The loss of {cell.name} is {row['loss']} at step {self.step}; train with a smaller --lr than"
                    f" {cell.identity['lr']:.2g}, or check the model's weights."
                )
            rows.append({"step": self.step, "tokens": tokens, "seconds": round(self.seconds, 2)} | row)
            write_log(cell, rows)
        logger.log(self.step, found)
        shown = [{"cell": c.name, "speed": speed} | row for c, row in zip(self.cells, found, strict=True)]
        report(TrainProgress(f"training {self.corpus.name}", tokens, self.settings.tokens, shown))

    def _save(self) -> None:
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "rows": self.rows,
            "stream": self.stream.state(),
            "stacks": [stack.state_dict() for stack in self.stacks],
        }
        write_atomically(self.checkpoint, lambda path: torch.save(state, path))

    def _load(self) -> dict[str, Any] | None:
        """The checkpoint, its stream set to go on; None where there is none."""
        if not self.checkpoint.exists():
            return None
        state: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=False)
        self.stream.load_state(state["stream"])
        return state

    def _finish(self, report: Any) -> None:
        saes = [stack.sae(place) for stack in self.stacks for place in range(len(stack.config.init_seeds))]
        counts = self.stream.counts
        provenance = {
            "threads": torch.get_num_threads(),
            "device": self.device,
            "torch": torch.__version__,
            "seconds": round(self.seconds, 2),
            "special_tokens_left_out": counts.special,
            "outliers": counts.outliers,
        }
        s = self.settings
        found = evaluate(
            self.model, s.model, s.hook, self.corpus, saes, s.context, s.layout, self.config.eval_tokens,
            lambda done, total: report(TrainProgress(f"evaluating {self.corpus.name}", done, total, unit="contexts")),
        )  # fmt: skip
        for cell, sae, rows, (quality, density) in zip(self.cells, saes, self.rows, found, strict=True):
            path = self.stream.hook_path
            write_cell(cell, sae, self.settings, path, rows, quality, density, provenance)
        append_line(
            self.config.out / "log.jsonl",
            {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "corpus": self.corpus.name,
                "cells": len(self.cells),
                "tokens": self.settings.tokens,
                "seconds": round(self.seconds, 2),
            },
        )


__all__ = ["Cell", "TrainConfig", "TrainProgress", "TrainResult", "grid", "train"]

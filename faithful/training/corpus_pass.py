"""One pass over a corpus that trains some cells of its grid together, evaluates them and writes them."""

import math
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any, cast

import torch

from faithful.activations.stream import ActivationStream
from faithful.base.errors import FaithfulError
from faithful.base.files import append_line
from faithful.base.progress import Progress, Reporter, counted
from faithful.formats.record import Provenance
from faithful.sae.stack import Stack, StepFigures
from faithful.store.token_rows import TokenRows
from faithful.training.cell import Cell, LogRow, write_cell, write_log
from faithful.training.checkpoint import (
    Checkpoint,
    PassState,
    checkpoint_path,
    load_checkpoint,
    remove_finished,
    save_checkpoint,
    stack_state,
)
from faithful.training.config import Settings, TrainConfig
from faithful.training.evaluate import evaluate
from faithful.training.loggers import open_logger
from faithful.training.watch import HeldOutText, Watched

INTERVALS = 100
LOG_SECONDS = 10.0


class TrainingPass:
    """One pass over a corpus for some cells of it.

    Args:
        config, settings: what was asked for, and what it comes down to.
        rows: what is read of the corpus.
        cells: those to train, all of this corpus.
        device: where.
        model: the causal LM there.
        checkpoint: what to go on from, with as many CPU threads as it was begun with: the process keeps them.

    Raises:
        FaithfulError: the checkpoint was made with another number of CPU threads than --threads states.
    """

    def __init__(
        self,
        config: TrainConfig,
        settings: Settings,
        rows: TokenRows,
        cells: list[Cell],
        device: str,
        model: Any,
        checkpoint: Checkpoint | None,
    ) -> None:
        shapes = dict.fromkeys(cell.shape for cell in cells)
        self.cells = [cell for shape in shapes for cell in cells if cell.shape == shape]
        self.config, self.settings, self.corpus = config, settings, rows.folder
        self.device, self.model = device, model
        self.checkpoint = checkpoint_path(cells)
        state = load_checkpoint(checkpoint.path) if checkpoint else None
        if state:
            self._keep_threads(state["threads"], checkpoint)
        self.stream = ActivationStream(model, rows, settings.stream)
        if state:
            self.stream.load_state(state["stream"])
        self.rows: list[list[LogRow]] = [state["rows"][cell.sha256] if state else [] for cell in self.cells]
        self.step: int = state["step"] if state else 0
        self.seconds: float = state["seconds"] if state else 0.0
        mean, scale = self.stream.moments()
        self.stacks = []
        for shape in shapes:
            seeds = tuple(cell.seed for cell in self.cells if cell.shape == shape)
            stack = Stack(settings.stack(len(mean), shape, seeds, self.stream.steps), mean, scale, device)
            if state:
                stack.load_state_dict(stack_state(state, shape, seeds))
            self.stacks.append(stack)
        self.places = [(stack, place) for stack in self.stacks for place in range(len(stack.config.init_seeds))]
        self.noted, self.written = 0, -LOG_SECONDS
        every = config.eval_every
        self.held_out = HeldOutText(model, settings, self.corpus, every) if every else None
        self.watched: list[Watched] = [{} for _ in self.cells]
        self.diverged: dict[str, str] = {}
        before = checkpoint.diverged if checkpoint else {}
        for cell in self.cells:
            if cell.sha256 in before:
                self._leave(cell, before[cell.sha256])

    def run(self, report: Reporter) -> None:
        """Train to the end, then evaluate and write every cell.

        A cell that diverges or shows no training is left out; the others are finished.

        Raises:
            FaithfulError: what was wrong with the cells that were left out, at the end.
        """
        with closing(open_logger(self.config.log, self.cells, self.settings)) as logger:
            self._train(report, logger)
        self._write_logs()
        self._finish(report)

    def _train(self, report: Reporter, logger: Any) -> None:
        every = steps_between_lines(self.stream.steps)
        began = saved = time.monotonic()
        before = self.seconds
        for x in self.stream:
            for stack in self.stacks:
                stack.step(x)
            self.step += 1
            if self.step == 1 or self.step % every == 0:
                self.seconds = before + time.monotonic() - began
                self._note(report, logger)
                if len(self.diverged) == len(self.cells):
                    return
            if time.monotonic() - saved > 60 * self.config.checkpoint_minutes and self.step < self.stream.steps:
                self.seconds = before + time.monotonic() - began
                self._save()
                saved = time.monotonic()
        if self.noted < self.step and any(stack.summed for stack in self.stacks):
            self.seconds = before + time.monotonic() - began
            self._note(report, logger)

    def _keep_threads(self, threads: int, checkpoint: Checkpoint | None) -> None:
        """Go on with as many CPU threads as before: another number may change the order of sums, and so bits."""
        if checkpoint and self.config.threads and self.config.threads != threads:
            raise FaithfulError(
                f"The training in {checkpoint.path} was begun with {threads} threads; go on with --threads {threads}, or"
                " delete the file to start anew."
            )
        torch.set_num_threads(threads)

    def _note(self, report: Reporter, logger: Any) -> None:
        """Read the metrics, for which the device must be done with every step, keep them, and tell."""
        metrics = {stack: stack.metrics() for stack in self.stacks}
        found = [_with_report(metrics[stack][place], stack.report(place)) for stack, place in self.places]
        tokens = round(
            self.settings.tokens * self.step / self.stream.steps
        )  # those in the buffer are not trained on yet
        if self._look(tokens):
            found = [_with_report(row, held) for row, held in zip(found, self.watched, strict=True)]
        for cell, rows, row in zip(self.cells, self.rows, found, strict=True):
            if cell.sha256 in self.diverged:
                continue
            if math.isfinite(row["loss"]):
                when = {"step": self.step, "tokens": tokens, "seconds": round(self.seconds, 2)}
                rows.append(cast(LogRow, when | row | when))
            else:
                self._leave(cell, f"{row['loss']} at step {self.step}")
        self.noted = self.step
        if time.monotonic() - self.written >= LOG_SECONDS:
            self._write_logs()
        logger.log(self.step, found)
        shown = [{"cell": c.name, **row, **held} for c, row, held in zip(self.cells, found, self.watched, strict=True)]
        report(Progress(f"training {self.corpus.name}", tokens, self.settings.tokens, cells=shown))

    def _look(self, tokens: int) -> bool:
        """Measure every cell on held-out text where that is due since the line before; whether it was."""
        before = max((rows[-1]["tokens"] for rows in self.rows if rows), default=0)
        if self.held_out is None or not self.held_out.is_due(before, tokens):
            return False
        for at, ((stack, place), cell) in enumerate(zip(self.places, self.cells, strict=True)):
            if cell.sha256 not in self.diverged:
                self.watched[at] = self.held_out.measure(stack.sae(place))
        return True

    def _write_logs(self) -> None:
        """Put what was noted into every cell's train.jsonl."""
        for cell, rows in zip(self.cells, self.rows, strict=True):
            if rows:
                write_log(cell, rows)
        self.written = time.monotonic()

    def _leave(self, cell: Cell, loss: str) -> None:
        """Train a cell no further whose loss is not finite."""
        self.diverged[cell.sha256] = loss
        stack, place = self.places[self.cells.index(cell)]
        stack.stop(place)

    def _save(self) -> None:
        state: PassState = {
            "seconds": self.seconds,
            "threads": torch.get_num_threads(),
            "rows": {cell.sha256: rows for cell, rows in zip(self.cells, self.rows, strict=True)},
            "stream": self.stream.state(),
            "stacks": [stack.state_dict() for stack in self.stacks],
        }
        save_checkpoint(self.checkpoint, self.cells, self.step, self.diverged, state)

    def _finish(self, report: Reporter) -> None:
        refused = self._write(report)
        if not refused:
            self.checkpoint.unlink(missing_ok=True)
        remove_finished(self.cells)
        if self.diverged or refused:
            others = len(self.cells) - len(self.diverged) - len(refused)
            kept = [f"The other {others} SAEs of the corpus were kept."] if others else []
            raise FaithfulError(" ".join([*self._divergence(), *refused, *kept]))

    def _write(self, report: Reporter) -> list[str]:
        """Evaluate and write the cells that did not diverge; what was wrong with those that cannot be written."""
        counts, s = self.stream.counts, self.settings
        provenance: Provenance = {
            "threads": torch.get_num_threads(),
            "device": self.device,
            "deterministic": s.deterministic or self.device == "cpu",
            "torch": torch.__version__,
            "seconds": round(self.seconds, 2),
            "special_tokens_left_out": counts.special,
            "outliers": counts.outliers,
        }
        kept = [place for place, cell in enumerate(self.cells) if cell.sha256 not in self.diverged]
        if not kept:
            return []
        saes = [stack.sae(cell) for stack, cell in (self.places[place] for place in kept)]
        found = evaluate(
            self.model, s.model, s.hook, self.corpus, saes, s.context, s.layout, self.config.eval_tokens,
            counted(report, f"evaluating {self.corpus.name}", "contexts"),
        )  # fmt: skip
        refused = []
        for place, sae, evaluation in zip(kept, saes, found, strict=True):
            try:
                write_cell(self.cells[place], sae, s, self.stream.hook_path, self.rows[place], evaluation, provenance)
            except FaithfulError as error:
                refused.append(str(error))
        append_line(
            self.config.out / "log.jsonl",
            {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "corpus": self.corpus.name,
                "cells": len(kept) - len(refused),
                "tokens": s.tokens,
                "seconds": round(self.seconds, 2),
            },
        )
        return refused

    def _divergence(self) -> list[str]:
        """A sentence that names the cells that diverged, if any."""
        cells = [cell for cell in self.cells if cell.sha256 in self.diverged]
        if not cells:
            return []
        losses = ", that of ".join(f"{cell.name} is {self.diverged[cell.sha256]}" for cell in cells)
        lr = min(cell.identity["lr"] for cell in cells)
        return [
            f"On {cells[0].identity['corpus']} the loss of {losses}; train with a smaller --lr than {lr:.2g}, or check the"
            " model's weights."
        ]


def steps_between_lines(steps: int) -> int:
    """Steps of a training from one line of its log to the next: its first step and its last have one beside."""
    return -(-steps // INTERVALS)


def _with_report(metrics: StepFigures, report: Mapping[str, Any]) -> StepFigures:
    """The figures of a cell with those of its variant or of held-out text, None for what is not defined."""
    own = {name: value if math.isfinite(value) else None for name, value in report.items()}
    return cast(StepFigures, {**own, **metrics})

"""S TopK SAEs of one shape, trained in step on the same batches with exact sparse gradients."""

import math
from dataclasses import replace
from typing import TypedDict, cast

import numpy as np
import torch
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.sae.adam import clip_and_step, normalise
from faithful.sae.autoencoder import TENSORS
from faithful.sae.auxk import DeadLatents, revive, spread
from faithful.sae.buffers import PIECE, SCORES, Scratch, chunks, stacked
from faithful.sae.config import StackConfig
from faithful.sae.gradients import Backward, row_gradients
from faithful.sae.sparse import by_latent, decode, row_dots, scalar_sums
from faithful.sae.topk import TopKSAE
from faithful.sae.variant import BatchCodes, Phase

FVU_MEMORY = 0.99
FIGURES = ("loss", "fvu", "aux", "objective", "l0", "grad_norm")


class StepFigures(TypedDict):
    """Figures of one cell, see `Stack.metrics`."""

    loss: float
    fvu: float
    aux: float
    objective: float
    l0: float
    grad_norm: float
    dead_in_training: int
    lr: float
    k: int


class StackShape(TypedDict):
    """What a stack is of."""

    d_in: int
    d_sae: int
    k: int
    init_seeds: tuple[int, ...]
    steps: int


class StackState(TypedDict):
    """Everything that decides the rest of a stack's training; `first` and `second` are Adam's moments."""

    shape: StackShape
    scale: float
    made: int
    summed: int
    silent: Tensor
    fvu: Tensor
    sums: Tensor
    weights: dict[str, Tensor]
    first: dict[str, Tensor]
    second: dict[str, Tensor]


class Stack:
    """The weights, Adam's moments and the counters of S cells.

    The loss of a cell is its fvu in the batch, Σ‖x − x̂‖² / Σ‖x − mean(x)‖², plus the weighted AuxK loss and the weighted
    extra objective. What the cells share is the batch, scaled and measured once, and the scratch memory. Cell after cell
    then makes its own dense product, top-k, sparse sums, clipping and step: on a CPU its bits do not depend on the others,
    which a joint product would not promise.

    Args:
        config: shape, seeds and schedules.
        mean: [d_in], mean of the raw activations: decoder biases start there.
        scale: factor that gives raw activations a norm of 1 in the root mean square; `sae` folds it into the biases. A
            step of Adam has the size of the learning rate: beside larger activations the biases would hardly move.
        device: where everything lives.

    Attributes:
        weights, adam_m, adam_v: parameters and Adam's two moments, [S, …], encoders by latent as decoders are: [S, F, d].
        silent: [S, F], int64, tokens since each latent fired.

    Raises:
        FaithfulError: the mean has another shape.
    """

    def __init__(self, config: StackConfig, mean: Tensor, scale: float, device: torch.device | str) -> None:
        self.config, self.scale, self.device = config, scale, torch.device(device)
        cells, d_in, d_sae = len(config.init_seeds), config.d_in, config.d_sae
        if mean.shape != (d_in,):
            raise FaithfulError(f"The mean activation has shape {tuple(mean.shape)}; give one of [{d_in}].")
        shapes = dict(zip(TENSORS, [(d_sae, d_in), (d_sae,), (d_sae, d_in), (d_in,)], strict=True))
        self.weights, self.adam_m, self.adam_v = (
            {name: stacked(cells, shape, self.device) for name, shape in shapes.items()} for _ in range(3)
        )
        for cell, seed in enumerate(config.init_seeds):
            rows = init_weights(seed, d_in, d_sae)
            self.weights["W_enc"][cell] = self.weights["W_dec"][cell] = rows
            self.weights["b_dec"][cell] = mean * scale
        self.silent = torch.zeros(cells, d_sae, dtype=torch.int64, device=self.device)
        self.fvu = torch.zeros(cells, device=self.device)
        self.sums = torch.zeros(cells, len(FIGURES), dtype=torch.float64, device=self.device)
        self.steps_done = self.summed = 0
        self.stopped: set[int] = set()
        self._dead = [_Dead(self.silent[cell] > 0) for cell in range(cells)]
        self._steps = torch.zeros((), device=self.device)
        self._gemm_dtype: torch.dtype = getattr(torch, config.gemm_dtype or "float32")
        self._scratch = Scratch(self.device)

    @torch.no_grad()
    def step(self, x: Tensor) -> None:
        """Train every cell that was not stopped on one batch.

        On a GPU the work is queued. Where AuxK is on, each cell first waits until the device has counted its dead latents
        in the step before: the host is at most one step ahead.

        Args:
            x: [N, d_in], raw activations of any float type.

        Raises:
            FaithfulError: the batch has another shape.
        """
        if x.dim() != 2 or x.shape[1] != self.config.d_in or not len(x):
            raise FaithfulError(f"A batch has shape {tuple(x.shape)}; give one of [N, {self.config.d_in}].")
        x = torch.mul(x.to(self.device, torch.float32), self.scale, out=self._scratch.take("x", *x.shape))
        variance, phase = spread(x), self.config.phase(self.steps_done)
        self._steps.fill_(self.steps_done + 1)
        for cell in range(len(self.config.init_seeds)):
            if cell not in self.stopped:
                self._step_cell(cell, x, variance, phase)
        self.steps_done += 1
        self.summed += 1

    def _step_cell(self, cell: int, x: Tensor, variance: Tensor, phase: Phase) -> None:
        config, take, weights = self.config, self._scratch.take, [self.weights[name][cell] for name in TENSORS]
        W_enc, b_enc, W_dec, b_dec = weights
        # Codes. Which latents are dead was counted in the step before: a GPU need not be waited for in the middle of
        # this one. Of the k largest scores those below 0 are codes of 0, which have no gradient: they are not `active`.
        centred = torch.sub(x, b_dec, out=take("centred", *x.shape))
        silent = self._dead[cell].latents() if phase.auxk else None
        values, latents, dead = self._encode(centred, W_enc, b_enc, phase.k, silent)
        active = values > 0
        self._count_silence(cell, latents, active)

        # Reconstruction and loss. `error` is x̂ − x, the sign that gradients want. `fvu` is kept as a running mean for
        # objectives.
        error = take("error", *x.shape)
        for part in chunks(len(x), PIECE // config.d_in, self.device):
            torch.sub(decode(values[part], latents[part], W_dec), centred[part], out=error[part])
        fvu = torch.linalg.vector_norm(error).square() / variance
        self.fvu[cell].lerp_(fvu, 1 - FVU_MEMORY if self.steps_done else 1.0)
        # AuxK needs the residual as it is: it comes before `error` becomes the gradient of the loss, in place.
        aux_k = config.auxk_k or max(1, config.d_in // 2)
        revival = revive(dead, W_dec, error, centred, aux_k, phase.auxk, self._matmul) if dead else None

        # Gradients for the codes: d loss/d x̂ = 2 (x̂ − x)/variance, times a code's decoder row; the objective adds to
        # them.
        error.mul_(2 / variance)
        d_values = row_dots(error, W_dec, latents)
        seen = BatchCodes(values, latents, W_dec, centred, variance, self.steps_done / config.steps, self.fvu[cell])
        objective, d_rows = self._objective(seen, d_values, phase.objective)
        # Gradients for the weights. Codes are sorted by latent: each row is one sum in an order that nothing else
        # decides, so that its bits are the same in any grid. The decoder bias is both added to x̂ and taken off the
        # encoder's input.
        codes = by_latent(latents, config.d_sae)
        ordered = d_values.mul_(active).flatten()[codes.order]
        d_b_enc = scalar_sums(codes.starts, ordered)
        d_b_dec = error.sum(0) - d_b_enc @ W_enc
        d_enc, d_dec = take("d_enc", *W_enc.shape), take("d_dec", *W_dec.shape)
        # Scratch memory holds the gradients of the cell before. Where AuxK or the objective put something first, the
        # rows that they do not touch are made 0 and the sparse sums are added; else those write every row themselves.
        if revival is not None or d_rows is not None:
            d_enc.zero_()
            d_dec.copy_(d_rows) if d_rows is not None else d_dec.zero_()
        if revival is not None:
            d_b_enc.index_add_(0, revival.latents, revival.b_enc)
            d_enc.index_copy_(0, revival.latents, revival.rows_enc)
            d_dec.index_add_(0, revival.latents, revival.rows_dec)
        row_gradients(
            Backward(codes, ordered, values.flatten()[codes.order], centred, error),
            W_dec,
            d_enc,
            d_dec,
            add=revival is not None or d_rows is not None,
            atomics=x.is_cuda and not config.deterministic,
        )
        # The step: the gradient is clipped over all of the cell's weights, and decoder rows are brought back to length
        # 1.
        norm = clip_and_step(
            weights,
            [d_enc, d_b_enc, d_dec, d_b_dec],
            [self.adam_m[name][cell] for name in TENSORS],
            [self.adam_v[name][cell] for name in TENSORS],
            self._steps,
            lr=config.learning_rate(self.steps_done),
            betas=config.betas,
            eps=config.eps,
            clip=config.clip,
        )
        normalise(W_dec)
        aux = revival.loss if revival else torch.zeros_like(fvu)
        loss = fvu + phase.auxk * aux + phase.objective * objective
        self.sums[cell] += torch.stack([loss, fvu, aux, objective, active.sum() / len(x), norm])

    def _encode(
        self, centred: Tensor, W_enc: Tensor, b_enc: Tensor, k: int, silent: Tensor | None
    ) -> tuple[Tensor, Tensor, DeadLatents | None]:
        """Values and latents [N, k] of the codes, and what the dead latents say, by one dense product."""
        rows, d_sae, dtype = len(centred), self.config.d_sae, self._gemm_dtype
        values, latents = centred.new_empty(rows, k), torch.empty(rows, k, dtype=torch.int64, device=self.device)
        dead = DeadLatents(silent, self._scratch.take("dead", rows, len(silent))) if silent is not None else None
        columns, bias = W_enc.to(dtype).T, b_enc.to(dtype)
        for part in chunks(rows, SCORES // d_sae, self.device):
            scores = self._scratch.take("scores", part.stop - part.start, d_sae, dtype=dtype)
            torch.addmm(bias, centred[part].to(dtype), columns, out=scores)
            values[part], latents[part] = self.config.variant.select(scores, k)
            if dead is not None:
                dead.scores[part] = scores.index_select(1, dead.latents)
        if dtype != torch.float32:
            values = row_dots(centred, W_enc, latents).add_(b_enc[latents])
        return values.relu_(), latents, dead

    def _count_silence(self, cell: int, latents: Tensor, active: Tensor) -> None:
        silent = self.silent[cell]
        fired = torch.zeros(self.config.d_sae, dtype=torch.int32, device=self.device)
        fired.index_add_(0, latents.flatten(), active.flatten().int())
        silent.add_(len(latents)).masked_fill_(fired > 0, 0)
        self._dead[cell] = _Dead(silent >= self.config.dead_tokens)

    def _objective(self, seen: BatchCodes, d_values: Tensor, weight: float) -> tuple[Tensor, Tensor | None]:
        """The variant's objective and its weighted gradient for decoder rows; that for the values is added to `d_values`."""
        with torch.enable_grad():
            leaves = tuple(tensor.detach().requires_grad_() for tensor in (seen.values, seen.W_dec))
            objective = (
                self.config.variant.objective(replace(seen, values=leaves[0], W_dec=leaves[1])) if weight else None
            )
            if objective is None:
                return seen.values.new_zeros(()), None
            gradients = torch.autograd.grad(weight * objective, leaves, allow_unused=True, materialize_grads=True)
        d_values += gradients[0]
        return objective.detach(), gradients[1]

    def _matmul(self, a: Tensor, b: Tensor) -> Tensor:
        return (a.to(self._gemm_dtype) @ b.to(self._gemm_dtype)).float()

    def stop(self, cell: int) -> None:
        """Train a cell no further; its means are nan from now on."""
        self.stopped.add(cell)
        self.sums[cell] = math.nan

    def metrics(self) -> list[StepFigures]:
        """Means per cell over the steps since the last call, and the state now; waits until all steps are done.

        Returns:
            For each cell `loss`, `fvu`, `aux` and `objective` (without weights), `l0`, `grad_norm` (before clipping),
            `dead_in_training` (latents silent for the window), `lr` and `k` of the last step. The means of a stopped cell
            are nan.

        Raises:
            FaithfulError: no step was made since the last call.
        """
        if not self.summed:
            raise FaithfulError("There are no metrics without a training step; make one first.")
        means = (self.sums / self.summed).tolist()
        dead = (self.silent >= self.config.dead_tokens).sum(1).tolist()
        last = self.steps_done - 1
        lr, k = self.config.learning_rate(last), self.config.phase(last).k
        self.sums.zero_()
        self.sums[sorted(self.stopped)] = math.nan
        self.summed = 0
        found = [
            dict(zip(FIGURES, row, strict=True)) | {"dead_in_training": count, "lr": lr, "k": k}
            for row, count in zip(means, dead, strict=True)
        ]
        return cast(list[StepFigures], found)

    def state_dict(self) -> StackState:
        """Everything that decides the rest of the training; tensors are not copied."""
        return {
            "shape": self._shape(),
            "scale": self.scale,
            "made": self.steps_done,
            "summed": self.summed,
            "silent": self.silent,
            "fvu": self.fvu,
            "sums": self.sums,
            "weights": self.weights,
            "first": self.adam_m,
            "second": self.adam_v,
        }

    def load_state_dict(self, state: StackState) -> None:
        """Go on from `state_dict`.

        Raises:
            FaithfulError: it is the state of another stack.
        """
        if state["shape"] != self._shape():
            raise FaithfulError(
                f"The checkpoint is of {state['shape']}, this stack of {self._shape()}; delete the checkpoint to start anew."
            )
        self.scale, self.steps_done, self.summed = state["scale"], state["made"], state["summed"]
        for mine, saved in zip(_tensors(self.state_dict()), _tensors(state), strict=True):
            mine.copy_(saved)
        self._dead = [_Dead(silent >= self.config.dead_tokens) for silent in self.silent]

    def sae(self, cell: int) -> TopKSAE:
        """A copy of a cell as it stands, for raw activations: biases are divided by the scale, rows keep unit norm."""
        W_enc, b_enc, W_dec, b_dec = (self.weights[name][cell] for name in TENSORS)
        return TopKSAE(
            W_enc.T.contiguous(),
            b_enc / self.scale,
            W_dec.clone(),
            b_dec / self.scale,
            self.config.phase(max(0, self.steps_done - 1)).k,
        )

    def _shape(self) -> StackShape:
        c = self.config
        return {"d_in": c.d_in, "d_sae": c.d_sae, "k": c.k, "init_seeds": c.init_seeds, "steps": c.steps}


class _Dead:
    """Which latents of a cell are dead; on a GPU the count travels to the host while the step goes on."""

    def __init__(self, mask: Tensor) -> None:
        self.mask, self.event = mask, None
        count = mask.sum()
        if mask.is_cuda:
            self.count = torch.empty((), dtype=count.dtype, pin_memory=True).copy_(count, non_blocking=True)
            self.event = torch.cuda.Event()
            self.event.record()
        else:
            self.count = count

    def latents(self) -> Tensor | None:
        """Their indices in ascending order, None where there are none; on a GPU waits for their count."""
        if self.event is not None:
            self.event.synchronize()
        count = int(self.count)
        return self.mask.byte().sort(descending=True, stable=True).indices[:count] if count else None


def select_cells(state: StackState, init_seeds: tuple[int, ...]) -> StackState:
    """The part of a `Stack.state_dict` that belongs to some of its cells: cells do not depend on each other.

    Args:
        state: of a stack that holds these cells.
        init_seeds: theirs, in the order wanted.
    """
    places = [state["shape"]["init_seeds"].index(seed) for seed in init_seeds]
    weights, first, second = (
        {name: tensor[places] for name, tensor in group.items()}
        for group in (state["weights"], state["first"], state["second"])
    )
    return {
        **state,
        "shape": {**state["shape"], "init_seeds": init_seeds},
        "silent": state["silent"][places],
        "fvu": state["fvu"][places],
        "sums": state["sums"][places],
        "weights": weights,
        "first": first,
        "second": second,
    }


def _tensors(state: StackState) -> list[Tensor]:
    groups = (state["weights"], state["first"], state["second"])
    return [state["silent"], state["fvu"], state["sums"], *(group[name] for group in groups for name in TENSORS)]


def init_weights(seed: int, d_in: int, d_sae: int) -> Tensor:
    """Unit-norm rows [d_sae, d_in], float32, in random directions: where decoder and encoder start.

    A pure function of its arguments.
    """
    rows = np.random.default_rng([seed, d_in, d_sae]).standard_normal((d_sae, d_in), dtype=np.float32)
    tensor = torch.from_numpy(rows)
    normalise(tensor)
    return tensor

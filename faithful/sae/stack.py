"""S SAEs of one shape, trained in step on the same batches with exact sparse gradients."""

import math
from dataclasses import replace
from typing import NamedTuple, TypedDict, cast

import numpy as np
import torch
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.sae.adam import clip_and_step, normalise
from faithful.sae.autoencoder import TENSORS, Autoencoder
from faithful.sae.auxk import Dead, Revival, revive, spread
from faithful.sae.buffers import Scratch, stacked
from faithful.sae.codes import Codes, Gradients
from faithful.sae.config import StackConfig
from faithful.sae.encode import Encoder
from faithful.sae.nested import nested
from faithful.sae.threshold import ThresholdSAE
from faithful.sae.topk import TopKSAE
from faithful.sae.variant import Batch, Phase, State, Weights

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
    variant: str


class StackState(TypedDict):
    """Everything that decides the rest of a stack's training; `first` and `second` are Adam's moments, `states` what the
    variant remembers of each cell."""

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
    states: list[State]


class Extra(NamedTuple):
    """Gradients of an objective, None where it does not depend on them."""

    values: Tensor | None
    W_enc: Tensor | None
    W_dec: Tensor | None


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
        states: of each cell, what the variant remembers.

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
        self.states = [config.variant.begin(self._weights(cell)) for cell in range(cells)]
        self.silent = torch.zeros(cells, d_sae, dtype=torch.int64, device=self.device)
        self.fvu = torch.zeros(cells, device=self.device)
        self.sums = torch.zeros(cells, len(FIGURES), dtype=torch.float64, device=self.device)
        self.steps_done = self.summed = 0
        self.stopped: set[int] = set()
        self._dead = [Dead(self.silent[cell] > 0) for cell in range(cells)]
        self._steps = torch.zeros((), device=self.device)
        self._gemm_dtype: torch.dtype = getattr(torch, config.gemm_dtype or "float32")
        self._scratch = Scratch(self.device)
        self._encode = Encoder(config.variant, self._gemm_dtype, self._scratch)

    @torch.no_grad()
    def step(self, x: Tensor) -> None:
        """Train every cell that was not stopped on one batch.

        On a GPU the work is queued. Where AuxK is on, each cell first waits until the device has counted its dead latents
        in the step before: the host is at most one step ahead. Variants may wait for more, as their files show.

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
        config, variant, take = self.config, self.config.variant, self._scratch.take
        weights, state = self._weights(cell), self.states[cell]
        # Codes. Which latents are dead was counted in the step before: a GPU need not be waited for in the middle of
        # this one. Scores that are no code, or below 0, are codes of 0, which have no gradient: they are not `active`.
        centred = torch.sub(x, weights.b_dec, out=take("centred", *x.shape))
        gate = variant.gate(state)
        silent = self._dead[cell].latents(gate) if phase.auxk else None
        codes, dead = self._encode(centred, weights, phase.k, silent, gate)
        active = codes.values > 0
        self._count_silence(cell, codes, len(x))

        # Reconstruction and loss. `error` is x̂ − x, the sign that gradients want. `fvu` is kept as a running mean for
        # objectives.
        error = take("error", *x.shape)
        codes.error(weights.W_dec, centred, error)
        fvu = torch.linalg.vector_norm(error).square() / variance
        self.fvu[cell].lerp_(fvu, 1 - FVU_MEMORY if self.steps_done else 1.0)
        # AuxK and the variant need the error as it is: they come before it becomes the gradient of the loss, in place.
        aux_k = config.auxk_k or max(1, config.d_in // 2)
        revival = revive(dead, weights.W_dec, error, centred, aux_k, phase.auxk, self._matmul) if dead else None
        batch = Batch(
            codes, centred, error, variance, weights.W_enc, weights.b_enc, weights.W_dec, phase, self.steps_done,
            config.steps, config.init_seeds[cell], self.fvu[cell],
        )  # fmt: skip
        objective, extra = self._objective(batch, state)
        variant.observe(batch, state)

        gradients, main = self._gradients(batch, active, revival, extra, fvu)
        # The step: the gradient is clipped over all of the cell's weights, and decoder rows are brought back to length
        # 1.
        for name in variant.frozen:
            gradients[TENSORS.index(name)].zero_()
        norm = clip_and_step(
            list(weights),
            gradients,
            [self.adam_m[name][cell] for name in TENSORS],
            [self.adam_v[name][cell] for name in TENSORS],
            self._steps,
            lr=config.learning_rate(self.steps_done),
            betas=config.betas,
            eps=config.eps,
            clip=config.clip,
        )
        if variant.unit_rows and "W_dec" not in variant.frozen:
            normalise(weights.W_dec)
        variant.project(weights, state)
        aux = revival.loss if revival else torch.zeros_like(fvu)
        loss = main + phase.auxk * aux + phase.objective * objective
        self.sums[cell] += torch.stack([loss, fvu, aux, objective, active.sum() / len(x), norm])

    def _gradients(
        self, batch: Batch, active: Tensor, revival: Revival | None, extra: Extra, fvu: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Gradients of all weights, in the order of `TENSORS`, and the main loss; the error is overwritten.

        d loss/d x̂ = 2 (x̂ − x)/variance, times a code's decoder row. Scratch memory holds the gradients of the cell before.
        Where AuxK or the objective put something first, the rows that they do not touch are made 0 and the sums over codes
        are added; else those write every row themselves.
        """
        codes, W_enc, W_dec, take = batch.codes, batch.W_enc, batch.W_dec, self._scratch.take
        d_enc, d_dec = take("d_enc", *W_enc.shape), take("d_dec", *W_dec.shape)
        add = revival is not None or extra.W_enc is not None or extra.W_dec is not None
        if add:
            for place, rows in ((d_enc, extra.W_enc), (d_dec, extra.W_dec)):
                place.copy_(rows) if rows is not None else place.zero_()
        if revival is not None:
            d_enc.index_add_(0, revival.latents, revival.rows_enc)
            d_dec.index_add_(0, revival.latents, revival.rows_dec)
        is_atomic = W_dec.is_cuda and not self.config.deterministic
        into = Gradients(d_enc, d_dec, add, self.config.variant.unit_rows, is_atomic)
        borders = self.config.variant.prefixes(len(W_dec))
        if len(borders) == 1:
            batch.error.mul_(2 / batch.variance)
            d_values = codes.dots(batch.error, W_dec)
            d_values = d_values.add_(extra.values) if extra.values is not None else d_values
            d_b_enc = codes.backward(d_values.mul_(active), batch.x, batch.error, W_dec, into)
            d_out, main = batch.error, fvu
        else:
            d_b_enc, d_out, main = nested(batch, borders, extra.values, into)
        # The decoder bias is both added to x̂ and taken off the encoder's input.
        d_b_dec = d_out.sum(0) - d_b_enc @ W_enc
        if revival is not None:
            d_b_enc.index_add_(0, revival.latents, revival.b_enc)
        return [d_enc, d_b_enc, d_dec, d_b_dec], main

    def _weights(self, cell: int) -> Weights:
        return Weights(*(self.weights[name][cell] for name in TENSORS))

    def _count_silence(self, cell: int, codes: Codes, tokens: int) -> None:
        silent = self.silent[cell]
        silent.add_(tokens).masked_fill_(codes.counts(self.config.d_sae) > 0, 0)
        self._dead[cell] = Dead(silent >= self.config.dead_tokens)

    def _objective(self, batch: Batch, state: State) -> tuple[Tensor, Extra]:
        """The variant's objective, and its weighted gradients."""
        nothing, weight = batch.x.new_zeros(()), batch.phase.objective
        if not weight:
            return nothing, Extra(None, None, None)
        with torch.enable_grad():
            leaves = [t.detach().requires_grad_() for t in (batch.codes.values, batch.W_enc, batch.W_dec)]
            codes = batch.codes.of_values(leaves[0])
            seen = replace(batch, codes=codes, W_enc=leaves[1], W_dec=leaves[2])
            objective = self.config.variant.objective(seen, state)
            if objective is None:
                return nothing, Extra(None, None, None)
            gradients = torch.autograd.grad(weight * objective, leaves, allow_unused=True)
        return objective.detach(), Extra(*gradients)

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
            "states": self.states,
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
        self._dead = [Dead(silent >= self.config.dead_tokens) for silent in self.silent]

    def report(self, cell: int) -> dict[str, float]:
        """The variant's own figures of a cell as it stands."""
        return self.config.variant.report(self.states[cell])

    def sae(self, cell: int) -> Autoencoder:
        """A copy of a cell as it stands, for raw activations: biases and thresholds are divided by the scale.

        Latents that the variant's gate keeps out are 0 in encoder and decoder: they keep their numbers, cannot fire, and are
        like no other row to those who compare decoders.
        """
        config, variant = self.config, self.config.variant
        W_enc, b_enc, W_dec, b_dec = self._weights(cell)
        columns, biases, rows = W_enc.T.contiguous(), b_enc / self.scale, W_dec.clone()
        gate = variant.gate(self.states[cell])
        if gate is not None:
            columns, biases, rows = columns * gate, biases * gate, rows * gate[:, None]
        k = config.phase(max(0, self.steps_done - 1)).k
        if variant.budget == "token":
            return TopKSAE(columns, biases, rows, b_dec / self.scale, k)
        threshold = (variant.threshold(self.states[cell]).to(biases) / self.scale).expand(config.d_sae).clone()
        trained_as = {"training_architecture": variant.name, "training_architecture_details": {"k": config.k}}
        return ThresholdSAE(columns, biases, rows, b_dec / self.scale, threshold, trained_as)

    def _shape(self) -> StackShape:
        c = self.config
        shape = {"d_in": c.d_in, "d_sae": c.d_sae, "k": c.k, "init_seeds": c.init_seeds, "steps": c.steps}
        return cast(StackShape, shape | {"variant": c.variant.label})


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
        "states": [state["states"][place] for place in places],
    }


def _tensors(state: StackState) -> list[Tensor]:
    groups = (state["weights"], state["first"], state["second"])
    remembered = [one[name] for one in state["states"] for name in sorted(one)]
    return [
        state["silent"], state["fvu"], state["sums"], *remembered, *(group[name] for group in groups for name in TENSORS),
    ]  # fmt: skip


def init_weights(seed: int, d_in: int, d_sae: int) -> Tensor:
    """Unit-norm rows [d_sae, d_in], float32, in random directions: where decoder and encoder start.

    A pure function of its arguments.
    """
    rows = np.random.default_rng([seed, d_in, d_sae]).standard_normal((d_sae, d_in), dtype=np.float32)
    tensor = torch.from_numpy(rows)
    normalise(tensor)
    return tensor

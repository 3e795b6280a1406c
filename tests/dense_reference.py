"""A dense SAE trainer by autograd, one cell, no tricks: what the stack is checked and measured against."""

import torch
from torch import Tensor, nn

from faithful.sae.codes import DenseCodes
from faithful.sae.config import StackConfig
from faithful.sae.stack import init_weights
from faithful.sae.variant import Batch, Phase, Weights


class DenseTrainer:
    """Trains the cell `config.init_seeds[cell]` with dense [N, F] codes, autograd and `torch.optim.Adam`."""

    def __init__(
        self, config: StackConfig, mean: Tensor, scale: float, cell: int = 0, dtype: torch.dtype = torch.float32
    ) -> None:
        self.config, self.scale, self.dtype = config, scale, dtype
        self.seed = config.init_seeds[cell]
        rows = init_weights(self.seed, config.d_in, config.d_sae).to(dtype)
        self.W_enc = nn.Parameter(rows.T.clone())
        self.b_enc = nn.Parameter(torch.zeros(config.d_sae, dtype=dtype))
        self.W_dec = nn.Parameter(rows.clone())
        self.b_dec = nn.Parameter((mean * scale).to(dtype))
        self.parameters = [self.W_enc, self.b_enc, self.W_dec, self.b_dec]
        self.adam = torch.optim.Adam(self.parameters, lr=config.lr, betas=config.betas, eps=config.eps)
        self.silent = torch.zeros(config.d_sae, dtype=torch.int64)
        self.fvu = torch.zeros((), dtype=dtype)
        self.state = config.variant.begin(self.weights())
        self.made = 0

    def weights(self) -> Weights:
        """As a variant sees them: views that may be changed in place."""
        return Weights(self.W_enc.data.T, self.b_enc.data, self.W_dec.data, self.b_dec.data)

    def step(self, x: Tensor) -> dict[str, float]:
        """One step; returns the figures of this batch."""
        config, variant = self.config, self.config.variant
        phase = config.phase(self.made)
        x = x.to(self.dtype) * self.scale
        codes, scores = self.encode(x, phase.k)
        error = x - (codes @ self.W_dec + self.b_dec)
        variance = (x - x.mean(0)).square().sum()
        fvu = error.square().sum() / variance
        self.fvu = fvu.detach() if not self.made else self.fvu.lerp(fvu.detach(), 0.01)
        prefixes = [
            (x - (codes[:, :width] @ self.W_dec[:width] + self.b_dec)).square().sum() / variance
            for width in variant.prefixes(config.d_sae)
        ]
        aux = self.auxk(x, error.detach(), scores)
        batch = self.batch(codes, x, error, variance, phase)
        objective = variant.objective(batch, self.state) if phase.objective else None
        objective = x.new_zeros(()) if objective is None else objective
        loss = torch.stack(prefixes).mean() + phase.auxk * aux + phase.objective * objective
        self.adam.zero_grad()
        loss.backward()
        with torch.no_grad():
            variant.observe(self.batch(codes.detach(), x, error.detach(), variance, phase), self.state)
        norm = self.finish_gradients()
        self.adam.param_groups[0]["lr"] = config.learning_rate(self.made)
        self.adam.step()
        with torch.no_grad():
            if variant.unit_rows:
                self.W_dec /= self.W_dec.norm(dim=1, keepdim=True)
            variant.project(self.weights(), self.state)
        active = codes > 0
        self.silent = torch.where(active.any(0), 0, self.silent + len(x))
        self.made += 1
        l0 = active.sum(1).double().mean()
        figures = {"loss": loss, "fvu": fvu, "aux": aux, "objective": objective, "l0": l0, "grad_norm": norm}
        return {name: figure.item() for name, figure in figures.items()}

    def finish_gradients(self) -> Tensor:
        """Leave out what is not trained and what lies along unit rows, and clip; the norm before that."""
        variant = self.config.variant
        with torch.no_grad():
            if variant.unit_rows:
                gradient = self.W_dec.grad
                gradient -= (gradient * self.W_dec).sum(1, keepdim=True) * self.W_dec
            for name in variant.frozen:
                getattr(self, name).grad.zero_()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
        self.gradients = [parameter.grad.clone() for parameter in self.parameters]
        return norm

    def batch(self, codes: Tensor, x: Tensor, error: Tensor, variance: Tensor, phase: Phase) -> Batch:
        """What a variant sees; gradients reach codes and rows."""
        return Batch(
            DenseCodes(codes), (x - self.b_dec).detach(), -error.detach(), variance, self.W_enc.T, self.b_enc.detach(),
            self.W_dec, phase, self.made, self.config.steps, self.seed, self.fvu,
        )  # fmt: skip

    def encode(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Dense codes, and the pre-activations with the decoder bias held constant, for AuxK."""
        variant, gate = self.config.variant, self.config.variant.gate(self.state)
        scores = (x - self.b_dec) @ self.W_enc + self.b_enc
        gated = scores if gate is None else scores.masked_fill(~gate, -torch.inf)
        if variant.budget == "any":
            codes = gated.relu()
        elif variant.budget == "batch":
            best = gated.flatten().topk(k * len(x))
            codes = torch.zeros_like(gated).flatten().scatter(0, best.indices, best.values.relu()).view_as(gated)
        else:
            best = gated.topk(k, dim=1)
            codes = torch.zeros_like(scores).scatter(1, best.indices, best.values.relu())
        return codes, (x - self.b_dec.detach()) @ self.W_enc + self.b_enc

    def auxk(self, x: Tensor, residual: Tensor, scores: Tensor) -> Tensor:
        """Dead latents explain the residual; 0 where none is dead."""
        dead, gate = self.silent >= self.config.dead_tokens, self.config.variant.gate(self.state)
        dead = dead if gate is None else dead & gate
        count = min(self.config.auxk_k or max(1, self.config.d_in // 2), int(dead.sum()))
        if not count:
            return x.new_zeros(())
        best = scores.masked_fill(~dead, -torch.inf).topk(count, dim=1)
        codes = torch.zeros_like(scores).scatter(1, best.indices, best.values.relu())
        return (residual - codes @ self.W_dec).square().sum() / (residual - residual.mean(0)).square().sum()

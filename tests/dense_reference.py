"""A dense TopK SAE trainer by autograd, one cell, no tricks: what the stack is checked and measured against."""

import torch
from torch import Tensor, nn

from faithful.sae.config import StackConfig
from faithful.sae.stack import init_weights


class DenseTrainer:
    """Trains the cell `config.init_seeds[cell]` with dense [N, F] codes, autograd and `torch.optim.Adam`."""

    def __init__(
        self, config: StackConfig, mean: Tensor, scale: float, cell: int = 0, dtype: torch.dtype = torch.float32
    ) -> None:
        self.config, self.scale, self.dtype = config, scale, dtype
        rows = init_weights(config.init_seeds[cell], config.d_in, config.d_sae).to(dtype)
        self.W_enc = nn.Parameter(rows.T.clone())
        self.b_enc = nn.Parameter(torch.zeros(config.d_sae, dtype=dtype))
        self.W_dec = nn.Parameter(rows.clone())
        self.b_dec = nn.Parameter((mean * scale).to(dtype))
        self.parameters = [self.W_enc, self.b_enc, self.W_dec, self.b_dec]
        self.adam = torch.optim.Adam(self.parameters, lr=config.lr, betas=config.betas, eps=config.eps)
        self.silent = torch.zeros(config.d_sae, dtype=torch.int64)
        self.made = 0

    def step(self, x: Tensor) -> dict[str, float]:
        """One step; returns the figures of this batch."""
        config = self.config
        phase = config.phase(self.made)
        x = x.to(self.dtype) * self.scale
        codes, scores = self.encode(x, phase.k)
        error = x - (codes @ self.W_dec + self.b_dec)
        fvu = error.square().sum() / (x - x.mean(0)).square().sum()
        aux = self.auxk(x, error.detach(), scores)
        loss = fvu + phase.auxk * aux
        self.adam.zero_grad()
        loss.backward()
        with torch.no_grad():
            gradient = self.W_dec.grad
            gradient -= (gradient * self.W_dec).sum(1, keepdim=True) * self.W_dec
        norm = nn.utils.clip_grad_norm_(self.parameters, config.clip)
        self.gradients = [parameter.grad.clone() for parameter in self.parameters]
        self.adam.param_groups[0]["lr"] = config.learning_rate(self.made)
        self.adam.step()
        with torch.no_grad():
            self.W_dec /= self.W_dec.norm(dim=1, keepdim=True)
        active = codes > 0
        self.silent = torch.where(active.any(0), 0, self.silent + len(x))
        self.made += 1
        l0 = active.sum(1).double().mean()
        figures = {"loss": loss, "fvu": fvu, "aux": aux, "l0": l0, "grad_norm": norm}
        return {name: figure.item() for name, figure in figures.items()}

    def encode(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Dense codes, and the pre-activations with the decoder bias held constant, for AuxK."""
        scores = (x - self.b_dec) @ self.W_enc + self.b_enc
        best = scores.topk(k, dim=1)
        codes = torch.zeros_like(scores).scatter(1, best.indices, best.values.relu())
        return codes, (x - self.b_dec.detach()) @ self.W_enc + self.b_enc

    def auxk(self, x: Tensor, residual: Tensor, scores: Tensor) -> Tensor:
        """Dead latents explain the residual; 0 where none is dead."""
        dead = self.silent >= self.config.dead_tokens
        count = min(self.config.auxk_k or max(1, self.config.d_in // 2), int(dead.sum()))
        if not count:
            return x.new_zeros(())
        best = scores.masked_fill(~dead, -torch.inf).topk(count, dim=1)
        codes = torch.zeros_like(scores).scatter(1, best.indices, best.values.relu())
        return (residual - codes @ self.W_dec).square().sum() / (residual - residual.mean(0)).square().sum()

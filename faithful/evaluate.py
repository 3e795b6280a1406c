"""METRICS' SAE quality on held-out text, for all SAEs of a corpus from shared forward passes."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from faithful.activations import kept_activations
from faithful.corpus import Corpus
from faithful.hooks import Hook
from faithful.metrics import Quality, spliced_losses
from faithful.model import ModelSpec
from faithful.sae.topk import TopKSAE
from faithful.token_rows import TokenRows, plan_tokens
from faithful.truncated import TruncatedModel

EVAL_TOKENS = {"cpu": 20_000, "cuda": 200_000}
ROWS_AT_ONCE = 256
ROWS_PER_FORWARD = 32


class Evaluation(NamedTuple):
    """What an SAE does on held-out text.

    Attributes:
        figures: `Quality.result` with `spliced_losses`, None where a figure is not defined.
        density: float64 [d_sae], share of the activations that each latent fires on.
        hook_module: module whose output or input was read.
        weights_sha256: of the SAE that was measured.
    """

    figures: dict[str, Any]
    density: Tensor
    hook_module: str
    weights_sha256: str


class _Sparse:
    """A TopK SAE for `spliced_losses`, its codes kept sparse."""

    def __init__(self, sae: TopKSAE) -> None:
        self.sae = sae

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.sae.encode_sparse(x)

    def decode(self, codes: tuple[Tensor, Tensor]) -> Tensor:
        return self.sae.decode_sparse(*codes)


@torch.no_grad()
def evaluate(
    model: Any,
    spec: ModelSpec,
    hook: Hook,
    corpus: Path,
    saes: Sequence[TopKSAE],
    context: int,
    layout: str = "aligned",
    tokens: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Evaluation]:
    """Figures of each SAE on a corpus' held-out split, its first documents.

    Args:
        model: the whole causal LM on its device.
        spec: what it is.
        hook: where the SAEs were trained.
        corpus: folder.
        saes: those to measure.
        context, layout: as in training.
        tokens: held-out tokens at most; None is 20k on a CPU, 200k on a GPU.
        report: told the contexts done and their number.

    Returns:
        One `Evaluation` per SAE.

    Raises:
        FaithfulError: no held-out text.
    """
    device = next(model.parameters()).device
    opened = Corpus(corpus)
    limit = min(tokens or EVAL_TOKENS[device.type], plan_tokens(opened, context, layout, "test").usable)
    held_out = TokenRows(opened, spec, context, layout, "test", limit)
    truncated = TruncatedModel(model, hook)
    contexts = held_out.ordered(None)
    saes = [sae.to(device=device) for sae in saes]
    qualities = [Quality(truncated.d_in, sae.d_sae, device) for sae in saes]
    count = held_out.count
    rows = []
    for first in range(0, count, ROWS_AT_ONCE):
        chunk = contexts.rows(first, min(first + ROWS_AT_ONCE, count))
        rows += chunk
        for _, activations in kept_activations(truncated, chunk, held_out.ordinary, ROWS_PER_FORWARD):
            h = activations.float()
            for sae, quality in zip(saes, qualities, strict=True):
                codes = sae.encode_sparse(h)
                quality.update(h, sae.decode_sparse(*codes), codes)
        report(len(rows), 2 * count)
    losses = spliced_losses(model, hook, [_Sparse(sae) for sae in saes], rows, qualities[0].mean, held_out.ordinary)
    report(2 * count, 2 * count)
    return [
        Evaluation(_finite(quality.result() | loss), quality.density, truncated.path, sae.sha256())
        for sae, quality, loss in zip(saes, qualities, losses, strict=True)
    ]


def _finite(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures with None for what is not defined (ce_recovered where zeroing changes nothing)."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}

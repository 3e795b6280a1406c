"""What SAEs do on held-out text (docs/metrics.md, "Training"), for all SAEs of a corpus from shared forward passes."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from faithful.activations.quality import Quality, splice_contexts
from faithful.activations.stream import kept_activations
from faithful.base.errors import FaithfulError
from faithful.base.progress import Tally, uncounted
from faithful.formats.record import Figures
from faithful.hooks.hook import Hook
from faithful.hooks.truncated import TruncatedModel
from faithful.models.spec import ModelSpec
from faithful.sae.autoencoder import Autoencoder
from faithful.store.corpus import Corpus
from faithful.store.token_rows import TokenRows, plan_tokens

EVAL_TOKENS = {"cpu": 20_000, "cuda": 200_000}
ROWS_AT_ONCE = 256
ROWS_PER_FORWARD = 32


class Evaluation(NamedTuple):
    """What an SAE does on held-out text.

    Attributes:
        figures: `Quality.result` with `Spliced.losses`, None where a figure is not defined.
        density: float64 [d_sae], share of the activations that each latent fires on.
        hook_module: module whose output or input was read.
        weights_sha256: of the SAE that was measured.
    """

    figures: Figures
    density: Tensor
    hook_module: str
    weights_sha256: str


class _Sparse:
    """An SAE for `splice_contexts`, its codes kept sparse."""

    def __init__(self, sae: Autoencoder) -> None:
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
    saes: Sequence[Autoencoder],
    context: int,
    layout: str = "aligned",
    tokens: int | None = None,
    report: Tally = uncounted,
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
        FaithfulError: see `held_out`.
    """
    device = next(model.parameters()).device
    text = held_out(Corpus(corpus), spec, context, layout, device.type, tokens)
    truncated = TruncatedModel(model, hook)
    contexts = text.ordered(None)
    saes = [sae.to(device=device) for sae in saes]
    qualities = [Quality(truncated.d_in, sae.d_sae, device) for sae in saes]
    count = text.count
    rows = []
    for first in range(0, count, ROWS_AT_ONCE):
        chunk = contexts.rows(first, min(first + ROWS_AT_ONCE, count))
        rows += chunk
        for _, activations in kept_activations(truncated, chunk, text.ordinary, ROWS_PER_FORWARD):
            h = activations.float()
            for sae, quality in zip(saes, qualities, strict=True):
                codes = sae.encode_sparse(h)
                quality.update(h, sae.decode_sparse(*codes), codes)
        report(len(rows), 2 * count)
    spliced = splice_contexts(
        model, hook, [_Sparse(sae) for sae in saes], rows, qualities[0].mean, text.ordinary,
        told=lambda done: report(count + done, 2 * count),
    )  # fmt: skip
    return [
        Evaluation(_finite(quality.result() | with_sae.losses), quality.density, truncated.path, sae.sha256())
        for sae, quality, with_sae in zip(saes, qualities, spliced, strict=True)
    ]


def default_eval_tokens(device: str) -> int:
    """Held-out tokens that are evaluated on where their number is not stated."""
    return EVAL_TOKENS[device.partition(":")[0]]


def held_out(
    corpus: Corpus, spec: ModelSpec, context: int, layout: str, device: str, tokens: int | None = None
) -> TokenRows:
    """The part of a corpus' held-out split that is evaluated on: its first documents.

    Args:
        corpus: an opened corpus.
        spec: the model that will read it.
        context, layout: as in training.
        device: decides how much, where `tokens` is None.
        tokens: at most.

    Raises:
        FaithfulError: no held-out text, or none with a token that is no special one and has a successor in its context.
    """
    most = tokens or default_eval_tokens(device)
    text = TokenRows(
        corpus, spec, context, layout, "test", min(most, plan_tokens(corpus, context, layout, "test", spec).usable)
    )
    contexts = text.ordered(None)
    if not any(text.ordinary[contexts.rows(at, at + 1)[0][:-1]].any() for at in range(text.count)):
        raise FaithfulError(
            f"The held-out text of {corpus.folder} gives {layout} contexts of {context} tokens nothing to evaluate on; use a"
            " smaller --context, or make the corpus again with more --held-out."
        )
    return text


def _finite(figures: Mapping[str, float]) -> Figures:
    """Figures with None for what is not defined (ce_recovered where zeroing changes nothing)."""
    return cast(Figures, {name: value if math.isfinite(value) else None for name, value in figures.items()})

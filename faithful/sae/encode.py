"""Encoding in training: the codes of a batch, and what its dead latents say, by one dense product."""

from typing import NamedTuple

import torch
from torch import Tensor

from faithful.sae.auxk import DeadLatents
from faithful.sae.buffers import SCORES, Scratch, chunks
from faithful.sae.codes import Codes, DenseCodes, SparseCodes
from faithful.sae.sparse import GROUP, row_dots
from faithful.sae.variant import Variant, Weights

RARE = 32
"""Where fewer than one in so many codes fire, a list of them is made: four sparse products then cost less than dense ones."""


class Encoder(NamedTuple):
    """How a stack encodes.

    Attributes:
        variant: decides what may fire.
        dtype: of the dense product; where codes are a list, their values are computed in float32 whatever it is.
        scratch: memory.
    """

    variant: Variant
    dtype: torch.dtype
    scratch: Scratch

    def __call__(
        self, centred: Tensor, weights: Weights, k: int, silent: Tensor | None, gate: Tensor | None
    ) -> tuple[Codes, DeadLatents | None]:
        """The codes of `centred` [N, d], and the scores of the dead latents.

        Args:
            centred: the encoder's input.
            weights: of the cell.
            k: latents per token, where the variant has such a budget.
            silent: [D], int64, latents that are dead, or None.
            gate: [F], bool, latents that take part, or None.
        """
        rows, d_sae = len(centred), len(weights.W_enc)
        dtype = torch.float32 if self.variant.budget == "any" else self.dtype
        columns, bias = weights.W_enc.to(dtype).T, weights.b_enc.to(dtype)
        dead = DeadLatents(silent, self.scratch.take("dead", rows, len(silent))) if silent is not None else None
        whole = self.variant.budget != "token"
        found = []
        parts = [slice(0, rows)] if whole else chunks(rows, SCORES // d_sae, centred.device)
        for part in parts:
            scores = self.scratch.take("scores", part.stop - part.start, d_sae, dtype=dtype)
            torch.addmm(bias, centred[part].to(dtype), columns, out=scores)
            if dead is not None:
                dead.scores[part] = scores.index_select(1, dead.latents)
            if gate is not None:
                scores.masked_fill_(~gate, -torch.inf)
            if not whole:
                found.append(self.variant.select(scores, k))
        if self.variant.budget == "any":
            return _all_above_nothing(scores), dead
        if whole:
            values, latents, starts = _listed(scores, _best_of_batch(scores, k * rows))
        else:
            values, latents = (torch.cat(pieces).flatten() for pieces in zip(*found, strict=True))
            starts = torch.arange(0, len(latents) + 1, k, device=latents.device)
        if dtype != torch.float32:
            values = row_dots(centred, weights.W_enc, latents, starts).add_(weights.b_enc[latents])
            if gate is not None:  # where fewer are open than may fire, others were chosen
                values.masked_fill_(~gate[latents], 0)
        return SparseCodes(values.relu_(), latents, starts), dead


def _all_above_nothing(scores: Tensor) -> Codes:
    """Every score above 0; on a GPU, which would have to be waited for to count them, as a matrix."""
    scores.relu_()
    if scores.is_cuda or int(torch.count_nonzero(scores)) * RARE > scores.numel():
        return DenseCodes(scores)
    return SparseCodes(*_listed(scores, scores.flatten().nonzero().squeeze(1)))


def _best_of_batch(scores: Tensor, count: int) -> Tensor:
    """Places of the `count` largest entries of a matrix, flattened, ascending.

    The `count`-th largest maximum of groups is at most the `count`-th largest entry: what is below it need not be ranked.
    A GPU would have to be waited for to know how much that leaves, and ranks all.
    """
    flat = scores.flatten()
    grouped = len(flat) // GROUP * GROUP
    if grouped >= GROUP * count and not flat.is_cuda:
        maxima = flat[:grouped].unflatten(0, (GROUP, -1)).amax(0)
        places = (flat >= maxima.topk(count, sorted=False).values.min()).nonzero().squeeze(1)
        # Scores that are no numbers are above nothing, and may leave too few.
        if len(places) >= count:
            return places[flat[places].topk(count, sorted=False).indices.sort().values]
    return flat.topk(count, sorted=False).indices.sort().values


def _listed(scores: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Entries of a matrix at ascending places: values, columns, and where each row's begin."""
    d_sae = scores.shape[1]
    rows = torch.div(places, d_sae, rounding_mode="floor")
    starts = torch.searchsorted(rows, torch.arange(len(scores) + 1, device=scores.device))
    return scores.flatten()[places], places - rows * d_sae, starts

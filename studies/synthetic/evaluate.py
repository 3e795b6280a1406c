"""One SAE on fresh tokens of the truth that it was trained on, and the truth itself in its place."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from faithful.sae.autoencoder import Autoencoder
from studies.statistics.records import Numbers
from studies.synthetic.firing import absorption, detection
from studies.synthetic.recovery import recovered, unit
from studies.synthetic.truths import Truth

PIECE = 4096


class Evaluated(NamedTuple):
    """What an SAE is on a truth.

    Attributes:
        figures: by name, see docs/metrics.md.
        rows: [A, d], float32, unit norm, decoder rows of the latents that fire.
    """

    figures: Numbers
    rows: Tensor


@torch.no_grad()
def evaluate(sae: Autoencoder, truth: Truth, features: Tensor) -> Evaluated:
    """Figures of an SAE on tokens [N, M] of its truth.

    `fvu` is Σ‖x − x̂‖² / Σ‖x − mean(x)‖², `l0` how many latents fire at once, `dead` how many of all never did here.
    """
    x = features @ truth.vectors
    coded = ((codes := sae.encode(part), sae.decode(codes)) for part in x.split(PIECE))
    return _evaluated(coded, sae.W_dec, truth, features, x)


@torch.no_grad()
def evaluate_oracle(truth: Truth, features: Tensor) -> Evaluated:
    """The same figures of the truth in the place of an SAE: its vectors are the rows, its features [N, M] the codes."""
    x = features @ truth.vectors
    coded = zip(features.split(PIECE), x.split(PIECE), strict=True)
    return _evaluated(coded, truth.vectors, truth, features, x)


def _evaluated(
    coded: Iterable[tuple[Tensor, Tensor]], decoder: Tensor, truth: Truth, features: Tensor, x: Tensor
) -> Evaluated:
    """Figures of codes and reconstructions, piece by piece of the activations x, and of decoder rows."""
    true, fires, missed = features > 0, torch.empty(len(x), len(decoder), dtype=torch.bool), 0.0
    for place, (codes, rebuilt) in enumerate(coded):
        part = slice(place * PIECE, (place + 1) * PIECE)
        fires[part] = codes > 0
        missed += float((rebuilt - x[part]).double().square().sum())
    alive = fires.any(0)
    fires, rows = fires[:, alive], unit(decoder[alive])
    figures: Numbers = {
        "fvu": missed / float((x - x.mean(0)).double().square().sum()),
        "l0": float(fires.sum(1).double().mean()),
        "dead": int((~alive).sum()),
        "true_l0": float(true.sum(1).double().mean()),
    }
    figures |= recovered(rows, truth) | detection(fires, true, rows, truth) | absorption(fires, true, rows, truth)
    return Evaluated(figures, rows)

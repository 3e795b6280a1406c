"""One SAE on fresh tokens of the truth that it was trained on."""

from typing import NamedTuple

import torch
from torch import Tensor

from faithful.sae.autoencoder import Autoencoder
from studies.statistics.records import Measures
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

    figures: Measures
    rows: Tensor


@torch.no_grad()
def evaluate(sae: Autoencoder, truth: Truth, features: Tensor) -> Evaluated:
    """Figures of an SAE on tokens [N, M] of its truth.

    `fvu` is Σ‖x − x̂‖² / Σ‖x − mean(x)‖², `l0` how many latents fire at once, `dead` how many of all never did here.
    """
    x = features @ truth.vectors
    fires, missed = torch.empty(len(x), sae.d_sae, dtype=torch.bool), 0.0
    for start in range(0, len(x), PIECE):
        part = slice(start, start + PIECE)
        codes = sae.encode(x[part])
        fires[part] = codes > 0
        missed += float((sae.decode(codes) - x[part]).double().square().sum())
    alive = fires.any(0)
    fires, rows, true = fires[:, alive], unit(sae.W_dec[alive]), features > 0
    figures: Measures = {
        "fvu": missed / float((x - x.mean(0)).double().square().sum()),
        "l0": float(fires.sum(1).double().mean()),
        "dead": int((~alive).sum()),
        "true_l0": float(true.sum(1).double().mean()),
    }
    figures |= recovered(rows, truth) | detection(fires, true, rows, truth) | absorption(fires, true, rows, truth)
    return Evaluated(figures, rows)

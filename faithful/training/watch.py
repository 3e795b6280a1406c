"""How SAEs do on held-out text while they train: `--eval-every`."""

from pathlib import Path
from typing import Any, TypedDict

import torch

from faithful.activations.quality import Quality
from faithful.activations.stream import kept_activations
from faithful.hooks.truncated import TruncatedModel
from faithful.sae.autoencoder import Autoencoder
from faithful.store.corpus import Corpus
from faithful.training.config import Settings
from faithful.training.evaluate import ROWS_PER_FORWARD, held_out

WATCHED = {"cpu": 4_096, "cuda": 16_384}
"""Held-out tokens whose activations are kept on the device: 38 MB of 2,304 dimensions on a CPU."""


class Watched(TypedDict, total=False):
    """Figures of an SAE on the held-out text that is watched (docs/metrics.md, "While training")."""

    held_out_fvu: float
    held_out_l0: float
    held_out_never_fired: int


class HeldOutText:
    """The first held-out contexts of a corpus, read by the model once.

    Args:
        model: the causal LM on its device.
        settings: of the training.
        corpus: folder.
        every: stored tokens of the training between two measurements.

    Raises:
        FaithfulError: see `held_out`.
    """

    def __init__(self, model: Any, settings: Settings, corpus: Path, every: int) -> None:
        truncated, self.every = TruncatedModel(model, settings.hook), every
        device = truncated.device.type
        text = held_out(
            Corpus(corpus), settings.model, settings.context, settings.layout, device, WATCHED[device]
        )  # fmt: skip
        rows = text.ordered(None).rows(0, text.count)
        kept = [found for _, found in kept_activations(truncated, rows, text.ordinary, ROWS_PER_FORWARD)]
        self.activations = torch.cat(kept)

    def is_due(self, before: int, now: int) -> bool:
        """Whether a multiple of `every` lies between two counts of stored tokens, the second among them."""
        return now // self.every > before // self.every

    @torch.no_grad()
    def measure(self, sae: Autoencoder) -> Watched:
        """The figures of an SAE as it stands, for raw activations."""
        h = self.activations.float()
        sae = sae.to(device=h.device)
        quality = Quality(sae.d_in, sae.d_sae, h.device)
        codes = sae.encode_sparse(h)
        quality.update(h, sae.decode_sparse(*codes), codes)
        found = quality.result()
        return {
            "held_out_fvu": found["fvu"],
            "held_out_l0": found["l0"],
            "held_out_never_fired": int(found["never_fired"]),
        }

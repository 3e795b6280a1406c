"""What single latents do: how often they fire, how much of the text they explain, how far they moved from their start."""

from dataclasses import dataclass

import torch
from torch import Tensor

from faithful.sae.autoencoder import Autoencoder
from faithful.sae.sparse import decode, row_dots
from faithful.sae.stack import init_weights
from faithful.store.saes import TrainedSae
from studies.common.controls import has_untrained

ROWS_AT_ONCE = 1024


@dataclass
class _Sums:
    """Sums over tokens: of one SAE's latents [d_sae], and of the activations."""

    centre: Tensor
    products: Tensor
    codes: Tensor
    means: Tensor
    activations: Tensor
    squares: float = 0.0
    tokens: int = 0


class Explained:
    """How much of the variance of the text's activations each latent explains, for SAEs that are told one after another.

    With u_i = f_i w_i and û their sum, latent i explains 2 Cov(u_i, h) − Cov(u_i, û): its Shapley value where a coalition S
    of latents is worth Var(h) − Var(h − Σ_S u), the variance that it explains with the best bias. The values sum to what all
    latents explain together. Cov and Var are summed over dimensions.
    """

    def __init__(self) -> None:
        self._sums: dict[int, _Sums] = {}

    def __call__(self, place: int, sae: Autoencoder, h: Tensor, values: Tensor, latents: Tensor) -> None:
        """Add activations [n, d_in] and their codes [n, k'] of the SAE at a place, a part of them at a time."""
        for part in zip(h.split(ROWS_AT_ONCE), values.split(ROWS_AT_ONCE), latents.split(ROWS_AT_ONCE), strict=True):
            self._add(place, sae, *part)

    def _add(self, place: int, sae: Autoencoder, h: Tensor, values: Tensor, latents: Tensor) -> None:
        decoder, zeros = sae.W_dec.float(), torch.zeros(sae.d_sae, dtype=torch.float64, device=h.device)
        sums = self._sums.get(place)
        if sums is None:
            wide = torch.zeros(h.shape[1], dtype=torch.float64, device=h.device)
            sums = self._sums[place] = _Sums(h.mean(0), zeros.clone(), zeros.clone(), zeros, wide)
        x = h - sums.centre
        g = 2 * x - decode(values.float(), latents, decoder)
        fired = values > 0
        starts = torch.nn.functional.pad(fired.sum(1).cumsum(0), (1, 0))
        f, which = values[fired].double(), latents[fired]
        sums.products.index_add_(0, which, f * row_dots(g, decoder, which, starts).double())
        sums.codes.index_add_(0, which, f)
        sums.means += (decoder @ g.sum(0)).double()
        sums.activations += x.double().sum(0)
        sums.squares += float(x.double().square().sum())
        sums.tokens += len(x)

    def of(self, place: int) -> Tensor:
        """Shares of the activations' variance, float64 [d_sae] on the CPU: what the latents of the SAE at a place explain."""
        sums = self._sums[place]
        variance = sums.squares - float(sums.activations.square().sum()) / sums.tokens
        return ((sums.products - sums.codes * sums.means / sums.tokens) / variance).cpu()


def from_start(sae: TrainedSae) -> dict[str, Tensor] | None:
    """Cosines of an SAE's decoder and encoder rows with the row that both began as, float32 [d_sae]; None where it is not
    known how it began. Rows of 0, of latents that a gate has shut, have nan."""
    if not has_untrained(sae):
        return None
    begun = init_weights(sae.record["identity"]["init_seed"], sae.d_in, sae.d_sae)
    return {
        "decoder": _cosines(sae.tensor("W_dec"), begun),
        "encoder": _cosines(sae.tensor("W_enc").T, begun),
    }


def _cosines(rows: Tensor, others: Tensor) -> Tensor:
    """Cosines of each row with the other's, a part of them at a time."""
    parts = zip(rows.split(ROWS_AT_ONCE), others.split(ROWS_AT_ONCE), strict=True)
    cosines = torch.cat([torch.nn.functional.cosine_similarity(one, other, dim=1) for one, other in parts])
    return cosines.masked_fill(~rows.any(1), torch.nan)

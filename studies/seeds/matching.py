"""How alike two SAEs are, by their directions and their codes on the panel (docs/metrics.md, "Study seeds")."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from faithful.sae.sparse import decode
from studies.common.codes import Codes
from studies.seeds.assignment import Assignment, Rows, assign_read, threads_for
from studies.seeds.summary import PairFigures
from studies.statistics.records import Numbers

THRESHOLD = 0.7
CURVE = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
VARIANCE_KEPT = 0.9
PIECE, PAIRS_PER_PIECE, MOST_TOKENS = 4096, 2048, 2**16
NARROW = 2048
ROUNDING = 1e-12


@dataclass(frozen=True)
class Directions:
    """Decoder and encoder rows of an SAE, read when they are used, so that few are in memory.

    Attributes:
        decoder: float32 [d_sae, d_in], any length, on the device that makes the products.
        encoder: the same for the encoder; None where it is not looked at.
    """

    decoder: Rows
    encoder: Rows | None = None


class Partners(NamedTuple):
    """Latents matched by their decoder rows.

    Attributes:
        rows, columns: int64 [pairs], latents of the first SAE, ascending, and the partner of each.
        cosines: float64 [pairs].
    """

    rows: np.ndarray
    columns: np.ndarray
    cosines: np.ndarray

    @property
    def shared(self) -> np.ndarray:
        """Bool [pairs], whose cosine is above 0.7."""
        return self.cosines > THRESHOLD


@dataclass(frozen=True)
class Match:
    """Two SAEs matched by their decoders.

    Attributes:
        assignment: partners, by decoder.
        encoder_cosines: float64 [pairs], cosines of the partners' encoder rows; None without encoders.
        encoders: the assignment of the encoders by themselves.
    """

    assignment: Assignment
    encoder_cosines: np.ndarray | None
    encoders: Assignment | None

    @property
    def partners(self) -> Partners:
        """Who is matched with whom, by decoder."""
        return Partners(self.assignment.rows, self.assignment.columns, self.assignment.cosines)

    def figures(self) -> PairFigures:
        """`shared_feature_ratio`, `sfr_curve` (a list, at `CURVE`), `pw_mcc`, `top1_ratio`; with encoders `sfr_encoder` and
        `sfr_both`."""
        cosines, shared = self.assignment.cosines, self.partners.shared
        found: PairFigures = {
            "shared_feature_ratio": float(shared.mean()),
            "sfr_curve": [float((cosines > at).mean()) for at in CURVE],
            "pw_mcc": float(cosines.mean()),
            "top1_ratio": float(
                (
                    (self.assignment.best_of_rows > THRESHOLD).mean()
                    + (self.assignment.best_of_columns > THRESHOLD).mean()
                )
                / 2
            ),
        }
        if self.encoders is not None and self.encoder_cosines is not None:
            found["sfr_encoder"] = float((self.encoders.cosines > THRESHOLD).mean())
            found["sfr_both"] = float((shared & (self.encoder_cosines > THRESHOLD)).mean())
        return found


def numbers_of(figures: PairFigures) -> Numbers:
    """Those that are single numbers."""
    return {name: value for name, value in figures.items() if not isinstance(value, list)}


def curve_of(figures: PairFigures) -> list[float]:
    """`sfr_curve`, the shared feature ratio at the thresholds of `CURVE`."""
    curve = figures["sfr_curve"]
    assert isinstance(curve, list)
    return curve


def match(one: Directions, other: Directions) -> Match:
    """Match two SAEs; widths may differ, the smaller one's latents all get a partner.

    Args:
        one, other: their directions, of one d_in.

    Raises:
        FaithfulError: see `assign`.
    """
    found = assign_read(one.decoder, other.decoder)
    encoders = cosines = None
    if one.encoder is not None and other.encoder is not None:
        encoders = assign_read(one.encoder, other.encoder)
        cosines = _cosines(one.encoder(), other.encoder(), found)
    return Match(found, cosines, encoders)


@dataclass(frozen=True)
class OnPanel:
    """What an SAE does on the panel, and what is made of its codes once, however many others it is matched with.

    Attributes:
        codes: on all tokens.
        density: share of them on which each latent fires, float64 [d_sae].
        covariance: of the codes, float64 [d_sae, d_sae], on at most `MOST_TOKENS` tokens; None where the SAE is so wide that
            this takes more than the sums of some latents, token by token.
    """

    codes: Codes
    density: np.ndarray
    covariance: Tensor | None

    @classmethod
    def of(cls, codes: Codes) -> "OnPanel":
        """That of codes."""
        if codes.d_sae > NARROW:
            return cls(codes, codes.density, None)
        matrix = _columns(_some(codes))
        mean = np.asarray(matrix.mean(0)).ravel()
        covariance = (matrix.T @ matrix).toarray() / matrix.shape[0] - np.outer(mean, mean)
        return cls(codes, codes.density, torch.from_numpy(covariance))

    def covariances(self, rows: Rows, choices: Sequence[np.ndarray]) -> list[Tensor]:
        """Covariance of Σ f_i w_i over each choice of latents, bool [d_sae], with the decoder that `rows` reads; float64
        [d_in, d_in] on its device."""
        decoder = rows()
        if self.covariance is None:
            codes = _some(self.codes)
            return [_token_by_token(codes, decoder, chosen) for chosen in choices]
        found = []
        for chosen in map(torch.from_numpy, choices):
            w = decoder[chosen].double()
            found.append(w.T @ (self.covariance[chosen][:, chosen].to(w.device) @ w))
        return found


def _some(codes: Codes) -> Codes:
    """Codes on at most `MOST_TOKENS` tokens, evenly taken."""
    every = -(-len(codes.values) // MOST_TOKENS)
    return replace(codes, values=codes.values[::every], latents=codes.latents[::every])


def assign_alive(decoders: tuple[Rows, Rows], densities: tuple[np.ndarray, np.ndarray]) -> Assignment | None:
    """The assignment among latents that fire on the panel; None where none does.

    Args:
        decoders: of both, see `Directions`.
        densities: share of panel tokens on which each latent fires, float64 [d_sae], of both.
    """
    a, b = (torch.from_numpy(np.flatnonzero(density > 0)) for density in densities)
    return assign_read(lambda: decoders[0]()[a], lambda: decoders[1]()[b]) if len(a) and len(b) else None


def density_figures(
    found: Partners, alive: Assignment | None, densities: tuple[np.ndarray, np.ndarray]
) -> dict[str, float | None]:
    """`sfr_alive` and `sfr_weighted`, None where nothing fires.

    Args:
        found: the pair, matched.
        alive, densities: see `assign_alive`.
    """
    weights = (densities[0][found.rows] + densities[1][found.columns]) / 2
    total = weights.sum()
    return {
        "sfr_alive": None if alive is None else float((alive.cosines > THRESHOLD).mean()),
        "sfr_weighted": float((weights * found.shared).sum() / total) if total else None,
    }


def panel_figures(
    found: Partners, alive: Assignment | None, seen: tuple[OnPanel, OnPanel], decoders: tuple[Rows, Rows], seed: int
) -> dict[str, float | None]:
    """What the pair does on the panel.

    Args:
        found: the pair, matched.
        alive: see `assign_alive`.
        seen: of both, on the same tokens.
        decoders: of both, see `Directions`.
        seed: of the latents drawn for `unmatched_random`.

    Returns:
        `sfr_alive` and `sfr_weighted`: see `density_figures`.
        `activation_correlation`: mean Pearson r of matched latents' activations, over pairs in which both vary.
        `unmatched_explained`: of u = Σ f_i w_i over the latents of the first that are not shared, the share of its
        variance inside the subspace that holds 90 % of the variance of the second's u. `unmatched_random`: the same
        subspace made of equally many latents of the second, drawn at random. The two are means over both directions, None
        where all latents are shared, and of at most 65,536 tokens, evenly taken from the panel's.
    """
    rows, columns, _ = found
    dense = [_columns(side.codes) for side in seen]
    r = _correlations(dense[0], dense[1], rows, columns)
    result = density_figures(found, alive, (seen[0].density, seen[1].density))
    result["activation_correlation"] = float(np.nanmean(r)) if np.isfinite(r).any() else None
    rng = np.random.default_rng(seed)
    left = [np.ones(side.codes.d_sae, bool) for side in seen]
    left[0][rows[found.shared]] = False
    left[1][columns[found.shared]] = False
    explained: list[float | None] = []
    random: list[float | None] = []
    if left[0].any() and left[1].any():
        drawn = [np.zeros(len(one), bool) for one in left]
        for some, one in zip(drawn, left, strict=True):
            some[rng.choice(len(one), int(one.sum()), replace=False)] = True
        sides = zip(seen, decoders, left, drawn, strict=True)
        unmatched, others = zip(*(side.covariances(read, some) for side, read, *some in sides), strict=True)
        with threads_for(unmatched[0].numel()):  # eigenvectors of small matrices depend on how many threads find them
            explained = [_share(unmatched[a], unmatched[1 - a]) for a in (0, 1)]
            random = [_share(unmatched[a], others[1 - a]) for a in (0, 1)]
    for name, values in (("unmatched_explained", explained), ("unmatched_random", random)):
        known = [value for value in values if value is not None]
        result[name] = float(np.mean(known)) if known else None
    return result


def random_rows(d_sae: int, d_in: int, generator: torch.Generator) -> Tensor:
    """Rows of `floor_random`: unit Gaussian, float32 [d_sae, d_in]."""
    return torch.nn.functional.normalize(torch.randn(d_sae, d_in, generator=generator), dim=1)


def covariance_rows(d_sae: int, root: Tensor, generator: torch.Generator) -> Tensor:
    """Rows of `floor_covariance`: drawn from N(0, root rootᵀ) and normalised, float32 [d_sae, d_in]."""
    return torch.nn.functional.normalize(torch.randn(d_sae, len(root), generator=generator) @ root.T, dim=1)


def _cosines(one: Tensor, other: Tensor, found: Assignment) -> np.ndarray:
    """Cosines of partners, float64 [pairs], computed in float64."""
    cosines = []
    for first in range(0, len(found.rows), PAIRS_PER_PIECE):
        part = slice(first, first + PAIRS_PER_PIECE)
        sides = one[found.rows[part]].double(), other[found.columns[part]].double()
        unit = [torch.nn.functional.normalize(rows, dim=1) for rows in sides]
        cosines.append((unit[0] * unit[1]).sum(1).cpu())
    return torch.cat(cosines).numpy()


def _columns(codes: Codes) -> Any:
    """Codes as a sparse matrix [tokens, d_sae], float64."""
    from scipy.sparse import csc_matrix

    tokens, width = codes.values.shape
    places = np.repeat(np.arange(tokens), width)
    values, latents = codes.values.numpy().ravel().astype(np.float64), codes.latents.numpy().ravel()
    kept = values > 0
    return csc_matrix((values[kept], (places[kept], latents[kept])), shape=(tokens, codes.d_sae))


def _correlations(one: Any, other: Any, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Pearson r of column rows[i] of the one with column columns[i] of the other; nan where one does not vary."""
    a, b = one[:, rows], other[:, columns]
    tokens = a.shape[0]
    products = np.asarray(a.multiply(b).sum(0)).ravel() / tokens
    means = [np.asarray(x.sum(0)).ravel() / tokens for x in (a, b)]
    squares = [np.asarray(x.multiply(x).sum(0)).ravel() / tokens for x in (a, b)]
    variances = [square - mean**2 for square, mean in zip(squares, means, strict=True)]
    varies = [variance > ROUNDING * square for variance, square in zip(variances, squares, strict=True)]
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (products - means[0] * means[1]) / np.sqrt(variances[0] * variances[1])
    return np.where(varies[0] & varies[1], r, np.nan)


def _token_by_token(codes: Codes, decoder: Tensor, chosen: np.ndarray) -> Tensor:
    """The covariance of one choice from the sums themselves, in pieces of tokens.

    Products are float32, twice as fast, of sums from which the mean of the first piece is taken: the covariance is the
    same, and codes, which are never negative, lose no digits to their mean.
    """
    wanted = torch.from_numpy(chosen)
    total = torch.zeros(decoder.shape[1], dtype=torch.float64, device=decoder.device)
    products = torch.zeros(len(total), len(total), dtype=torch.float64, device=decoder.device)
    shift = None
    for some, of in zip(codes.values.split(PIECE), codes.latents.long().split(PIECE), strict=True):
        u = decode((some * wanted[of]).to(decoder), of.to(decoder.device), decoder)
        shift = u.mean(0) if shift is None else shift
        u -= shift
        total += u.sum(0)
        products += u.T @ u
    return products / len(codes.values) - torch.outer(total, total) / len(codes.values) ** 2


def _share(of_a: Tensor, of_b: Tensor) -> float | None:
    """Share of a's variance inside the smallest principal subspace of b with 90 % of b's variance."""
    whole = float(of_a.trace())
    values, vectors = torch.linalg.eigh(of_b)
    kept = values.flip(0).clamp(min=0).cumsum(0)
    if whole <= 0 or float(kept[-1]) <= 0:
        return None
    rank = int((kept < VARIANCE_KEPT * kept[-1]).sum()) + 1
    basis = vectors.flip(1)[:, :rank]
    return float((basis * (of_a @ basis)).sum() / whole)

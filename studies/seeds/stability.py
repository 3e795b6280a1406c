"""Which latents reappear with other seeds: against how often they fire, what they explain, how far they moved."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from faithful.store.saes import TrainedSae
from studies.common.results import Row
from studies.seeds.pairs import Pair, mean_of
from studies.seeds.summary import Bin, Ranged
from studies.statistics.estimates import estimate
from studies.statistics.stable import STABLE, share_of_stable

EDGES = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0)
"""Upper edges of the bins of density: latents that never fire, then half decades."""
FIGURES = (
    "stable_share", "stable_chance", "never_share", "stable_firing", "stable_explained", "start_decoder", "start_encoder",
    "start_decoder_stable", "start_decoder_unstable",
)  # fmt: skip


@dataclass(frozen=True)
class Latents:
    """The latents of one SAE, each array float64 [d_sae].

    Attributes:
        sae: theirs.
        reappears: share of the other seeds of its corpus in which each latent is shared.
        others: how many those are.
        density: share of panel tokens on which each fires; None without a panel.
        explained: share of the panel's variance that each explains (`studies.seeds.latents.Explained`); None without one.
        decoder, encoder: cosines with the start, nan for rows of 0; None where that is not known.
    """

    sae: TrainedSae
    reappears: np.ndarray
    others: int
    density: np.ndarray | None = None
    explained: np.ndarray | None = None
    decoder: np.ndarray | None = None
    encoder: np.ndarray | None = None

    def figures(self) -> dict[str, float | None]:
        """One number each of `FIGURES`; None where it is not defined."""
        stable = self.reappears > STABLE
        wholes = {"stable_firing": self.density, "stable_explained": self.explained}
        found = {
            "stable_share": float(stable.mean()),
            "stable_chance": _chance(float(self.reappears.mean()), self.others),
            "never_share": float((self.reappears == 0).mean()),
            **{name: None if of is None else share_of_stable(of, stable) for name, of in wholes.items()},
            "start_decoder": _mean(self.decoder),
            "start_encoder": _mean(self.encoder),
            "start_decoder_stable": _mean(self.decoder, stable),
            "start_decoder_unstable": _mean(self.decoder, ~stable),
        }
        return {name: found[name] for name in FIGURES}

    def by_density(self) -> list[tuple[float, float, int]]:
        """For each bin that holds latents its upper edge, how probably they reappear, and how many there are."""
        if self.density is None:
            return []
        places = np.searchsorted(EDGES, self.density, side="left")
        bins = [(edge, self.reappears[places == at]) for at, edge in enumerate(EDGES)]
        return [(edge, float(some.mean()), len(some)) for edge, some in bins if len(some)]


def reappearances(pairs: Sequence[Pair]) -> dict[TrainedSae, tuple[np.ndarray, int]]:
    """Of each SAE in pairs of one corpus: in what share of the SAEs that it was matched with each latent is shared, float64
    [d_sae], and how many those are."""
    found: dict[TrainedSae, tuple[np.ndarray, int]] = {}
    for pair in pairs:
        partners = pair.partners
        for sae, latents in ((pair.one, partners.rows), (pair.other, partners.columns)):
            before, count = found.get(sae, (np.zeros(sae.d_sae), 0))
            before[latents[partners.shared]] += 1
            found[sae] = before, count + 1
    return {sae: (counts / others, others) for sae, (counts, others) in found.items()}


def stability(latents: Sequence[Latents], numbers: Mapping[TrainedSae, int]) -> dict[str, Ranged | list[Bin]]:
    """Means over the SAEs of one corpus. Those of the start have an interval over seeds; the others do not, since every SAE
    takes part in what the others are: `range` is their smallest and largest. `reappearance` is a curve over `EDGES`."""
    found: dict[str, Ranged | list[Bin]] = {}
    each = [(numbers[one.sae], one.figures()) for one in latents]
    for name in FIGURES:
        values = {seed: figures[name] for seed, figures in each}
        known = [value for value in values.values() if value is not None]
        if not known:
            continue
        if name.startswith("start"):
            found[name] = {**estimate(values).summary()}
        else:
            ends = [min(known), max(known)]
            found[name] = {"value": mean_of(known), "ci95": None, "seeds": len(known), "range": ends}
    bins: dict[float, list[tuple[float, int]]] = {}
    for one in latents:
        for edge, share, count in one.by_density():
            bins.setdefault(edge, []).append((share, count))
    if bins:
        found["reappearance"] = [
            {
                "density": edge,
                "value": float(np.average([share for share, _ in of], weights=[count for _, count in of])),
                "latents": sum(count for _, count in of) / len(latents),
            }
            for edge, of in sorted(bins.items())
        ]
    return found


def stability_rows(latents: Sequence[Latents], shape: str) -> list[Row]:
    """Every figure of every SAE; `reappearance` once per bin of density."""
    rows = []
    for one in latents:
        place: dict[str, Any] = {"seed": one.sae.seed, "shape": shape}
        figures = {name: value for name, value in one.figures().items() if value is not None}
        rows += [Row("seeds", one.sae.corpus, name, value, **place) for name, value in figures.items()]
        rows += [Row("seeds", one.sae.corpus, "reappearance", share, at, **place) for at, share, _ in one.by_density()]
    return rows


def _chance(share: float, others: int) -> float:
    """Share of latents that would be stable if none were more so than others, each with the same probability anywhere."""
    least = math.floor(STABLE * others) + 1
    return sum(math.comb(others, n) * share**n * (1 - share) ** (others - n) for n in range(least, others + 1))


def _mean(of: np.ndarray | None, chosen: np.ndarray | None = None) -> float | None:
    """The mean of the chosen values that there are."""
    if of is None:
        return None
    some = of if chosen is None else of[chosen]
    some = some[~np.isnan(some)]
    return float(some.mean()) if len(some) else None

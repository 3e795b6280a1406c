"""Absorption of one SAE on the texts of a task, as SAEBench measures it; see docs/metrics.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from faithful.sae.autoencoder import Autoencoder
from studies.absorption.config import STRONG_F1
from studies.absorption.probe import Probes, f1, fit_probes, sparse_scores

SILENT = 1e-8
LATENTS, JUMP = 10, 0.03
FULL_COSINE, COSINE, PROPORTION, ABSORBERS = 0.025, 0.1, 0.4, 3
"""Thresholds of sae-bench 0.6.0; those of 0.3.2 are among them."""


class ParentFigures(TypedDict):
    """Of a parent: texts in which the probe finds it, and among them sums of what is said of each; over the folds the mean
    number of its latents, and the F1 of a probe on these alone. `children`: the texts and the absorbed ones of each."""

    found: int
    full: float
    fraction_032: float
    fraction_060: float
    silent: float
    latents: float
    main_f1: float
    children: dict[str, list[int]]


@dataclass(frozen=True)
class Probed:
    """Texts of a task with probes that have not seen them.

    Attributes:
        x: activations, float32 [n, d_in].
        is_of: bool [n, parents].
        fold: int64 [n]: which the text is judged in.
        probes: of each fold, fitted on the others.
        scores: F1 of each parent over all folds, float64.
        children: of each text; empty where they are all different.
    """

    x: Tensor
    is_of: Tensor
    fold: Tensor
    probes: list[Probes]
    scores: np.ndarray
    children: Sequence[str] = ()

    @property
    def strong(self) -> np.ndarray:
        """Bool [parents]: whose probes say something."""
        return self.scores > STRONG_F1


def probe_texts(x: Tensor, parents: np.ndarray, folds: int, seed: int, children: Sequence[str] = ()) -> Probed:
    """Deal the texts of each parent into folds, and fit probes for every fold on the others.

    Args:
        x: activations, float32 [n, d_in].
        parents: int64 [n], from 0; each has at least two texts per fold.
        folds: at least 2.
        seed: of the deal.
        children: of each text.
    """
    fold = np.zeros(len(parents), np.int64)
    rng = np.random.default_rng([seed, 9])
    for parent in range(parents.max() + 1):
        of = rng.permutation(np.flatnonzero(parents == parent))
        fold[of] = np.arange(len(of)) % folds
    places, dealt = torch.from_numpy(parents).to(x.device), torch.from_numpy(fold).to(x.device)
    is_of = torch.nn.functional.one_hot(places).bool()
    probes = [fit_probes(x[dealt != one], is_of[dealt != one]) for one in range(folds)]
    said = torch.zeros_like(is_of)
    for one, probe in enumerate(probes):
        said[dealt == one] = probe.scores(x[dealt == one]) > 0
    return Probed(x, is_of, dealt, probes, f1(said, is_of), children)


@torch.no_grad()
def absorption(sae: Autoencoder, decoders: Mapping[str, Tensor], task: Probed) -> dict[str, dict[int, ParentFigures]]:
    """Figures of each strong parent with each of several decoders on the codes of one SAE.

    Args:
        sae: gives the codes.
        decoders: rows [d_sae, d_in] by name, the SAE's own among them where it is to be measured.
        task: the texts.
    """
    values, latents = sae.encode_sparse(task.x)
    values, latents = values.float(), latents.long()
    strong = np.flatnonzero(task.strong)
    is_of = task.is_of[:, torch.from_numpy(strong).to(task.x.device)]
    found = {name: {int(parent): _nothing() for parent in strong} for name in decoders}
    if not len(strong):
        return found
    rows = {name: torch.nn.functional.normalize(decoder.float(), dim=1) for name, decoder in decoders.items()}
    said = torch.zeros_like(is_of)
    for fold, probes in enumerate(task.probes):
        held = task.fold == fold
        main, says = _main_latents(values, latents, sae.d_sae, is_of, ~held)
        said[held] = says[held]
        scores = probes.scores(task.x)
        for place, parent in enumerate(strong.tolist()):
            direction = torch.nn.functional.normalize(probes.directions[parent], dim=0)
            chosen = (held & is_of[:, place] & (scores[:, parent] > 0)).nonzero()[:, 0]
            projection = task.x[chosen] @ direction
            children = [task.children[one] for one in chosen.tolist()] if task.children else []
            for name, of in rows.items():
                figures = found[name][parent]
                figures["latents"] += len(main[place]) / len(task.probes)
                if len(chosen):
                    told = _told(values[chosen], latents[chosen], projection, of @ direction, main[place])
                    _add(figures, told, children)
    scores_of = f1(said, is_of)
    for of_decoder in found.values():
        for place, parent in enumerate(strong.tolist()):
            of_decoder[parent]["main_f1"] = float(scores_of[place])
    return found


def _nothing() -> ParentFigures:
    return {
        "found": 0, "full": 0.0, "fraction_032": 0.0, "fraction_060": 0.0, "silent": 0.0, "latents": 0.0, "main_f1": 0.0,
        "children": {},
    }  # fmt: skip


def _main_latents(
    values: Tensor, latents: Tensor, d_sae: int, is_of: Tensor, train: Tensor
) -> tuple[list[Tensor], Tensor]:
    """The latents of each parent, and what a probe on them says of every text, bool [n, parents].

    They are those with the largest difference of class means on the training texts; one more is taken as long as it raises
    the F1 there by more than `JUMP`: split features.
    """
    best = _differences(values[train], latents[train], is_of[train], d_sae).topk(min(LATENTS, d_sae), dim=1).indices
    wanted = best.unique()
    table = torch.full((d_sae,), len(wanted), device=values.device)  # the last column takes all that is not wanted
    table[wanted] = torch.arange(len(wanted), device=values.device)
    dense = values.new_zeros(len(values), len(wanted) + 1).scatter_add_(1, table[latents], values)
    codes = dense[:, table[best].flatten()].view(len(values), *best.shape)
    many = is_of.shape[1]
    kept, top, says = torch.ones(many, dtype=torch.int64), np.full(many, -np.inf), torch.zeros_like(is_of)
    growing = np.ones(many, bool)
    for k in range(1, best.shape[1] + 1):
        some = torch.from_numpy(np.flatnonzero(growing)).to(values.device)
        guess = sparse_scores(codes[:, some, :k], is_of[:, some], train) > 0
        scores = f1(guess[train], is_of[train][:, some])
        for place, parent in enumerate(some.tolist()):
            if scores[place] > top[parent] + JUMP:
                top[parent], kept[parent], says[:, parent] = scores[place], k, guess[:, place]
            else:
                growing[parent] = False
        if not growing.any():
            break
    return [best[parent, : int(kept[parent])] for parent in range(many)], says


def _differences(values: Tensor, latents: Tensor, is_of: Tensor, d_sae: int) -> Tensor:
    """Mean code of each latent on the texts of each parent minus that on all others, [parents, d_sae]."""
    many = is_of.sum(0)
    sums = values.new_zeros(len(many), d_sae)
    for parent in range(len(many)):
        of = is_of[:, parent]
        sums[parent].index_add_(0, latents[of].flatten(), values[of].flatten())
    whole = values.new_zeros(d_sae).index_add_(0, latents.flatten(), values.flatten())
    return sums / many[:, None] - (whole - sums) / (len(is_of) - many)[:, None]


@dataclass(frozen=True)
class _Told:
    """What is said of texts: bool, float, float and bool [n]."""

    full: Tensor
    fraction_032: Tensor
    fraction_060: Tensor
    silent: Tensor


def _told(values: Tensor, latents: Tensor, projection: Tensor, cosines: Tensor, main: Tensor) -> _Told:
    """By the formulas of sae-bench.

    Args:
        values, latents: codes, [n, k'].
        projection: of the activations on the probe's direction, [n].
        cosines: of each decoder row with it, [d_sae].
        main: the parent's latents.
    """
    along = cosines[latents]
    share = values * along
    is_main = torch.isin(latents, main)
    silent = ~((values >= SILENT) & is_main).any(1)
    of_main, of_all = (share * is_main).sum(1), share.sum(1)
    top, place = share.max(1)
    aligned = along.gather(1, place[:, None])[:, 0] >= FULL_COSINE
    full = silent & aligned & (top > 0) & (projection >= 0) & (top >= PROPORTION * projection)
    first = torch.where((of_main >= projection) | (of_all <= 0), 0.0, ((of_all - of_main) / of_all).clamp(0, 1))
    others = torch.where(~is_main & (along >= COSINE) & (share > 0), share, 0.0)
    absorbing = others.topk(min(ABSORBERS, others.shape[1]), dim=1).values.sum(1)
    taken = torch.minimum(absorbing, projection - of_main)
    second = torch.where(of_main <= 0, 1.0, (taken / (taken + of_main)).clamp(0, 1))
    none = (of_main >= projection) | (absorbing / projection < PROPORTION)
    return _Told(full, first, torch.where(none, 0.0, second), silent)


def _add(figures: ParentFigures, told: _Told, children: Sequence[str]) -> None:
    figures["found"] += len(told.full)
    figures["full"] += int(told.full.sum())
    figures["fraction_032"] += float(told.fraction_032.double().sum())
    figures["fraction_060"] += float(told.fraction_060.double().sum())
    figures["silent"] += int(told.silent.sum())
    for child, is_absorbed in zip(children, told.full.tolist(), strict=False):
        counts = figures["children"].setdefault(child, [0, 0])
        counts[0] += 1
        counts[1] += is_absorbed

"""Latents chosen by what they fire on, clamped where they fire, and which questions the model still answers rightly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from faithful.activations.quality import Splice, rows_that_fit
from faithful.hooks.hook import Hook
from faithful.hooks.padding import length_buckets, pad
from faithful.sae.autoencoder import Autoencoder
from faithful.sae.sparse import decode
from studies.unlearning.questions import Asked

NEAREST = 10
Name = TypeVar("Name")


@dataclass(frozen=True)
class Firing:
    """How an SAE's latents fire on both texts, each float64 [d_sae].

    Attributes:
        forget, retain: share of tokens on which each fires.
        strength: its mean activation where it fires on the forget text, 0 where it does not.
    """

    forget: np.ndarray
    retain: np.ndarray
    strength: np.ndarray

    def chosen(self, threshold: float, count: int) -> np.ndarray:
        """At most `count` latents that fire most on the forget text, of those that fire on at most `threshold` of the retain
        text; those that never fire on the former are none. Int64, the most frequent first."""
        usable = np.flatnonzero((self.retain <= threshold) & (self.forget > 0))
        return usable[np.argsort(-self.forget[usable], kind="stable")][:count]

    def like(self, latents: np.ndarray, seed: int) -> np.ndarray:
        """As many others of about equal density on the forget text, drawn at random: for each one of the ten nearest left
        that fire there."""
        density = self.forget
        generator = np.random.default_rng([seed, *latents.tolist()])
        free = (density > 0) & ~np.isin(np.arange(len(density)), latents)
        drawn = []
        for latent in latents:
            left = np.flatnonzero(free)
            if not len(left):
                break
            near = left[np.argsort(np.abs(density[left] - density[latent]), kind="stable")[:NEAREST]]
            drawn.append(int(generator.choice(near)))
            free[drawn[-1]] = False
        return np.array(drawn, np.int64)


@dataclass(frozen=True)
class Clamp:
    """A setting: latents that are clamped, and their values there, float32 [latents]."""

    latents: np.ndarray
    values: np.ndarray


@dataclass
class _Batch:
    """Some contexts after the clean pass, on the model's device."""

    ids: Tensor
    at: Tensor
    scored: Tensor
    owner: Tensor
    entries: np.ndarray
    places: np.ndarray
    targets: np.ndarray
    rows: np.ndarray


@torch.no_grad()
def answered(
    model: Any,
    hook: Hook,
    asked: Asked,
    ordinary: np.ndarray,
    saes: Mapping[Name, tuple[Autoencoder, Sequence[Clamp]]],
) -> tuple[np.ndarray, dict[Name, np.ndarray]]:
    """Which questions the model answers rightly, as it is and under each clamp.

    h becomes h + Σ (c_j − f_j) w_j over the clamped latents j that fire: what the SAE does not explain stays. Special tokens
    keep their activation. Contexts in which none of a setting's latents fires are not read again, nor is anything for a
    setting that changes the same codes as one before.

    Args:
        model: the whole causal LM.
        hook: of the SAEs.
        asked: the questions.
        ordinary: bool [vocab], False for special ids.
        saes: by name, each with its settings; on the model's device.

    Returns:
        bool [questions] of the model as it is, and by name bool [settings, questions].
    """
    device = next(model.parameters()).device
    splice = Splice(model, hook)
    clean = np.zeros(len(asked.question))
    under = {name: np.zeros((len(clamps), len(clean))) for name, (_, clamps) in saes.items()}
    for rows in length_buckets(asked.rows, rows_that_fit(model, asked.rows)):
        batch = _batch(asked, rows, ordinary, hook, device)
        log_p = splice.clean(batch.ids, batch.at, batch.scored)
        plain = _of_choices(asked, batch, log_p, len(clean))
        clean += plain
        h = splice.activations.float()
        for name, (sae, clamps) in saes.items():
            values, latents = sae.encode_sparse(h)
            before: list[tuple[Tensor, np.ndarray]] = []
            for place, clamp in enumerate(clamps):
                change = _change(values, latents, sae.d_sae, clamp)
                found = next((of for other, of in before if torch.equal(other, change)), None)
                if found is None:
                    found = _clamped(splice, asked, batch, sae, (h, change, latents), plain)
                    before.append((change, found))
                under[name][place] += found
    return asked.right(clean), {
        name: np.array([asked.right(one) for one in scores]).reshape(len(scores), -1) for name, scores in under.items()
    }


def _batch(asked: Asked, rows: np.ndarray, ordinary: np.ndarray, hook: Hook, device: torch.device) -> _Batch:
    """Contexts, without BOS where the hook's have none."""
    ids, real = pad([asked.rows[row] for row in rows])
    local = np.full(len(asked.rows), -1)
    local[rows] = np.arange(len(rows))
    entries = np.flatnonzero(local[asked.row] >= 0)
    scored = np.zeros(ids.shape, bool)
    scored[local[asked.row[entries]], asked.position[entries]] = True
    order = np.cumsum(scored.ravel()) - 1
    places = order[local[asked.row[entries]] * ids.shape[1] + asked.position[entries]]
    of_ids, at, of_scored = (
        torch.from_numpy(one[:, 0 if hook.bos else 1 :]).to(device) for one in (ids, real & ordinary[ids], scored)
    )
    owner, owned = at.nonzero()[:, 0], local[asked.row[entries]]
    return _Batch(of_ids, at, of_scored, owner, entries, places, asked.target[entries], owned)


def _of_choices(asked: Asked, batch: _Batch, log_p: Tensor, choices: int) -> np.ndarray:
    """What a batch adds to the mean log-probability of each choice, float64 [choices]."""
    found = log_p[torch.from_numpy(batch.places).to(log_p.device), torch.from_numpy(batch.targets).to(log_p.device)]
    weighted = found.double().cpu().numpy() * asked.weight[batch.entries]
    return np.bincount(asked.choice[batch.entries], weighted, minlength=choices)


def _change(values: Tensor, latents: Tensor, d_sae: int, clamp: Clamp) -> Tensor:
    """What a clamp adds to the codes `values` of `latents`, both [at, k']."""
    target = torch.full((d_sae,), torch.nan, device=values.device)
    target[torch.from_numpy(clamp.latents).to(values.device)] = torch.from_numpy(clamp.values).to(values.device)
    wanted = target[latents]
    return torch.where((values > 0) & ~wanted.isnan(), wanted - values, 0.0)


def _clamped(
    splice: Splice,
    asked: Asked,
    batch: _Batch,
    sae: Autoencoder,
    read: tuple[Tensor, Tensor, Tensor],
    plain: np.ndarray,
) -> np.ndarray:
    """What a batch adds with the codes of some latents changed; contexts in which none is keep what they had.

    Args:
        read: activations [at, d_in], the change of the codes [at, k'], their latents [at, k'].
    """
    h, change, latents = read
    touched = torch.zeros(len(batch.ids), dtype=torch.bool, device=h.device)
    touched[batch.owner[(change != 0).any(1)]] = True
    if not touched.any():
        return plain
    some = touched.nonzero()[:, 0]
    of_some = touched[batch.owner]
    moved = h[of_some] + decode(change[of_some], latents[of_some], sae.W_dec)
    log_p = splice.replaced(batch.ids[some], batch.at[some], moved, batch.scored[some], some)
    # Where log p of the rows that were read again stands.
    counts = batch.scored.sum(1)
    kept = touched.repeat_interleave(counts)
    place = (kept.cumsum(0) - 1).cpu().numpy()
    mine = touched.cpu().numpy()[batch.rows]
    found = plain.copy()
    entries = batch.entries[mine]
    chosen = log_p[
        torch.from_numpy(place[batch.places[mine]]).to(h.device), torch.from_numpy(batch.targets[mine]).to(h.device)
    ]
    weighted = chosen.double().cpu().numpy() * asked.weight[entries]
    again = np.zeros(len(plain), bool)
    again[asked.choice[entries]] = True
    found[again] = 0
    found += np.bincount(asked.choice[entries], weighted, minlength=len(plain))
    return found

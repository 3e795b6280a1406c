"""The quality of an SAE (docs/metrics.md, "Training"): its reconstruction, and the model's loss with it in the way."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from faithful.hooks.hook import Hook
from faithful.hooks.hook_points import HookPoint, decoder_layers, forward_as
from faithful.hooks.padding import length_buckets, pad

Codes = Tensor | tuple[Tensor, Tensor]
LOGITS_PER_FORWARD = {"cpu": 2**25, "cuda": 2**28}
SAME = 1e-3
CHUNK = 4096
TINY = 1e-30


class SAE(Protocol):
    """What can stand in for an activation."""

    def encode(self, x: Tensor) -> Any:
        """Codes of float32 [n, d_in], in whatever form `decode` reads."""

    def decode(self, codes: Any) -> Tensor:
        """Reconstructions [n, d_in]."""


class Quality:
    """Reconstruction figures of one SAE, summed in float64 over batches of any size.

    Args:
        d_in: width of the activation.
        d_sae: number of latents.
        device: of the batches.
    """

    def __init__(self, d_in: int, d_sae: int, device: torch.device | str = "cpu") -> None:
        self.tokens = 0
        self._sum = torch.zeros(d_in, dtype=torch.float64, device=device)
        self._square = torch.zeros_like(self._sum)
        self._fired = torch.zeros(d_sae, dtype=torch.int64, device=device)
        # Σ‖h − ĥ‖², Σ ‖ĥ‖/‖h‖, Σ cos(h, ĥ), number of ĥ = 0
        self._sums = torch.zeros(4, dtype=torch.float64, device=device)

    def update(self, h: Tensor, h_hat: Tensor, codes: Codes, *others: "Quality") -> None:
        """Add a batch, to others of the SAE too: what is added is computed once.

        Args:
            h: activations [n, d_in].
            h_hat: reconstructions [n, d_in].
            codes: dense [n, d_sae], or values and indices, both [n, k], as `torch.topk` gives them.
            others: sums over other batches.
        """
        if isinstance(codes, Tensor):
            fired = (codes > 0).sum(0)
        else:
            values, indices = codes
            fired = torch.bincount(indices[values > 0], minlength=len(self._fired))
        added = [
            _sums(h[first : first + CHUNK].double(), h_hat[first : first + CHUNK].double())
            for first in range(0, len(h), CHUNK)
        ]
        for one in (self, *others):
            one.tokens += len(h)
            one._fired += fired
            for total, squares, sums in added:
                one._sum += total
                one._square += squares
                one._sums += sums

    @property
    def mean(self) -> Tensor:
        """Mean activation, float32 [d_in]."""
        return (self._sum / self.tokens).float()

    @property
    def density(self) -> Tensor:
        """Share of tokens on which each latent fires, float64 [d_sae]."""
        return self._fired.double() / self.tokens

    def result(self) -> dict[str, float]:
        """`fvu`, `explained_variance`, `mse`, `l2_ratio`, `cosine`, `zero_reconstructions`, `l0`, `never_fired`, `tokens`.

        A reconstruction of 0 has cosine 0 and is counted. Where h is constant, fvu is 0 or infinite.
        """
        error, ratio, cosine, zeros = self._sums.tolist()
        variance = float((self._square - self._sum.square() / self.tokens).sum())
        fvu = error / variance if variance > 0 else math.inf if error else 0.0
        return {
            "fvu": fvu,
            "explained_variance": 1 - fvu,
            "mse": error / (self.tokens * len(self._sum)),
            "l2_ratio": ratio / self.tokens,
            "cosine": cosine / self.tokens,
            "zero_reconstructions": int(zeros),
            "l0": float(self.density.sum()),
            "never_fired": int((self._fired == 0).sum()),
            "tokens": self.tokens,
        }


def _sums(h: Tensor, h_hat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What a batch, float64, adds to `_sum`, `_square` and `_sums` of `Quality`."""
    norm, norm_hat = h.norm(dim=1), h_hat.norm(dim=1)
    product = (norm * norm_hat).clamp(min=TINY)
    sums = [
        (h - h_hat).square().sum(),
        (norm_hat / norm.clamp(min=TINY)).sum(),
        ((h * h_hat).sum(1) / product).sum(),
        (norm_hat == 0).sum().double(),
    ]
    return h.sum(0), h.square().sum(0), torch.stack(sums)


@dataclass(frozen=True)
class Spliced:
    """Next-token losses of one SAE over some contexts.

    Attributes:
        losses: `ce_clean`, `ce_sae`, `ce_zero`, `ce_mean`, `ce_diff`, `ce_recovered` (nan where zeroing changes nothing),
            `kl` (nats per token) and `scored_tokens`, over all of them.
        contexts: sums of the same in nats per context, float64 [contexts], in the order of the contexts: `ce_clean`,
            `ce_sae`, `ce_zero`, `kl`, and `tokens`, how many are scored.
    """

    losses: dict[str, float]
    contexts: dict[str, np.ndarray]


def splice_contexts(
    model: Any,
    hook: Hook,
    saes: Sequence[SAE],
    rows: Sequence[np.ndarray],
    mean: Tensor,
    ordinary: np.ndarray,
    rows_per_forward: int | None = None,
    told: Callable[[int], None] = lambda rows: None,
) -> list[Spliced]:
    """Next-token losses with h, ĥ, 0 and the mean activation at the hook, over the same tokens.

    Special tokens keep their clean activation and are unscored; so is the last token of a context, which predicts nothing.
    Where the hook's contexts have no BOS the model does not see it.
    Layers below the hook run once for all SAEs.

    Args:
        model: the whole causal LM on its device.
        hook: where the SAEs were trained.
        saes: those to measure.
        rows: contexts, int64 [≤ L] each, BOS first.
        mean: mean activation over the evaluation set, [d_in].
        ordinary: bool [vocab], False for special ids.
        rows_per_forward: contexts per forward pass; None is what keeps logits within 2^25 on a CPU, 2^28 on a GPU.
        told: hears how many contexts are done: of a batch a part, after each SAE.

    Raises:
        FaithfulError: see `Hook.place`.
    """
    device = next(model.parameters()).device
    splice = Splice(model, hook)
    sums = torch.zeros(len(saes) + 3, 2, dtype=torch.float64, device=device)
    of_rows = torch.zeros(len(saes) + 3, 2, len(rows), dtype=torch.float64, device=device)
    tokens = torch.zeros(len(rows), dtype=torch.int64, device=device)
    scored = done = 0
    batches = _scored_batches(rows, ordinary, rows_per_forward or rows_that_fit(model, rows), device)
    for places, ids, at in batches:
        if not hook.bos:
            ids, at = ids[:, 1:], at[:, 1:]
        targets = ids[:, 1:][at[:, :-1]]
        owner = places[at.nonzero()[:, 0]]
        tokens += torch.bincount(owner, minlength=len(rows))
        log_p = splice.clean(ids, at)
        p = log_p.exp()
        h = splice.activations.float()
        replacements = [_reconstruct(sae, h) for sae in saes]
        replacements += [torch.zeros_like(h), mean.to(h).expand_as(h)]
        _add(sums[-1, 0], of_rows[-1, 0], _cross_entropy(log_p, targets), owner)
        for place, replacement in enumerate(replacements):
            log_q = splice.replaced(ids, at, replacement)
            _add(sums[place, 0], of_rows[place, 0], _cross_entropy(log_q, targets), owner)
            if place < len(saes):
                kl = torch.sub(log_p, log_q, out=log_q).mul_(p).sum(-1).double()
                _add(sums[place, 1], of_rows[place, 1], kl, owner)
            told(done + len(places) * (place + 1) // len(replacements))
        scored += len(targets)
        done += len(places)
    told(len(rows))  # those without a token to score, which are not read, included
    *with_sae, (zero, _), (middle, _), (clean, _) = (sums / max(scored, 1)).tolist()
    by_row = of_rows.cpu().numpy()
    shared = {"ce_clean": by_row[-1, 0], "ce_zero": by_row[-3, 0], "tokens": tokens.cpu().numpy()}
    return [
        Spliced(
            {
                "ce_clean": clean,
                "ce_sae": ce,
                "ce_zero": zero,
                "ce_mean": middle,
                "ce_diff": ce - clean,
                "ce_recovered": (zero - ce) / (zero - clean) if zero != clean else math.nan,
                "kl": mean_kl,
                "scored_tokens": scored,
            },
            shared | {"ce_sae": by_row[place, 0], "kl": by_row[place, 1]},
        )
        for place, (ce, mean_kl) in enumerate(with_sae)
    ]


def _add(total: Tensor, of_rows: Tensor, values: Tensor, owner: Tensor) -> None:
    """Add values of tokens to their sum, and to those of the contexts that own them."""
    total += values.sum()
    of_rows.index_add_(0, owner, values)


class Splice:
    """Forward passes with something else at a hook.

    The clean pass keeps what enters the hooked layer; the others start there: the layers below hand on what they get. Where
    layers above need more of those below than the stream (Gemma-4's shared keys), which is tried once, every layer runs.

    Log-probabilities are wanted where activations are replaced, or at the positions `scored`, bool [rows, L].
    """

    def __init__(self, model: Any, hook: Hook) -> None:
        self.model, self.place = model, hook.place(model)
        layers = decoder_layers(model)[1]
        self._below = list(layers[: hook.layer])
        self._entry = HookPoint("", layers[hook.layer], "input")
        self._entering: Tensor
        self._tuples = False
        self._skips: bool | None = None
        self._keeps = "logits_to_keep" in signature(model.forward).parameters
        self.activations: Tensor

    def clean(self, ids: Tensor, at: Tensor, scored: Tensor | None = None) -> Tensor:
        """log p at the positions `at`, float32 [scored, vocab]; keeps `activations` [at, d_in] there."""

        def enter(hidden: Tensor) -> None:
            self._entering = hidden

        def keep(hidden: Tensor) -> None:
            self.activations = hidden.to(at.device)[at]

        def look(_: Any, __: Any, output: Any) -> None:
            self._tuples = isinstance(output, tuple)

        with ExitStack() as stack:
            for layer in self._below[-1:]:
                stack.callback(layer.register_forward_hook(look).remove)
            stack.callback(self._entry.on(enter).remove)
            stack.callback(self.place.on(keep).remove)
            log_p = self._log_p(ids, at, scored)
        if self._skips is None:
            self._skips = self._can_skip(ids, at, scored, log_p)
        return log_p

    def replaced(
        self, ids: Tensor, at: Tensor, replacement: Tensor, scored: Tensor | None = None, rows: Tensor | None = None
    ) -> Tensor:
        """log p, as `clean` gives it, with `replacement` [at, d_in] at the hook, at the positions `at` alone.

        Args:
            ids, at, scored: as `clean` was told, or of some of its rows.
            replacement: of the model's device.
            rows: places of these among the rows of the clean pass.
        """

        def put(hidden: Tensor) -> Tensor:
            new = hidden.clone()
            new[at.to(new.device)] = replacement.to(new)
            return new

        with ExitStack() as stack:
            if self._skips:
                self._start_at_the_hook(
                    stack, self._entering if rows is None else self._entering[rows.to(self._entering.device)]
                )
            stack.callback(self.place.on(put).remove)
            return self._log_p(ids, at, scored)

    def _start_at_the_hook(self, stack: ExitStack, entering: Tensor) -> None:
        stack.enter_context(self._skipped())
        stack.callback(self._entry.on(lambda _: entering).remove)

    def _can_skip(self, ids: Tensor, at: Tensor, scored: Tensor | None, whole: Tensor) -> bool:
        """Whether a pass that starts at the hooked layer gives the log-probabilities of the whole pass."""
        try:
            with ExitStack() as stack:
                self._start_at_the_hook(stack, self._entering)
                return torch.allclose(self._log_p(ids, at, scored), whole, rtol=0.0, atol=SAME)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # a layer above asks for what a layer below would have left
            return False

    @torch.no_grad()
    def _log_p(self, ids: Tensor, at: Tensor, scored: Tensor | None) -> Tensor:
        if scored is None or not self._keeps:
            kept = self.model(input_ids=ids, use_cache=False).logits[at if scored is None else scored]
        else:  # the head is the larger part of a small model
            first = int(scored.any(0).nonzero()[0])
            logits = self.model(input_ids=ids, use_cache=False, logits_to_keep=ids.shape[1] - first).logits
            kept = logits[scored[:, first:]]
        return kept.float().log_softmax(-1)

    @contextmanager
    def _skipped(self) -> Iterator[None]:
        def hand_on(hidden_states: Tensor, *_: Any, **__: Any) -> Any:
            return (hidden_states,) if self._tuples else hidden_states

        with ExitStack() as stack:
            for layer in self._below:
                stack.enter_context(forward_as(layer, hand_on))
            yield


def _scored_batches(
    rows: Sequence[np.ndarray], ordinary: np.ndarray, size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Places of contexts of like length, int64 [rows], the contexts, int64 [rows, L], what is scored, bool [rows, L]."""
    for places in length_buckets(rows, size):
        ids, real = pad([rows[place] for place in places])
        at = ordinary[ids]
        at[:, :-1] &= real[:, 1:]
        at[:, -1] = False
        if at.any():
            chosen = torch.from_numpy(places).to(device)
            yield chosen, torch.from_numpy(ids).to(device), torch.from_numpy(at).to(device)


def rows_that_fit(model: Any, rows: Sequence[np.ndarray]) -> int:
    """How many of some contexts a pass may read so that their logits stay within `LOGITS_PER_FORWARD`; at least 1."""
    device = next(model.parameters()).device.type
    limit = LOGITS_PER_FORWARD.get(device, LOGITS_PER_FORWARD["cpu"])
    longest = max((len(row) for row in rows), default=1)
    return max(1, limit // (longest * int(model.config.get_text_config().vocab_size)))


@torch.no_grad()
def _reconstruct(sae: SAE, h: Tensor) -> Tensor:
    return torch.cat([sae.decode(sae.encode(piece)) for piece in h.split(CHUNK)])


def _cross_entropy(log_p: Tensor, targets: Tensor) -> Tensor:
    """−log p of each target, nats, float64 [n]."""
    return -log_p.gather(1, targets[:, None])[:, 0].double()

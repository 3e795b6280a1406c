"""Teacher-forced scoring: for every token of a corpus what the declared q says about it.

The certificate is made of these figures. Each row of q is computed once and reduced at once, so memory is bounded by one
batch of logits.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.base.memory import available_memory, free_memory, trim_memory
from faithful.models.spec import ModelSpec
from generation.sampling.distribution import NEGATIVE_INFINITY, Sampling, scores, sure_limits, thresholds
from generation.scoring.one_thread_each import one_thread_each

INSIDE, BOUNDARY, IMPOSSIBLE = 0, 1, 2
CLIP = 3.0
LOGITS_PER_BATCH = {"cpu": 2**20, "cuda": 2**28}
TRIM_EVERY = 8
COPIES_OF_LOGITS = 16
"""Arrays of the size of a batch's logits, 4 bytes each, that scoring it holds at most."""
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class TokenScores:
    """Figures of some documents' tokens, float64 arrays [tokens] unless said, documents joined in the order given.

    Attributes:
        lengths: int64 [documents].
        status: int8, INSIDE, BOUNDARY or IMPOSSIBLE; the other figures mean something where it is INSIDE.
        surprise: −log q(x).
        entropy, variance: mean and variance of −log q under q.
        residual: (surprise − entropy)/√variance clipped to ±3; residual_mean, residual_variance: its moments under q.
        repeat_mass: q of the tokens that occur earlier in the document; repeated: whether x is one.
        eos_mass: q of all end-of-text ids; is_eos: whether x is one.
        above, equal: q of strictly more probable tokens, and of those exactly as probable (x included).
        copy_log_q: log q of the predicted copy (−inf where none); copied: whether x is that token.
        log_p, entropy_p: log p(x) and H(p) of the model itself.
    """

    lengths: np.ndarray
    status: np.ndarray
    surprise: np.ndarray
    entropy: np.ndarray
    variance: np.ndarray
    residual: np.ndarray
    residual_mean: np.ndarray
    residual_variance: np.ndarray
    repeat_mass: np.ndarray
    repeated: np.ndarray
    eos_mass: np.ndarray
    is_eos: np.ndarray
    above: np.ndarray
    equal: np.ndarray
    copy_log_q: np.ndarray
    copied: np.ndarray
    log_p: np.ndarray
    entropy_p: np.ndarray


class Scorer:
    """Scores documents under a model and a declared sampling.

    Args:
        model: the causal LM on its device.
        spec: the resolved model.
        sampling: the declared sampling.
        delta: largest logit difference between generating and scoring pass, in nats (docs/metrics.md, "Certificate").
        ties: whether logits may tie (16 bit): then tokens just inside the border of q's support are BOUNDARY too, and the
            other figures are those of q given that the token is not.
    """

    def __init__(
        self, model: Any, spec: ModelSpec, sampling: Sampling, delta: float = 0.0, *, ties: bool = False
    ) -> None:
        self.model, self.spec, self.sampling, self.delta, self.ties = model, spec, sampling, delta, ties
        self.device = next(model.parameters()).device
        self.batches_done = 0
        self.eos = torch.tensor(spec.eos_ids, dtype=torch.int64, device=self.device)

    def in_order(self, function: Callable[[T], R], items: Iterable[T], longest: int) -> Iterator[R]:
        """Results of one of the methods below for many batches, in their order; on a CPU several at once, a thread each.

        The results do not depend on how many: see `generation.scoring.one_thread_each`.

        Args:
            function: from a batch to its result.
            items: batches.
            longest: tokens of the longest document.
        """
        if self.device.type != "cpu":
            return map(function, items)
        return one_thread_each(function, items, self._at_once(longest))

    def _at_once(self, longest: int) -> int:
        """Batches on a CPU at once: one per thread that the process may use, as far as half of the free memory goes."""
        kinds = (getattr(module, "rope_type", "") for module in self.model.modules())
        if any("dynamic" in str(kind) or "longrope" in str(kind) for kind in kinds):
            return 1  # these keep the frequencies for the length of the batch in hand
        batch = 4 * COPIES_OF_LOGITS * max(LOGITS_PER_BATCH["cpu"], longest * self.spec.vocab_size)
        return max(1, min(torch.get_num_threads(), available_memory() // 2 // batch))

    def _logits_per_batch(self) -> int:
        """Of a GPU as many as half of its free memory holds; on a CPU `_at_once` divides the memory."""
        most = LOGITS_PER_BATCH[self.device.type]
        return most if self.device.type == "cpu" else min(most, free_memory("cuda") // 2 // (4 * COPIES_OF_LOGITS))

    @torch.inference_mode()
    def first_token(self) -> np.ndarray:
        """q(·; BOS): float64 [vocab]."""
        bos = torch.tensor([[self.spec.bos_id]], device=self.device)
        logits = self.model(input_ids=bos, use_cache=False).logits[0, -1:]
        seen = torch.zeros_like(logits, dtype=torch.bool)
        seen[0, self.spec.bos_id] = True
        return self._log_q(logits, seen)[0].exp()[0].double().cpu().numpy()

    def batches(self, documents: list[np.ndarray]) -> Iterator[list[int]]:
        """Group documents of like length into batches that fit the memory bound; every document once.

        Memory that the caller's work on a batch has freed is given back now and then.
        """
        limit = self._logits_per_batch() // self.spec.vocab_size
        order = sorted(range(len(documents)), key=lambda place: len(documents[place]))
        batch: list[int] = []
        for place in order:
            if batch and (len(batch) + 1) * len(documents[place]) > limit:
                yield batch
                batch = []
                self.batches_done += 1
                if self.batches_done % TRIM_EVERY == 0:
                    trim_memory()
            batch.append(place)
        if batch:
            yield batch

    @torch.inference_mode()
    def log_p(self, documents: list[np.ndarray]) -> np.ndarray:
        """log p of every token, float64 [tokens], documents joined: for the difference to what was stored."""
        logits, targets, _ = self._forward(documents)
        return (logits.gather(1, targets[:, None]) - logits.logsumexp(-1, keepdim=True))[:, 0].double().cpu().numpy()

    @torch.inference_mode()
    def score(self, documents: list[np.ndarray], predictions: np.ndarray) -> TokenScores:
        """Figures of some documents.

        Args:
            documents: token ids, none empty.
            predictions: int64 [tokens] as from `copy_predictions`, joined like the documents.

        Raises:
            FaithfulError: the model gives NaN logits, or a token id is outside its vocabulary or masked by it.
        """
        logits, targets, rows = self._forward(documents)
        lengths = np.array([len(document) for document in documents])
        seen = self._seen(rows, targets) if self.sampling.repetition_penalty != 1 else None
        log_q, values = self._log_q(logits, seen)
        at = targets[:, None]
        log_q_x = log_q.gather(1, at)
        q = log_q.exp()
        surprise = -_finite(log_q)
        entropy = (q * surprise).sum(-1, keepdim=True)
        variance = ((q * surprise * surprise).sum(-1, keepdim=True) - entropy**2).clamp_(min=0.0)
        scale = variance.sqrt().clamp(min=1e-6)
        residual = ((surprise - entropy) / scale).clamp_(-CLIP, CLIP)
        residual_mean = (q * residual).sum(-1, keepdim=True)
        residual_variance = ((q * residual * residual).sum(-1, keepdim=True) - residual_mean**2).clamp_(min=0.0)
        status = self._status(values, log_q, at)
        log_q_first, ids = self._earlier(rows, targets, log_q)
        predicted = torch.from_numpy(predictions).to(self.device)
        copy_log_q = log_q.gather(1, predicted.clamp(min=0)[:, None])[:, 0].where(predicted >= 0, NEGATIVE_INFINITY)
        if self.sampling.is_model:
            log_p_x, entropy_p = log_q_x, entropy
        else:
            log_p = logits.log_softmax(-1)
            log_p_x, entropy_p = log_p.gather(1, at), -(log_p.exp() * _finite(log_p)).sum(-1, keepdim=True)
        eos = q[:, self.eos].sum(-1) if len(self.eos) else torch.zeros_like(q[:, 0])
        figures = {
            "status": status,
            "surprise": surprise.gather(1, at)[:, 0],
            "entropy": entropy[:, 0],
            "variance": variance[:, 0],
            "residual": residual.gather(1, at)[:, 0],
            "residual_mean": residual_mean[:, 0],
            "residual_variance": residual_variance[:, 0],
            "repeat_mass": log_q_first.exp().sum(-1),
            "repeated": ids,
            "eos_mass": eos,
            "is_eos": torch.isin(targets, self.eos),
            "above": q.where(log_q > log_q_x, 0.0).sum(-1),
            "equal": q.where(log_q == log_q_x, 0.0).sum(-1),
            "copy_log_q": copy_log_q,
            "copied": targets == predicted,
            "log_p": log_p_x[:, 0],
            "entropy_p": entropy_p[:, 0],
        }
        arrays = {name: value.cpu().numpy() for name, value in figures.items()}
        typed = {n: a if a.dtype == bool or n == "status" else a.astype(np.float64) for n, a in arrays.items()}
        return TokenScores(lengths=lengths, **typed)

    def _forward(self, documents: list[np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [tokens, vocab] in float32, targets [tokens], and (document, position) of each token [tokens, 2]."""
        longest = max(len(document) for document in documents)
        targets = torch.full((len(documents), longest), -1, dtype=torch.int64)
        for place, document in enumerate(documents):
            targets[place, : len(document)] = torch.from_numpy(document)
        if int(targets.max()) >= self.spec.vocab_size:
            raise FaithfulError(
                f"The corpus holds token {int(targets.max())} and {self.spec.name} has a vocabulary of"
                f" {self.spec.vocab_size}; certify it with the model it was made for."
            )
        inputs = torch.full_like(targets, self.spec.bos_id)
        inputs[:, 1:] = targets[:, :-1].clamp(min=0)
        inputs, targets = inputs.to(self.device), targets.to(self.device)
        logits = self.model(input_ids=inputs, use_cache=False).logits
        real = targets >= 0
        rows = logits[real].float()
        if not bool(torch.isfinite(rows.amax(-1)).all()):
            raise FaithfulError(
                f"{self.spec.name} gives NaN or infinite logits in {self.spec.dtype}; check the weights."
            )
        targets = targets[real]
        masked = targets[rows.gather(1, targets[:, None])[:, 0] == NEGATIVE_INFINITY]
        if len(masked):
            raise FaithfulError(
                f"The corpus holds token {int(masked[0])}, which {self.spec.name} masks out; certify it with the model it"
                " was made for."
            )
        return rows, targets, real.nonzero()

    def _log_q(self, logits: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
        """log q [tokens, vocab] (with `ties` that of tokens off the border alone) and the scores before truncation."""
        sampling = self.sampling
        values = scores(logits, sampling, seen, self.spec.mapped, self.spec.holes)
        if not (sampling.min_p > 0 or sampling.top_k > 0 or sampling.top_p < 1):
            return values.log_softmax(-1), values
        if self.ties:
            sure = values > sure_limits(values, sampling, self.delta / sampling.temperature)
            log_q = values.where(sure, NEGATIVE_INFINITY).log_softmax(-1)
            return log_q.where(sure, NEGATIVE_INFINITY), values
        return values.where(values >= thresholds(values, sampling), NEGATIVE_INFINITY).log_softmax(-1), values

    def _seen(self, rows: Tensor, targets: Tensor) -> Tensor:
        """bool [tokens, vocab]: BOS and the tokens before each one in its document."""
        count = int(rows[:, 0].max()) + 1
        first = torch.full((count, self.spec.vocab_size), 2**30, dtype=torch.int64, device=self.device)
        first[:, self.spec.bos_id] = -1
        first = first.view(-1).scatter_reduce(0, rows[:, 0] * self.spec.vocab_size + targets, rows[:, 1], "amin")
        return first.view(count, -1)[rows[:, 0]] < rows[:, 1:]

    def _earlier(self, rows: Tensor, targets: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        """log q of each distinct earlier token of the document [tokens, longest], −inf elsewhere; whether x is one."""
        count, longest = int(rows[:, 0].max()) + 1, int(rows[:, 1].max()) + 1
        ids = torch.full((count, longest), -1, dtype=torch.int64, device=self.device)
        ids[rows[:, 0], rows[:, 1]] = targets
        same = ids[:, :, None] == ids[:, None, :]
        before = torch.ones(longest, longest, dtype=torch.bool, device=self.device).tril(-1)
        distinct = ~(same & before).any(-1) & (ids >= 0)
        usable = distinct[rows[:, 0]] & before[rows[:, 1]]
        mass = log_q.gather(1, ids[rows[:, 0]].clamp(min=0)).where(usable, NEGATIVE_INFINITY)
        return mass, ~distinct[rows[:, 0], rows[:, 1]]

    def _status(self, values: Tensor, log_q: Tensor, at: Tensor) -> Tensor:
        """int8 [tokens]: INSIDE the support of q, on its BOUNDARY within rounding and ties, or IMPOSSIBLE."""
        sampling = self.sampling
        status = torch.zeros(len(values), dtype=torch.int8, device=self.device)
        if not sampling.truncates:
            return status
        outside = (log_q.gather(1, at)[:, 0] == NEGATIVE_INFINITY).nonzero()[:, 0]
        if len(outside) == 0:
            return status
        delta = self.delta / sampling.temperature
        rows = values[outside]
        x = rows.gather(1, at[outside])
        mapped = x[:, 0] > NEGATIVE_INFINITY
        relaxed = sampling.with_changes(top_p=1.0)
        limit = thresholds(rows, relaxed)
        possible = mapped & (x + 2 * delta >= limit)[:, 0]
        if sampling.top_p < 1:
            kept = rows.where(rows >= limit, NEGATIVE_INFINITY).softmax(-1).double()
            mass = kept.where(rows > x + 2 * delta, 0.0).sum(-1)
            low, high = mass * np.exp(-delta), (1 - mass) * np.exp(delta)
            possible &= low / (low + high).clamp(min=1e-300) < sampling.top_p
        status[outside] = torch.where(possible, BOUNDARY, IMPOSSIBLE).to(torch.int8)
        return status


def _finite(log_probs: Tensor) -> Tensor:
    """Log-probabilities with 0 for −inf, so that 0 · log 0 is 0."""
    return log_probs.where(log_probs > NEGATIVE_INFINITY, 0.0)

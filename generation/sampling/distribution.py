"""The declared sampling distribution q: one definition, used by the sampler and by the certificate.

q_t = truncate(softmax(penalised logits / T)) in vLLM's order: repetition penalty, temperature, min-p, top-k, top-p.
(transformers applies min-p last, which differs when top-p is set too.)
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, cast

import torch
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.store.manifest_parts import SamplingPart

NEGATIVE_INFINITY = float("-inf")
Holes = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn. The defaults are the model's own distribution.

    Attributes:
        temperature: T > 0; 1 is the model itself.
        top_p: nucleus mass in (0, 1]; 1 truncates nothing.
        top_k: number of tokens kept; 0 truncates nothing.
        min_p: least probability relative to the most probable token; 0 truncates nothing.
        repetition_penalty: divides positive and multiplies negative logits of tokens seen (BOS included); 1 is none.
        max_tokens: longest sample in tokens, the end-of-text included, BOS not.
        mode: `documents` (stop at end-of-text) or `streams` (always `max_tokens`, end-of-text inside).
        mask_unmapped: leave out ids that the tokenizer has no string for; then that mask belongs to q.
        greedy: allow settings without randomness (see `deterministic`), which are no faithful corpus.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    max_tokens: int = 127
    mode: str = "documents"
    mask_unmapped: bool = False
    greedy: bool = False

    def __post_init__(self) -> None:
        rules = {
            "temperature must be between 0 and 2": 0 <= self.temperature <= 2,
            "top-p must be above 0 and at most 1": 0 < self.top_p <= 1,
            "top-k must be 0 (off) or a positive number": self.top_k >= 0,
            "min-p must be at least 0 and below 1": 0 <= self.min_p < 1,
            "the repetition penalty must be above 0 and at most 2": 0 < self.repetition_penalty <= 2,
            "max tokens must be at least 1": self.max_tokens >= 1,
            "the mode is 'documents' or 'streams'": self.mode in ("documents", "streams"),
        }
        for rule, holds in rules.items():
            if not holds:
                raise FaithfulError(f"Cannot sample this way: {rule}.")
        if self.deterministic and not self.greedy:
            raise FaithfulError(
                "A temperature below 0.01, top-k 1, top-p up to 1e-6 or min-p from 0.9999 is greedy decoding, every sample"
                " the same, and no faithful corpus; change it, or say --greedy if you want that."
            )

    @property
    def deterministic(self) -> bool:
        """Whether no randomness is left whatever the model (near-ties aside), so that nothing can be certified."""
        return self.temperature < 0.01 or self.top_k == 1 or self.top_p <= 1e-6 or self.min_p >= 0.9999

    @property
    def truncates(self) -> bool:
        """Whether q gives probability 0 to some tokens."""
        return self.top_p < 1 or self.top_k > 0 or self.min_p > 0 or self.mask_unmapped

    @property
    def is_model(self) -> bool:
        """Whether q is the model's own distribution p."""
        return self.temperature == 1 and self.repetition_penalty == 1 and not self.truncates

    def suffix(self, default_max_tokens: int) -> str:
        """What the settings that are not defaults add to a corpus' name: '' or like '-t0.7-p0.9'."""
        parts = [
            ("t", self.temperature, 1.0),
            ("p", self.top_p, 1.0),
            ("k", self.top_k, 0),
            ("m", self.min_p, 0.0),
            ("r", self.repetition_penalty, 1.0),
            ("l", self.max_tokens, default_max_tokens),
        ]
        named = "".join(
            f"-{letter}{str(value).removesuffix('.0')}" for letter, value, default in parts if value != default
        )
        return named + ("-streams" if self.mode == "streams" else "") + ("-mapped" if self.mask_unmapped else "")

    def to_dict(self) -> SamplingPart:
        """Plain values, for the manifest."""
        return cast(SamplingPart, asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Sampling":
        """The inverse of `to_dict`; unknown keys are ignored."""
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})

    def with_changes(self, **changes: Any) -> "Sampling":
        """A copy with the given fields, those that are None left as they are."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


def scores(
    logits: Tensor, sampling: Sampling, seen: Tensor | None = None, mapped: int | None = None, holes: Holes = ()
) -> Tensor:
    """Logits after repetition penalty, temperature and the mask of unmapped ids, before truncation.

    Args:
        logits: [..., vocab], any float type; computed in float32.
        sampling: the settings.
        seen: bool [..., vocab], tokens of the context (BOS included); needed where a repetition penalty is set.
        mapped: ids from here on have no string; needed where `mask_unmapped` is set.
        holes: runs [first, end) of ids below it that have none either, see `ModelSpec`.

    Returns:
        float32 [..., vocab].
    """
    values = logits.float()
    if sampling.repetition_penalty != 1:
        if seen is None:
            raise ValueError("a repetition penalty needs the tokens seen")
        penalty = sampling.repetition_penalty
        values = torch.where(seen, torch.where(values > 0, values / penalty, values * penalty), values)
    if sampling.temperature != 1:
        values = values / max(sampling.temperature, 1e-5)
    if sampling.mask_unmapped:
        if mapped is None:
            raise ValueError("masking unmapped ids needs the number of mapped ones")
        if mapped < values.shape[-1] or holes:
            values = values.clone()
            for first, end in (*holes, (mapped, values.shape[-1])):
                values[..., first:end] = NEGATIVE_INFINITY
    return values


def thresholds(values: Tensor, sampling: Sampling) -> Tensor:
    """Least score that truncation keeps: float32 [..., 1]; tokens that tie with it are kept.

    min-p compares with the most probable token, top-k takes the k-th largest score of what min-p left, top-p the
    smallest set of what is left whose mass reaches top-p.
    """
    limit = torch.full_like(values[..., :1], NEGATIVE_INFINITY)
    if sampling.min_p > 0:
        limit = values.amax(-1, keepdim=True) + math.log(sampling.min_p)
    if 0 < sampling.top_k < values.shape[-1]:
        limit = torch.maximum(limit, values.topk(sampling.top_k, dim=-1).values[..., -1:])
    if sampling.top_p < 1:
        limit = torch.maximum(limit, _nucleus_threshold(values, limit, sampling.top_p))
    return limit


def sure_limits(values: Tensor, sampling: Sampling, delta: float) -> Tensor:
    """Score above which a token survives truncation wherever a sampler cuts through ties: float32 [..., 1].

    16-bit scores tie often, and samplers differ in how many of the tokens tied at the border they keep. Given that it lies
    above this limit, a sampled token is distributed as q is there, whatever was kept below.

    Args:
        values: scores [..., vocab] from `scores`.
        sampling: the settings.
        delta: largest difference between these scores and those that were sampled from.
    """
    limit = torch.full_like(values[..., :1], NEGATIVE_INFINITY)
    if sampling.min_p > 0:
        limit = values.amax(-1, keepdim=True) + math.log(sampling.min_p) + 2 * delta
    if 0 < sampling.top_k < values.shape[-1]:
        limit = torch.maximum(limit, values.topk(sampling.top_k + 1, dim=-1).values[..., -1:] + 2 * delta)
    if sampling.top_p < 1:
        kept, cut = sampling.top_p * math.exp(-delta), (1 - sampling.top_p) * math.exp(delta)
        above = torch.nextafter(limit, torch.full_like(limit, math.inf))
        limit = torch.maximum(limit, _nucleus_threshold(values, above, kept / (kept + cut), past=1) + 2 * delta)
    return limit


def _nucleus_threshold(values: Tensor, limit: Tensor, top_p: float, first: int = 256, past: int = 0) -> Tensor:
    """Score of the least probable token of the nucleus, from the `first` largest scores where those hold its mass.

    With `past` = 1 the next largest score after it, −inf where there is none.
    """
    # To sort a whole vocabulary for each token would cost more than to draw it, and most nuclei lie in the first few
    # hundred scores: only where some row's do not, eight times as many are looked at. The total is over all that min-p
    # and top-k left, since top-p is a share of that, and in float64, since a float32 sum of 10^5 small terms can miss
    # the border by a token.
    width = values.shape[-1]
    top = values.amax(-1, keepdim=True)
    total = (values - top).exp().where(values >= limit, 0.0).sum(-1, keepdim=True, dtype=torch.float64)
    count = min(first, width)
    while True:
        ordered = values.topk(min(count + past, width), dim=-1).values
        mass = (ordered - top).exp().where(ordered >= limit, 0.0).cumsum(-1, dtype=torch.float64) / total
        if count == width or bool((mass[..., count - 1] >= top_p).all()):
            break
        count = min(width, count * 8)
    # The token that brings the mass to top-p belongs to the nucleus: as many lie before it as leave the mass below
    # top-p.
    kept = (mass[..., : count - 1] < top_p).sum(-1, keepdim=True)
    missing = count + past - ordered.shape[-1]
    return torch.nn.functional.pad(ordered, (0, missing), value=NEGATIVE_INFINITY).gather(-1, kept + past)


def log_q(
    logits: Tensor, sampling: Sampling, seen: Tensor | None = None, mapped: int | None = None, holes: Holes = ()
) -> Tensor:
    """log q(·) for each row of logits: float32 [..., vocab], −inf outside the support. Arguments as in `scores`."""
    values = scores(logits, sampling, seen, mapped, holes)
    if sampling.min_p > 0 or sampling.top_k > 0 or sampling.top_p < 1:
        values = torch.where(values >= thresholds(values, sampling), values, NEGATIVE_INFINITY)
    return values.log_softmax(-1)


def draw(log_probs: Tensor, uniforms: Tensor, block: int = 64) -> Tensor:
    """Inverse-CDF draws in the order of the ids, mass summed in float64 block by block.

    Args:
        log_probs: float32 [rows, vocab], normalised or not.
        uniforms: float64 [rows] in [0, 1).

    Returns:
        int64 [rows]. A token of probability 0 is never drawn.
    """
    rows, width = log_probs.shape
    mass = log_probs.exp()
    if width % block:
        mass = torch.nn.functional.pad(mass, (0, block - width % block))
    blocks = mass.view(rows, -1, block)
    by_block = blocks.sum(-1, dtype=torch.float64).cumsum(-1)
    target = torch.minimum(uniforms[:, None], uniforms.new_tensor(1 - 2.0**-52)) * by_block[:, -1:]
    chosen = torch.searchsorted(by_block, target, right=True).clamp_(max=by_block.shape[1] - 1)
    before = torch.where(chosen > 0, by_block.gather(1, (chosen - 1).clamp(min=0)), 0.0)
    inside = blocks.gather(1, chosen[:, :, None].expand(-1, -1, block)).squeeze(1)
    within = inside.cumsum(-1, dtype=torch.float64)
    place = torch.searchsorted(within, (target - before).clamp_(min=0.0), right=True)
    last_possible = (torch.arange(block, device=inside.device) * (inside > 0)).amax(-1, keepdim=True)
    return (chosen * block + torch.minimum(place, last_possible)).squeeze(1)

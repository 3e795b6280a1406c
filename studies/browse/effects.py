"""What a latent does to the next token by itself: its decoder row through the final norm and the unembedding."""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module

from faithful.base.errors import FaithfulError
from faithful.hooks.hook_points import FEW_TOKENS, decoder_layers

SHOWN = 10
ROWS_AT_ONCE = 256


class Effects(NamedTuple):
    """Tokens whose logits a latent raises and lowers most.

    Attributes:
        raised, lowered: int64 [latents, 10], ids, the strongest first.
        up, down: float32 [latents, 10], by how much.
    """

    raised: Tensor
    up: Tensor
    lowered: Tensor
    down: Tensor


class Unembedding:
    """The final norm of a causal LM and what makes logits of it, both linear in the direction: for a decoder row w,
    U (norm(w) − norm(0)), which is what w adds to the logits where the residual stream has the size of w. What some models
    do to logits afterwards, a soft cap or a factor, is left out: the order of tokens is the same with it.

    Args:
        model: the whole causal LM.

    Raises:
        FaithfulError: logits are made of something else than the output of a norm after the last layer, or of the last layer.
    """

    def __init__(self, model: Any) -> None:
        head = model.get_output_embeddings()
        self.norm = _final_norm(model, head)
        self.weight: Tensor = head.weight.detach().float()

    @torch.no_grad()
    def logits(self, rows: Tensor) -> Tensor:
        """Effects of decoder rows [n, d_in] on all logits, float32 [n, vocab]."""
        rows = rows.to(self.weight.device)
        if self.norm is not None:
            rows = self.norm(rows) - self.norm(torch.zeros_like(rows[:1]))
        return rows @ self.weight.T

    def effects(self, rows: Tensor, ordinary: Tensor) -> Effects:
        """The strongest effects of decoder rows [n, d_in], special tokens (False in bool [vocab]) left out; on the CPU."""
        found = []
        for part in rows.split(ROWS_AT_ONCE):
            logits = self.logits(part)[:, : len(ordinary)]
            hidden = ~ordinary[: logits.shape[1]].to(logits.device)
            up, raised = logits.masked_fill(hidden, -torch.inf).topk(SHOWN)
            down, lowered = logits.masked_fill(hidden, torch.inf).topk(SHOWN, largest=False)
            found.append((raised.cpu(), up.cpu(), lowered.cpu(), down.cpu()))
        return Effects(*(torch.cat(parts) for parts in zip(*found, strict=True)))


@torch.no_grad()
def _final_norm(model: Any, head: Module | None) -> Module | None:
    """The norm between the last layer and the head, in float32, found by what passes on a few tokens; None without one."""
    if head is None or getattr(head, "weight", None) is None:
        raise FaithfulError(f"{type(model).__name__} has no unembedding.")
    path, layers = decoder_layers(model)
    inside = set(layers.modules())
    seen: dict[Any, tuple[Any, Any]] = {}

    def keep(module: Module, given: tuple[Any, ...], output: Any) -> None:
        seen[module] = given[0] if given else None, output[0] if isinstance(output, tuple) else output

    norms = [one for one in model.get_submodule(path.rpartition(".")[0]).children() if one not in inside]
    hooks = [module.register_forward_hook(keep) for module in (*norms, layers[-1], head)]
    device: Any = head.weight.device
    try:
        model(input_ids=torch.arange(1, FEW_TOKENS, device=device)[None], use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    last, enters = seen[layers[-1]][1], seen[head][0]
    for norm in norms:
        given, output = seen.get(norm, (None, None))
        if _same(given, last) and _same(output, enters):
            return copy.deepcopy(norm).float()
    if _same(last, enters):
        return None
    raise FaithfulError(f"Between the last layer and the unembedding of {type(model).__name__} lies more than a norm.")


def _same(one: Any, other: Any) -> bool:
    return (
        isinstance(one, Tensor)
        and isinstance(other, Tensor)
        and one.shape == other.shape
        and torch.equal(one, other.to(one.device))
    )

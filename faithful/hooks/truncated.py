"""A causal LM cut after a hook: what lies above is never run, and there is no final norm and no LM head."""

import contextlib
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu, pad

from faithful.base.errors import FaithfulError
from faithful.hooks.hook import Hook
from faithful.hooks.hook_points import Reached, forward_as

STREAMS = ("altup_num_inputs", "hc_mult", "hc_count")


class TruncatedModel:
    """Runs a Hugging Face causal LM up to a hook.

    The weights are the given model's. It is left as it is and may serve others between calls. GPT-2's GELU, which
    transformers spells out in eight operations, runs as the one kernel that PyTorch has for it: a quarter of the time on a
    CPU, and a difference in rounding.

    Args:
        model: the causal LM, in evaluation mode, on its device.
        hook: where to stop.

    Attributes:
        d_in: width of the activation.
        device, dtype: of the model; of one that is spread over several GPUs, the first, where activations go.
        path: module and side of the hook, for provenance.

    Raises:
        FaithfulError: see `Hook.place`; of a model on the meta device, which cannot be run, only the layer is checked.
    """

    def __init__(self, model: Any, hook: Hook) -> None:
        self.hook = hook
        weights = next(one for one in model.parameters() if one.is_floating_point())  # quantised ones are whole numbers
        self.device, self.dtype = weights.device, weights.dtype
        if self.device.type == "meta":
            hook.check_layer(model)
        else:
            self.place = hook.place(model)
            self.path = self.place.name
        self.base = model.base_model
        config = model.config.get_text_config()
        self.d_in = int(config.hidden_size)
        self._gelus = [m for m in self.base.modules() if type(m).__name__ == "NewGELUActivation"]
        self._values = _values(config, self.d_in)

    def __call__(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Activations at the hook.

        Args:
            input_ids: int64 [rows, L], padding at the right end.
            attention_mask: [rows, L], 1 for tokens. It may be left out: padding comes after every token, and a causal
                model never looks there.

        Returns:
            float32 [rows, L, d_in]; what it holds at padding means nothing, nor at BOS where the hook's contexts have none.
        """
        return self.native(input_ids, attention_mask).float()

    @torch.no_grad()
    def native(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Activations in the model's own dtype; `__call__` only widens them to float32."""
        if not self.hook.bos:
            return self._without_bos(input_ids, attention_mask)
        return self._run(input_ids, attention_mask)

    def _without_bos(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Activations where the model shall not see BOS, the first token of each context; zeros stand in its place."""
        if input_ids.shape[1] < 2:
            return torch.zeros(*input_ids.shape, self.d_in, dtype=self.dtype, device=self.device)
        mask = None if attention_mask is None else attention_mask[:, 1:]
        return pad(self._run(input_ids[:, 1:], mask), (0, 0, 1, 0))

    def _run(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        taken: list[Any] = []

        def stop(hidden: Any) -> None:
            taken.append(hidden)
            raise Reached

        with contextlib.ExitStack() as stack:
            stack.callback(self.place.on(stop).remove)
            for module in self._gelus:
                stack.enter_context(forward_as(module, _gelu))
            with contextlib.suppress(Reached):
                self.base(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        if not taken:
            raise FaithfulError(f"{type(self.base).__name__} never came by {self.path}; use another hook.")
        (hidden,) = taken
        if not isinstance(hidden, Tensor) or hidden.shape != (*input_ids.shape, self.d_in):
            shape = list(hidden.shape) if isinstance(hidden, Tensor) else f"a {type(hidden).__name__}"
            raise FaithfulError(
                f"{self.path} of {type(self.base).__name__} is no one vector of {self.d_in} numbers per token but {shape} for"
                f" {list(input_ids.shape)} tokens (several residual streams, or another layout); SAEs cannot be trained on"
                " or studied with this model."
            )
        return hidden.to(self.device)

    def forward_bytes(self, rows: int, context: int) -> int:
        """About how many bytes a forward pass of `rows` contexts needs at its peak."""
        inner, scores = self._values
        return rows * context * (max(inner, scores * context) + 4 * self.d_in) * self.dtype.itemsize


def refuse_several_streams(model: Any) -> None:
    """Look in the config for a number of residual streams, which a plan can do without weights; every pass looks again.

    Raises:
        FaithfulError: there is more than one.
    """
    config = model.config.get_text_config()
    found = [(name, count) for name in STREAMS if (count := getattr(config, name, None) or 1) > 1]
    if found:
        name, count = found[0]
        raise FaithfulError(
            f"{type(model).__name__} keeps {count} residual streams ({name}), not one vector per token; SAEs cannot be"
            " trained on or studied with this model."
        )


def _gelu(x: Tensor) -> Tensor:
    return gelu(x, approximate="tanh")


def _values(config: Any, d_in: int) -> tuple[int, int]:
    """Values per token that a layer holds at its peak: an activation function's intermediates; and attention scores per
    token of context, where they are written out. A layer without either has at most what a usual one has."""
    inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * d_in
    widest = max(inner) if isinstance(inner, list | tuple) else int(inner)
    eager = getattr(config, "_attn_implementation", "eager") == "eager"
    return 5 * widest, 3 * int(getattr(config, "num_attention_heads", 0)) if eager else 0

"""What a plan needs to know of a model before its weights are there, counted on the meta device."""

import contextlib
from collections.abc import Iterator
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.models.presets import Shape

MEASURED_TOKENS = 8


def read_shape(model: Any, vocab: int, positions: int, name: str) -> Shape:
    """Shape of a causal LM without its weights.

    The cache is read off a forward pass, since families differ in what their configs say of it: Falcon caches one head, or
    all, whatever number it states; DeepSeek one latent vector for all heads and one for positions; a hybrid keys and values
    in its attention layers alone.

    Args:
        model: the causal LM on the meta device.
        vocab, positions: as in the resolved model.
        name: what people call it.

    Raises:
        FaithfulError: its config states no layers or no width.
    """
    config = model.config.get_text_config(decoder=True)
    layers, width = (getattr(config, key, None) for key in ("num_hidden_layers", "hidden_size"))
    if not layers or not width:
        raise FaithfulError(
            f"The config of {name} ({config.model_type}) states no number of layers or no width, so nothing can be planned"
            " with it; use a model built like GPT-2, GPT-NeoX, Llama, Gemma-2 or Mistral."
        )
    heads = int(getattr(config, "num_attention_heads", None) or 1)
    keys, cached, state = _cache(model, config, int(layers))
    return Shape(
        params=sum(weight.numel() for weight in model.parameters()),
        layers=int(layers),
        d_model=int(width),
        kv_heads=keys[0] if keys else int(getattr(config, "num_key_value_heads", None) or heads),
        head_dim=keys[1] if keys else int(width // heads),
        vocab=vocab,
        positions=positions,
        cached=cached,
        state=state,
    )


def _cache(model: Any, config: Any, layers: int) -> tuple[tuple[int, int] | None, int | None, int]:
    """Heads and width of the first keys in the cache, numbers that a token leaves in it, and numbers that a row keeps.

    Where the pass ends before any key is cached, the first two are None: the config's heads are all there is.
    """
    import torch
    from transformers.cache_utils import DynamicCache, LinearAttentionCacheLayerMixin

    cache: Any = DynamicCache(config=config)
    ids = torch.zeros(1, MEASURED_TOKENS, dtype=torch.int64, device="meta")
    is_complete = False
    # Code that looks at values ends the pass, as a choice of experts does; the attention of layer 0 comes before.
    with contextlib.suppress(Exception), torch.no_grad(), _without_padding(model.config):
        output = model.eval()(input_ids=ids, past_key_values=cache, use_cache=True)
        cache, is_complete = output.get("past_key_values") or output.get("cache_params") or cache, True
    pairs = [
        (layer.keys, layer.values)
        for layer in getattr(cache, "layers", [])
        if getattr(layer, "keys", None) is not None and layer.keys.dim() == 4
    ]
    states = [
        state
        for layer in getattr(cache, "layers", [])
        if isinstance(layer, LinearAttentionCacheLayerMixin)
        for state in (*layer.conv_states.values(), *layer.recurrent_states.values())
    ]
    if not pairs and not is_complete:
        return None, None, 0
    entries = sum(one.shape[1] * one.shape[3] for pair in pairs for one in pair)
    if pairs and not is_complete:
        entries = layers * entries // len(pairs)
    first = (pairs[0][0].shape[1], pairs[0][0].shape[3]) if pairs else None
    return first, entries, sum(state.numel() for state in states if state is not None)


@contextlib.contextmanager
def _without_padding(config: Any) -> Iterator[None]:
    """A config that names no padding: transformers looks for its id among the values of a batch, which has none here."""
    stated = config.pad_token_id
    config.pad_token_id = None
    try:
        yield
    finally:
        config.pad_token_id = stated

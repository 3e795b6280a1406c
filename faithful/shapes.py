"""What a plan needs to know of a model before its weights are there, counted on the meta device."""

from typing import Any, NamedTuple

from faithful.catalog import Shape


class _Cached(NamedTuple):
    """What one token puts into a layer's key–value cache."""

    heads: int
    key: int
    value: int

    @property
    def values(self) -> int:
        return self.heads * (self.key + self.value)


def measure(model: Any, vocab: int, positions: int) -> Shape:
    """Shape of a causal LM without weights.

    The key–value cache is read off a forward pass, since families differ in what their configs say of it: Falcon caches one
    head, or all, whatever number it states; DeepSeek one latent vector and one for positions.

    Args:
        model: on the meta device.
        vocab: rows of the output matrix.
        positions: longest context, 0 where the model states none.
    """
    config = model.config.get_text_config()
    cached = _cached(model, config)
    first = cached[0] if cached else _Cached(0, 0, 0)
    return Shape(
        params=sum(weight.numel() for weight in model.parameters()),
        layers=int(config.num_hidden_layers),
        d_model=int(config.hidden_size),
        kv_heads=first.heads,
        head_dim=first.key,
        vocab=vocab,
        positions=positions,
        kv_values=sum(layer.values for layer in cached),
    )


def _cached(model: Any, config: Any) -> list[_Cached]:
    """What one token puts into the cache of each layer that has keys and values; none where the model has no such cache."""
    import torch
    from transformers import DynamicCache

    cache = DynamicCache(config=config)
    ids = torch.zeros(1, 1, dtype=torch.int64, device="meta")
    try:
        model.eval()(input_ids=ids, past_key_values=cache, use_cache=True)
        is_complete = True
    except Exception:  # experts are chosen by what the tokens are, and here they are nothing: attention comes before
        is_complete = False
    found = [
        _Cached(layer.keys.shape[1], layer.keys.shape[3], layer.values.shape[3])
        for layer in cache.layers
        if getattr(layer, "keys", None) is not None and layer.keys.dim() == 4
    ]
    return found if is_complete else found[:1] * int(config.num_hidden_layers)

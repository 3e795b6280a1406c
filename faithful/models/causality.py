"""Whether a model is a causal LM: what it says of a token must not depend on later ones."""

from typing import Any

from faithful.base.errors import FaithfulError, one_line

TOKENS = 16
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.05, "float16": 0.05}


def refuse_other_tasks(config: Any, source: str) -> None:
    """Refuse, by its configuration alone, a model that is no causal LM of text.

    Raises:
        FaithfulError: an encoder–decoder, an encoder, or a kind that transformers has no causal LM for.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    kind = str(config.model_type)
    advice = "choose a causal (decoder-only) LM"
    if getattr(config, "is_encoder_decoder", False):
        raise FaithfulError(
            f"{source} is an encoder–decoder ({kind}): what its decoder says depends on another text; {advice}."
        )
    built = list(getattr(config, "architectures", None) or [])
    if any(name.endswith("ForMaskedLM") for name in built):
        raise FaithfulError(f"{source} is a masked LM ({built[0]}), which reads the text on both sides; {advice}.")
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise FaithfulError(
            f"{source} is of the kind '{kind}', for which transformers has no causal LM of text; {advice}"
            + (", or the language model inside it in a folder of its own." if _has_text(config) else ".")
        )
    if type(config) in MODEL_FOR_MASKED_LM_MAPPING and getattr(config, "is_decoder", None) is False:
        raise FaithfulError(
            f"{source} is an encoder ({kind}, is_decoder false), which reads the text on both sides; {advice}."
        )


def refuse_future(model: Any, source: str, vocab_size: int) -> None:
    """Run the model on 16 tokens twice, the second half changed: nothing may change before them.

    Two forward passes, 7 ms on one CPU core for `tiny`. NaN is left to those who read the logits.

    Args:
        model: the causal LM, in evaluation mode, on its device.
        source: what it was loaded from, for the sentence.
        vocab_size: ids to choose from.

    Raises:
        FaithfulError: an earlier logit changed by more than rounding can, or the model does not run on tokens alone.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(vocab_size, (1, TOKENS), generator=generator)
    changed = ids.clone()
    changed[0, TOKENS // 2 :] = (ids[0, TOKENS // 2 :] + 1 + torch.arange(TOKENS // 2)) % vocab_size
    weights = next(one for one in model.parameters() if one.is_floating_point())
    try:
        with torch.inference_mode():
            before, after = (
                model(input_ids=one.to(weights.device), use_cache=False).logits[0, : TOKENS // 2].float()
                for one in (ids, changed)
            )
    except Exception as error:
        raise FaithfulError(
            f"{source} ({type(model).__name__}) does not run on token ids alone: {one_line(error)}."
        ) from error
    by_position = (before - after).abs().amax(-1)
    # In 16 bit a router on the brink may send one token to another expert: there most positions must have changed.
    difference = float(by_position.max() if weights.dtype == torch.float32 else by_position.median())
    if difference > TOLERANCE[str(weights.dtype).removeprefix("torch.")] * float(before.abs().max()):
        raise FaithfulError(
            f"{source} ({type(model).__name__}) is not causal: later tokens change its earlier logits, by up to"
            f" {difference:.2g}; choose a causal (decoder-only) LM."
        )


def _has_text(config: Any) -> bool:
    return config.get_text_config() is not config

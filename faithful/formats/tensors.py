"""What the tensors and numbers of others' SAEs are made into, whatever the format."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from faithful.base.errors import FaithfulError


def only(
    tensors: Mapping[str, Tensor], names: Sequence[str], where: str, optional: Sequence[str] = ()
) -> dict[str, Tensor]:
    """The tensors in float32, if they are those that an SAE of its kind has.

    Raises:
        FaithfulError: one of `names` is missing, or there are others than those and the optional ones.
    """
    missing = [name for name in names if name not in tensors]
    foreign = sorted(set(tensors) - set(names) - set(optional))
    if missing or foreign:
        what = f"lack {', '.join(missing)}" if missing else f"hold {', '.join(foreign)}, which is not supported"
        raise FaithfulError(f"The weights of {where} {what}; download or export the SAE again.")
    return {name: tensor.float() for name, tensor in tensors.items()}


def ungated(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A gated encoder as one with thresholds, which it equals: gate and magnitude share W_enc up to a factor per latent.

    With s = (x − b_dec) W_enc: f = ReLU(s exp(r_mag) + b_mag) where s + b_gate > 0, that is, where what the ReLU gets
    exceeds b_mag − b_gate exp(r_mag).
    """
    gain, b_mag = tensors["r_mag"].exp(), tensors["b_mag"]
    threshold = b_mag - tensors["b_gate"] * gain
    return {**tensors, "W_enc": tensors["W_enc"] * gain, "b_enc": b_mag, "threshold": threshold}


def refuse_other_sizes(stated: Mapping[str, Any], d_in: str, d_sae: str, W_dec: Tensor, where: str) -> None:
    """Compare the sizes that a config states under two keys with those of the decoder [d_sae, d_in].

    Raises:
        FaithfulError: they differ.
    """
    for name, size in ((d_sae, W_dec.shape[0]), (d_in, W_dec.shape[1])):
        if stated.get(name) not in (None, size):
            raise FaithfulError(
                f"The config of {where} states {name} {stated[name]}, its weights have {size}; download it again."
            )


def whole_k(value: Any, where: str) -> int:
    """k as a config states it, or among the arguments of its activation function.

    Raises:
        FaithfulError: it is no whole number.
    """
    k = value.get("k") if isinstance(value, dict) else value
    if not isinstance(k, int | float) or k != int(k):
        raise FaithfulError(f"{where} states no whole k; set it in its config.")
    return int(k)

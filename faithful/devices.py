"""Where a model computes: `cpu` or `cuda`."""

from faithful.errors import FaithfulError


def check_device(name: str | None) -> str:
    """The device asked for, by default the GPU where there is one.

    Raises:
        FaithfulError: neither `cpu` nor `cuda`, or no GPU for `cuda`.
    """
    import torch

    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise FaithfulError(f"'{name}' is not a device; choose cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise FaithfulError("There is no GPU here that torch can use; leave --device out, or say --device cpu.")
    return name

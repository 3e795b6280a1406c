"""Where a model computes: `cpu` or `cuda`."""

from faithful.base.errors import FaithfulError


def default_device() -> str:
    """The GPU where torch sees one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def processors(device: str) -> list[str]:
    """What torch computes with here: the CPU's vector instructions, or each GPU's name. Both decide bytes."""
    import torch

    if device == "cpu":
        return [str(torch.backends.cpu.get_cpu_capability())]
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_name(number) for number in range(count)]


def known_device(name: str | None) -> str:
    """The device asked for, here or elsewhere; by default what this machine has.

    Raises:
        FaithfulError: neither `cpu` nor `cuda`.
    """
    name = name or default_device()
    if name not in ("cpu", "cuda"):
        raise FaithfulError(f"'{name}' is not a device; choose cpu or cuda.")
    return name


def check_device(name: str | None) -> str:
    """The device asked for, by default the GPU where there is one.

    Raises:
        FaithfulError: neither `cpu` nor `cuda`, or no GPU for `cuda`.
    """
    name = known_device(name)
    if name == "cuda" and default_device() == "cpu":
        raise FaithfulError("There is no GPU here that torch can use; leave --device out, or say --device cpu.")
    return name

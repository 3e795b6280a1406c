"""What this machine can do and what is missing, for `faithful doctor`."""

import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from faithful.base.errors import FaithfulError
from faithful.base.quantities import format_bytes
from faithful.hub.reachable import hub_problem
from faithful.models.presets import tiny_path

PACKAGES = ("transformers", "datasets", "huggingface_hub", "safetensors", "pyarrow", "polars", "scipy", "matplotlib")
LEAST_DISK = 2 * 2**30


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Attributes:
        name: what was looked at.
        ok: whether it is as it should be (an option that is absent is not ok, but may not be needed).
        found: what is there.
        advice: what to do about it, or what its absence means.
    """

    name: str
    ok: bool
    found: str
    advice: str = ""


def examine() -> list[Finding]:
    """Look at Python, packages, processors, memory, GPU, vLLM, the Hub, the disk and the embedded model."""
    return [_python(), _packages(), _cores(), _memory(), _gpu(), _vllm(), _saebench(), _hub(), _disk(), _tiny()]


def _python() -> Finding:
    return Finding("Python", True, platform.python_version())


def _packages() -> Finding:
    missing = [name for name in ("torch", *PACKAGES) if importlib.util.find_spec(name) is None]
    if missing:
        return Finding("packages", False, f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    found = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "datasets"))
    return Finding("packages", True, found)


def _cores() -> Finding:
    return Finding("processor", True, f"{len(os.sched_getaffinity(0))} cores ({platform.machine()})")


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    enough = total >= 4 * 2**30
    return Finding("memory", enough, format_bytes(total), "" if enough else "4 GiB or more are needed")


def _gpu() -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding("GPU", False, "unknown without torch", "install torch first")
    import torch

    if not torch.cuda.is_available():
        return Finding(
            "GPU", False, "none that torch sees", "models run on the CPU: fine for tiny, slow past 100M parameters"
        )
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Finding("GPU", True, f"{len(names)} × {names[0]}, {format_bytes(torch.cuda.mem_get_info()[1])}")


def _vllm() -> Finding:
    if importlib.util.find_spec("vllm") is None:
        return Finding("vLLM", False, "not installed", "pip install 'faithful-sae[vllm]' on a GPU machine")
    names = metadata.packages_distributions().get("vllm", ["vllm"])
    return Finding("vLLM", True, f"{names[0]} {metadata.version(names[0])}")


def _saebench() -> Finding:
    from studies.bridge.config import PYTHON
    from studies.bridge.environment import check_environment, how_to_make

    if not PYTHON.is_file():
        return Finding("SAEBench", False, f"no {PYTHON}", f"for `faithful evaluate`: {how_to_make()}")
    try:
        found = check_environment(PYTHON)
    except FaithfulError as error:
        return Finding("SAEBench", False, str(PYTHON), str(error))
    return Finding("SAEBench", True, f"{found['sae-bench']} in {PYTHON.parent.parent}")


def _hub() -> Finding:
    from huggingface_hub import get_token

    token = "token found" if get_token() else "no token"
    problem = hub_problem()
    if problem:
        return Finding("Hub", False, f"{problem.split(':')[0]}, {token}", "tiny and local folders work without it")
    advice = "" if get_token() else "`hf auth login` for gated models and publishing"
    return Finding("Hub", True, f"reachable, {token}", advice)


def _disk() -> Finding:
    usage = shutil.disk_usage(Path.cwd())
    enough = usage.free >= LEAST_DISK
    return Finding("disk", enough, f"{format_bytes(usage.free)} free here", "" if enough else "free some space")


def _tiny() -> Finding:
    folder = tiny_path()
    found = (folder / "model.safetensors").exists()
    size = sum(path.stat().st_size for path in folder.iterdir()) if found else 0
    return Finding(
        "embedded model", found, format_bytes(size) if found else "missing", "" if found else "reinstall the package"
    )

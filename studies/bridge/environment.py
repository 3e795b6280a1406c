"""The environment that SAEBench runs in: whether it is there, with the versions that its figures were looked at with."""

import json
import shlex
import subprocess
from importlib import resources
from pathlib import Path

from faithful.base.errors import FaithfulError
from studies.bridge.config import PYTHON

LOOKED_AT = (
    "sae-bench",
    "sae-lens",
    "sae-probes",
    "transformer-lens",
    "transformers",
    "torch",
    "numpy",
    "datasets",
    "scikit-learn",
)
"""Packages whose versions decide the figures; the others of the list are what these were resolved with."""
ASK = (
    "import json, sys; from importlib import metadata as m; here = {d.name.lower().replace('_', '-'): d.version for d in"
    " m.distributions()}; print(json.dumps({n: here.get(n, '') for n in sys.argv[1:]}))"
)
SECONDS = 120


def wanted() -> dict[str, str]:
    """The version of each package that is looked at."""
    lines = requirements().read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {name: pins[name] for name in LOOKED_AT}


def requirements() -> Path:
    """The file that names all packages with their versions."""
    return Path(str(resources.files("studies.bridge") / "requirements.txt"))


def how_to_make(python: Path = PYTHON) -> str:
    """The command that makes the environment."""
    folder, here = shlex.quote(str(python.parent.parent)), shlex.quote(str(python))
    return (
        f"python3 -m venv {folder} && {here} -m pip install torch=={wanted()['torch']} && {here} -m pip install --no-deps -r"
        f" {shlex.quote(str(requirements()))}"
    )


def check_environment(python: Path) -> dict[str, str]:
    """The versions of what is looked at.

    Raises:
        FaithfulError: there is no such environment, it cannot be run, or has other versions.
    """
    if not python.is_file():
        raise FaithfulError(
            f"There is no {python}: SAEBench wants other versions than faithful and has an environment of its own; make it"
            f" with `{how_to_make(python)}`, or name another one's python with --python."
        )
    try:
        asked = [str(python), "-c", ASK, *LOOKED_AT]
        done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=SECONDS)
        found: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise FaithfulError(f"{python} does not run ({type(error).__name__}); name a python with --python.") from error
    other = {name: version for name, version in wanted().items() if found.get(name, "").partition("+")[0] != version}
    if other:
        told = ", ".join(
            f"{name} {found.get(name) or 'missing'} (wanted: {version})" for name, version in other.items()
        )
        raise FaithfulError(
            f"The environment of {python} has other versions than the figures were looked at with: {told}; make one with"
            f" `{how_to_make()}`."
        )
    return found

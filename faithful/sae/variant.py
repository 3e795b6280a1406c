"""What a variant of the SAE changes in its training, and how it is found by its name.

A variant is one file of `faithful/sae/variants`, which ends in `VARIANT = …`, a frozen dataclass of this module's `Variant`;
CONTRIBUTING shows one. Its fields are its parameters.
"""

import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, ClassVar, get_type_hints

from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.base.shapes import Misfit, check
from faithful.base.suggest import did_you_mean
from faithful.sae.sparse import top_k

PACKAGE = "faithful.sae.variants"
DEFAULT = "topk"
WORDS = {"true": True, "false": False}


@dataclass(frozen=True)
class Phase:
    """What holds at one point of the training.

    Attributes:
        k: latents kept per token.
        auxk: weight of the AuxK loss.
        objective: weight of the variant's objective.
    """

    k: int
    auxk: float
    objective: float = 1.0


@dataclass(frozen=True)
class BatchCodes:
    """What an objective sees of one cell and one batch; it must be a function of this and its parameters alone.

    Attributes:
        values: [N, k], float32, ≥ 0; gradients reach the positive ones.
        indices: [N, k], int64, their latents.
        W_dec: [F, d], float32, unit-norm decoder rows; gradients reach it.
        x: [N, d], float32, the scaled activations without the decoder bias, which values · W_dec is to give.
        variance: [], Σ‖x − mean(x)‖²: what squared errors are divided by.
        fraction: of the training that is done, in [0, 1).
        fvu: [], running mean (0.99) of the fraction of variance unexplained.
    """

    values: Tensor
    indices: Tensor
    W_dec: Tensor
    x: Tensor
    variance: Tensor
    fraction: float
    fvu: Tensor


@dataclass(frozen=True)
class Variant:
    """How a training differs from TopK, as here in nothing. Methods depend on their arguments and the fields alone: a cell
    must not depend on those that train beside it, and a resumed training not on where it was stopped.

    Attributes:
        architecture: of the SAE that comes of it, in SAELens' words.
        version: counts changes of the variant that give the same parameters other weights.
    """

    architecture: ClassVar[str] = "topk"
    version: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """The name of its file."""
        return type(self).__module__.rpartition(".")[2]

    def phase(self, fraction: float, k: int, auxk: float) -> Phase:
        """What holds when a fraction in [0, 1) of the training is done, for the k and the weight of AuxK that were asked
        for. The k of the last step is the saved SAE's."""
        return Phase(k, auxk)

    def select(self, scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k latents of each token that may fire, and their scores: [N, F] → [N, k] and int64 [N, k], in any order.

        A token's choice depends on its own scores alone: a batch comes in pieces.
        """
        return top_k(scores, k)

    def objective(self, batch: BatchCodes) -> Tensor | None:
        """An extra loss [] beside fvu and AuxK, differentiable, with the weight of the phase; None is none."""
        return None


def variant_names() -> list[str]:
    """All variants, the default first."""
    names = {module.name for module in pkgutil.iter_modules(import_module(PACKAGE).__path__)}
    return [DEFAULT, *sorted(names - {DEFAULT})]


def find_variant(name: str, parameters: Mapping[str, Any]) -> Variant:
    """A variant with parameters; those that are not given keep their defaults.

    Raises:
        FaithfulError: no such variant, a parameter that it does not have or that is of another type, or what it refuses.
    """
    names = variant_names()
    if name not in names:
        raise FaithfulError(
            f"There is no variant '{name}'; choose {' or '.join(names)} with --variant.{did_you_mean(name, names)}"
        )
    kind: type[Variant] = import_module(f"{PACKAGE}.{name}").VARIANT
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind)]
    try:
        check(dict(parameters), kind)
    except Misfit as error:
        has = f"its parameters are {', '.join(known)}" if known else "it has no parameters"
        raise FaithfulError(f"The variant {name} cannot be trained so: {error}; {has}.") from None
    return kind(**{key: float(value) if hints[key] is float else value for key, value in parameters.items()})


def parse_parameters(texts: Iterable[str]) -> dict[str, object]:
    """Parameters from `NAME=VALUE`: numbers, `true` or `false`, else text.

    Raises:
        FaithfulError: one without a name, or two of one name.
    """
    found: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals or name in found:
            raise FaithfulError(f"'{text}' is no parameter of a variant; give each once, as --parameter NAME=VALUE.")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return WORDS.get(text.lower(), text)

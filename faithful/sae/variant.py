"""What a variant of the SAE changes in its training, and how it is found by its name.

A variant is one file of `faithful/sae/variants`, which ends in `VARIANT = …`, a frozen dataclass of this module's `Variant`;
CONTRIBUTING shows one. Its fields are its parameters.
"""

import pkgutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from typing import Any, ClassVar, Literal, NamedTuple, get_type_hints

import numpy as np
import torch
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.base.shapes import Misfit, check
from faithful.base.suggest import did_you_mean
from faithful.sae.codes import Codes
from faithful.sae.sparse import top_k

PACKAGE = "faithful.sae.variants"
DEFAULT = "topk"
ARCHITECTURES = {"token": "topk", "batch": "jumprelu", "any": "standard"}
State = dict[str, Tensor]


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
class Batch:
    """What a variant sees of one cell and one batch.

    Attributes:
        codes: what fires; gradients of an objective reach values above 0.
        x: [N, d], float32, the scaled activations without the decoder bias, which codes · W_dec is to give.
        error: [N, d], codes · W_dec − x.
        variance: [], Σ‖x − mean(x)‖²: what squared errors are divided by.
        W_enc, b_enc, W_dec: [F, d], [F] and [F, d], float32; gradients of an objective reach the rows.
        phase: what holds in this step.
        step, steps: made before this one, and of the whole training.
        seed: of the cell.
        fvu: [], running mean (0.99) of the fraction of variance unexplained.
    """

    codes: Codes
    x: Tensor
    error: Tensor
    variance: Tensor
    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    phase: Phase
    step: int
    steps: int
    seed: int
    fvu: Tensor

    @property
    def fraction(self) -> float:
        """Of the training that is done, in [0, 1)."""
        return self.step / self.steps

    def generator(self) -> np.random.Generator:
        """Random numbers of this cell and this step alone: the same in any grid, and where a training goes on."""
        return np.random.default_rng([self.seed, self.step])


class Weights(NamedTuple):
    """Parameters of one cell, encoder rows by latent as decoder rows are: [F, d], [F], [F, d] and [d]."""

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor


@dataclass(frozen=True)
class Variant:
    """How a training differs from TopK, as here in nothing. Methods depend on their arguments and the fields alone: a cell
    must not depend on those that train beside it, and a resumed training not on where it was stopped.

    Attributes:
        budget: what may fire: the k best latents of each `token`, the N·k best codes of a `batch`, `any` above 0.
        unit_rows: whether decoder rows are kept at length 1.
        frozen: weights that are not trained, by name.
        stays: whether decoder rows are kept near their start, which is then no sign of too little training.
        control: whether it is there to be fallen short of: contrasted like the others, but in no family of them.
        version: counts changes of the variant that give the same parameters other weights.
    """

    budget: ClassVar[Literal["token", "batch", "any"]] = "token"
    unit_rows: ClassVar[bool] = True
    frozen: ClassVar[tuple[str, ...]] = ()
    stays: ClassVar[bool] = False
    control: ClassVar[bool] = False
    version: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """The name of its file, with hyphens."""
        return type(self).__module__.rpartition(".")[2].replace("_", "-")

    @property
    def label(self) -> str:
        """Its name and all its parameters: `orthogonal alpha=0.2 …`."""
        return " ".join([self.name, *(f"{name}={value}" for name, value in asdict(self).items())])

    @property
    def architecture(self) -> str:
        """Of the SAE that comes of it, in SAELens' words."""
        return ARCHITECTURES[self.budget]

    def check(self, d_sae: int, k: int) -> None:
        """Refuse a shape that the variant cannot have, by a FaithfulError; here none."""

    def memory(self, d_in: int, d_sae: int) -> int:
        """Bytes of what it remembers of a cell."""
        return 0

    def scratch(self, tokens: int, d_in: int, d_sae: int) -> int:
        """Bytes that it uses beside in a step of so many tokens, once for all cells."""
        return 0

    def phase(self, fraction: float, k: int, auxk: float) -> Phase:
        """What holds when a fraction in [0, 1) of the training is done, for the k and the weight of AuxK that were asked
        for. The k of the last step is the saved SAE's. By default all stays as it is, and the weight of the objective is the
        parameter `weight`, if there is one."""
        return Phase(k, auxk, getattr(self, "weight", 1.0))

    def prefixes(self, d_sae: int) -> tuple[int, ...]:
        """Numbers of first latents that are to reconstruct x alone, ascending, all last: the loss is their mean fvu."""
        return (d_sae,)

    def select(self, scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k latents of each token that may fire, and their scores: [N, F] → [N, k] and int64 [N, k], in any order.

        Asked where the budget is a token's. A token's choice depends on its own scores alone: a batch comes in pieces.
        """
        return top_k(scores, k)

    def begin(self, weights: Weights) -> State:
        """What the variant remembers of a cell, by name: tensors, changed in place by `observe` and kept in checkpoints."""
        return {}

    def gate(self, state: State) -> Tensor | None:
        """Which latents take part, bool [F]; others neither fire nor are revived, and are 0 in the saved SAE. None: all."""
        return None

    def objective(self, batch: Batch, state: State) -> Tensor | None:
        """An extra loss [] beside fvu and AuxK, differentiable, with the weight of the phase; None is none."""
        return None

    def observe(self, batch: Batch, state: State) -> None:
        """Look at a batch, before the weights are changed by it."""

    def project(self, weights: Weights, state: State) -> None:
        """Change the weights in place, after a step and after rows were brought to length 1."""

    def threshold(self, state: State) -> Tensor:
        """Above which latents of the saved SAE fire, [] or [F], where the budget is not a token's."""
        return torch.zeros(())

    def report(self, state: State) -> dict[str, float]:
        """Figures of its own, for train.jsonl and cfg.json."""
        return {}


def variant_names() -> list[str]:
    """All variants, the default first."""
    names = {module.name.replace("_", "-") for module in pkgutil.iter_modules(import_module(PACKAGE).__path__)}
    return [DEFAULT, *sorted(names - {DEFAULT})]


def find_kind(name: str) -> type[Variant]:
    """The class of a variant.

    Raises:
        FaithfulError: no such variant.
    """
    names = variant_names()
    if name not in names:
        raise FaithfulError(
            f"There is no variant '{name}'; choose one with --variant: {', '.join(names)}.{did_you_mean(name, names)}"
        )
    kind: type[Variant] = import_module(f"{PACKAGE}.{name.replace('-', '_')}").VARIANT
    return kind


def kind_of(recorded: Mapping[str, Any]) -> type[Variant]:
    """The class of the variant of an SAE's identity; plainly `Variant` of one that this version does not have."""
    name = recorded.get("variant", DEFAULT)
    return find_kind(name) if name in variant_names() else Variant


def find_variant(name: str, parameters: Mapping[str, Any]) -> Variant:
    """A variant with parameters; those that are not given keep their defaults.

    Raises:
        FaithfulError: no such variant, a parameter that it does not have or that is of another type, or what it refuses.
    """
    kind = find_kind(name)
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind)]
    try:
        check(dict(parameters), kind)
    except Misfit as error:
        has = f"its settings are {', '.join(known)}" if known else "it has no settings"
        near = "".join(did_you_mean(one, known) for one in parameters if one not in known)
        raise FaithfulError(f"The variant {name} cannot be trained so: {error}; {has}.{near}") from None
    return kind(**{key: float(value) if hints[key] is float else value for key, value in parameters.items()})

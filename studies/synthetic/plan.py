"""What is trained: the variants with their parameters, and the stacks of each on each truth."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.base.quantities import check_stated
from faithful.base.suggest import did_you_mean
from faithful.sae.config import StackConfig
from faithful.sae.variant import DEFAULT, Variant, find_variant, variant_names
from faithful.store.shape import short_name
from faithful.training.variants import combinations
from studies.synthetic.config import SyntheticConfig
from studies.synthetic.truths import FOREIGN, HIER, PER_DIMENSION

K_PER_DIMENSION = {HIER: 11 / 128}
OTHERS = 8 / 128
SIZES = ("d_sae", "k")
DEAD_SHARE = 0.1


@dataclass(frozen=True)
class Arm:
    """A variant as it was asked for.

    Attributes:
        variant: with its parameters.
        sizes: `d_sae` or `k`, where it has others than the rest.
    """

    variant: Variant
    sizes: Mapping[str, int]

    @property
    def label(self) -> str:
        """What it is called: `topk`, `orthogonal-a0.2`, `topk-d_sae256`."""
        return short_name(self.variant.name, {**asdict(self.variant), **self.sizes})

    def stack(self, config: SyntheticConfig, truth: str, seeds: tuple[int, ...]) -> StackConfig:
        """The stack that trains it on a truth."""
        k = config.k or max(1, round(K_PER_DIMENSION.get(truth, OTHERS) * config.d_in))
        sizes = {"d_sae": _width(config), "k": k} | dict(self.sizes)
        dead = config.dead_tokens or max(1, int(DEAD_SHARE * config.steps * config.batch))
        return StackConfig(
            config.d_in, sizes["d_sae"], sizes["k"], seeds, config.steps, config.lr, dead, variant=self.variant
        )


def arms_of(config: SyntheticConfig) -> list[Arm]:
    """The variants asked for, topk before them where it is not among them; all and a topk of half the width by default.

    Raises:
        FaithfulError: a variant, a setting or a value that is not there.
    """
    asked = combinations(config.variants or variant_names(), config.settings)
    if not config.variants:
        asked.append((DEFAULT, {"d_sae": _width(config) // 2}))
    arms = {arm.label: arm for arm in (_arm(config, name, stated) for name, stated in asked)}
    first = {} if DEFAULT in arms else {DEFAULT: _arm(config, DEFAULT, {})}
    return list((first | arms).values())


def planted_arms(config: SyntheticConfig) -> list[Arm]:
    """Those that planted features are looked for in.

    Raises:
        FaithfulError: one that is not among the variants asked for.
    """
    arms = {arm.label: arm for arm in arms_of(config)}
    for name in config.planted:
        if name not in arms:
            raise FaithfulError(
                f"--planted names '{name}', which is not trained; choose among {', '.join(arms)}, or none."
                f"{did_you_mean(name, arms)}"
            )
    return [arms[name] for name in dict.fromkeys(config.planted)]


def check_plan(config: SyntheticConfig) -> None:
    """Refuse what cannot be done, before work starts.

    Raises:
        FaithfulError: a truth, a variant or a parameter that is not there, a size or a number that cannot be.
    """
    check_stated(config)
    known = [name for name in PER_DIMENSION if name != FOREIGN]
    for name in config.truths:
        if name not in known:
            raise FaithfulError(
                f"There is no truth '{name}'; choose {' or '.join(known)} with --truth.{did_you_mean(name, known)}"
            )
    for what, values in (("--truth", config.truths), ("--truth-seeds", config.truth_seeds), ("--seeds", config.seeds)):
        if not values or len(set(values)) < len(values):
            raise FaithfulError(f"{what} names none, or one twice; name each once.")
    if config.d_in % 4:
        raise FaithfulError(
            f"--d-in is {config.d_in}, and a truth needs a multiple of 4; state another, as --d-in 128."
        )
    if not config.lr > 0:
        raise FaithfulError(f"--lr is {config.lr:g}, and a learning rate is above 0; state another, as --lr 0.003.")
    if config.tokens < 2:
        raise FaithfulError(f"--tokens is {config.tokens}, and a variance needs 2; state more, as --tokens 16384.")
    if config.workers is not None and config.workers < 1:
        raise FaithfulError("--workers is at least 1.")
    for truth in config.truths:
        for arm in [*arms_of(config), *planted_arms(config)]:
            arm.stack(config, truth, config.seeds)


def _arm(config: SyntheticConfig, name: str, stated: Mapping[str, Any]) -> Arm:
    """One combination; sizes that the rest has too are no sizes of its own."""
    sizes = {size: stated[size] for size in SIZES if size in stated}
    for size, value in sizes.items():
        if type(value) is not int:
            raise FaithfulError(f"{size} of {name} is no whole number; write it as --set {name}.{size}=256.")
    rest = {"d_sae": _width(config), "k": config.k}
    own = {size: value for size, value in sizes.items() if value != rest[size]}
    return Arm(find_variant(name, {key: value for key, value in stated.items() if key not in SIZES}), own)


def _width(config: SyntheticConfig) -> int:
    return config.d_sae or 4 * config.d_in

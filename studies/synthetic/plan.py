"""What is trained: the variants with their parameters, and the stacks of each on each truth."""

from collections.abc import Mapping
from dataclasses import dataclass

from faithful.base.errors import FaithfulError
from faithful.base.quantities import check_stated
from faithful.base.suggest import did_you_mean
from faithful.sae.config import StackConfig
from faithful.sae.variant import DEFAULT, Variant, variant_names
from faithful.training.variants import variants_of
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
        label: as it was typed.
        variant: with its parameters.
        sizes: `d_sae` or `k`, where it has others than the rest.
    """

    label: str
    variant: Variant
    sizes: Mapping[str, int]

    def stack(self, config: SyntheticConfig, truth: str, seeds: tuple[int, ...]) -> StackConfig:
        """The stack that trains it on a truth."""
        k = config.k or max(1, round(K_PER_DIMENSION.get(truth, OTHERS) * config.d_in))
        sizes = {"d_sae": config.d_sae or 4 * config.d_in, "k": k} | dict(self.sizes)
        dead = config.dead_tokens or max(1, int(DEAD_SHARE * config.steps * config.batch))
        return StackConfig(
            config.d_in, sizes["d_sae"], sizes["k"], seeds, config.steps, config.lr, dead, variant=self.variant
        )


def arms_of(config: SyntheticConfig) -> list[Arm]:
    """The variants asked for, topk before them where it is not among them; all and a topk of half the width by default."""
    half = (config.d_sae or 4 * config.d_in) // 2
    asked = config.variants or (*variant_names(), f"{DEFAULT}:d_sae={half}")
    return _arms(asked if DEFAULT in asked else (DEFAULT, *asked))


def planted_arms(config: SyntheticConfig) -> list[Arm]:
    """Those that planted features are looked for in."""
    return _arms(config.planted)


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
            f"d_in is {config.d_in}, and a truth needs a multiple of 4; state another with --set d_in=128."
        )
    if not config.lr > 0:
        raise FaithfulError(f"--lr is {config.lr:g}, and a learning rate is above 0; state another, as --lr 0.003.")
    if config.tokens < 2:
        raise FaithfulError(f"tokens is {config.tokens}, and a variance needs 2; state more with --set tokens=16384.")
    if config.workers < 1:
        raise FaithfulError("--workers is at least 1.")
    for truth in config.truths:
        for arm in [*arms_of(config), *planted_arms(config)]:
            arm.stack(config, truth, config.seeds)


def _arms(asked: tuple[str, ...]) -> list[Arm]:
    arms = [_arm(text) for text in asked]
    if twice := [text for text in asked if asked.count(text) > 1]:
        raise FaithfulError(f"The variant {twice[0]} is asked for twice; name each once.")
    return arms


def _arm(text: str) -> Arm:
    name, *stated = text.split(":")
    sizes, settings = {}, []
    named = [one.partition("=")[0] for one in stated]
    for one, setting in zip(stated, named, strict=True):
        value = one.partition("=")[2]
        if not (setting and value) or named.count(setting) > 1:
            raise FaithfulError(
                f"'{text}' states no setting, or one twice, after a colon; write NAME or NAME:PARAMETER=VALUE, as topk:k=16."
            )
        if setting not in SIZES:
            settings.append(f"{name}.{one}")
        elif value.isdecimal():
            sizes[setting] = int(value)
        else:
            raise FaithfulError(f"{setting} of {text} is no whole number; write it as {name}:{setting}=256.")
    (variant,) = variants_of([name], settings)
    return Arm(text, variant, sizes)

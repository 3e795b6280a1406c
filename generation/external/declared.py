"""The sampling that others declare for their samples, checked before work starts."""

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec, check_dtype
from faithful.store.manifest_parts import Identity
from generation.configs.add import DECLARED, AddConfig
from generation.sampling.distribution import Sampling
from generation.sources.samples import Wanted


def wanted_samples(config: AddConfig) -> Wanted | None:
    """What was stated of samples; None where the rows are texts that nobody says were sampled.

    Raises:
        FaithfulError: samples without a temperature, or one that leaves no randomness.
    """
    stated = config.sample_columns() | config.sampling() | ({"dtype": config.dtype} if config.dtype else {})
    if not stated:
        return None
    if config.temperature is None:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in stated)
        raise FaithfulError(
            f"{options} is said of samples of a model, and nothing is certified without the sampling: say --temperature (1"
            " with nothing truncated is the model itself), and --top-p and --top-k where they were used."
        )
    sampling = Sampling(**config.sampling(), greedy=True)
    if sampling.deterministic:
        raise FaithfulError(
            f"Samples drawn with {_words(config)} have no randomness: every one is the same, and nothing can be said of"
            " them; give those of a temperature from 0.01 on, with more than one token to choose from."
        )
    return Wanted(**config.sample_columns(), longest=config.max_tokens)


def declared(config: AddConfig, spec: ModelSpec, context: int) -> Identity:
    """What is declared of samples, as part of an identity: their sampling, and the type that the model ran in.

    Without a longest sample stated the context decides.

    Raises:
        FaithfulError: a longest sample that does not fit the model, an unknown type.
    """
    sampling = Sampling(**({"max_tokens": context - 1} | config.sampling()))
    if spec.positions and sampling.max_tokens >= spec.positions:
        raise FaithfulError(
            f"--max-tokens {sampling.max_tokens} does not fit: {spec.name} has a context of {spec.positions} tokens, BOS"
            " included."
        )
    return {"sampling": sampling.to_dict(), "drawn_in": config.dtype and check_dtype(config.dtype)}


def _words(config: AddConfig) -> str:
    values = config.sampling()
    return ", ".join(f"{name.replace('_', '-')} {values[name]:g}" for name in DECLARED if name in values)

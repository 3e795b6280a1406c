"""Whether a sampler draws from what the certificate will score: asked of every model before a sample is kept.

A few short rows of unequal length are sampled in one batch, so that some begin while others are under way, and scored as
the certificate scores, together and alone. A family whose cache, mask or positions are not what the schedule takes them
for shows here, in the first seconds.
"""

from typing import Any

import numpy as np
import torch

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from generation.sampling.distribution import Sampling
from generation.sampling.engine import Request
from generation.sampling.seeds import sample_seed
from generation.sampling.transformers_engine import TransformersEngine, schedules
from generation.scoring.rounding import EXACT, rounding_cap
from generation.scoring.scorer import Scorer

ROWS, SLOTS, TOKENS, JOINED = 6, 3, 16, 64
STOP_EVERY = 8


def checked_engine(model: Any, spec: ModelSpec, sampling: Sampling, slots: int) -> TransformersEngine:
    """The engine of a model, with the fastest schedule whose log-probabilities are those of a plain forward pass.

    Args:
        model: the causal LM on its device.
        spec: the resolved model.
        sampling: the declared sampling; the check is of the model's own distribution, within its longest sample.
        slots: rows decoded together.

    Raises:
        FaithfulError: every schedule differs by more than rounding, or a text's log-probabilities depend on its batch.
    """
    plain = Sampling(max_tokens=min(TOKENS, sampling.max_tokens))
    cap = rounding_cap(model)
    for schedule in schedules(model):
        reason = _difference(TransformersEngine(model, spec, plain, SLOTS, schedule), cap)
        if reason is None:
            return TransformersEngine(model, spec, sampling, slots, schedule)
    raise FaithfulError(
        f"{spec.name} ({model.config.model_type}) cannot be sampled faithfully here: {reason}. This is how transformers"
        " computes it; use another model, or another version of transformers."
    )


def _difference(engine: TransformersEngine, cap: float) -> str | None:
    """What is wrong with the samples of an engine, None where nothing is."""
    engine.stop_ids = frozenset(range(0, engine.spec.vocab_size, STOP_EVERY))
    scorer = Scorer(engine.model, engine.spec, engine.sampling)
    try:
        samples = list(engine.run(iter([Request(i, sample_seed(0, "check", i)) for i in range(ROWS)])))
        documents = [np.array(sample.token_ids) for sample in samples]
        joined = np.concatenate(documents)[: min(JOINED, (engine.spec.positions or JOINED + 1) - 1)]
        scored = scorer.log_p(documents)
        together, alone = scorer.log_p([joined, *documents])[: len(joined)], scorer.log_p([joined])
    except (FaithfulError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # what a family's code says when it is run in a way it does not know
        return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    drawn = np.concatenate([sample.logprob_p for sample in samples])
    for what, difference in {
        "sampling gives other probabilities than one pass over the text": drawn - scored,
        "a text has other probabilities in a batch than alone": together - alone,
    }.items():
        size = float(np.abs(difference).max() if cap == EXACT else np.sqrt(np.mean(np.square(difference))))
        if not size <= cap:
            return f"{what}, by {size:.2g} nats per token where rounding makes at most {cap:g}"
    return None

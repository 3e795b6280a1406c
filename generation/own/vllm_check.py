"""Whether vLLM computes what transformers, which scores and trains, computes: asked before vLLM draws a sample.

A process of its own samples a text with transformers, as long as a sample may be (so past every window and other switch of
length on the way), and scores it in one plain pass; it ends before vLLM loads, since vLLM patches transformers in its
process and both want the memory. vLLM then scores the same text.
"""

import re
import signal
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from faithful.base.errors import FaithfulError, one_line
from faithful.executor.child import start_child

if TYPE_CHECKING:
    from faithful.models.spec import ModelSpec
    from generation.sampling.distribution import Sampling
    from generation.sampling.engine import EngineSettings
    from generation.sampling.vllm_engine import VllmEngine

LONGEST = {"cpu": 1024, "cuda": 8192}


class Reference(NamedTuple):
    """A text of the model's own as transformers scores it.

    Attributes:
        token_ids: int64 [tokens], without BOS.
        log_p: float64 [tokens], of one plain pass.
        cap: largest difference in nats that rounding can make.
    """

    token_ids: np.ndarray
    log_p: np.ndarray
    cap: float


def reference(spec: "ModelSpec", sampling: "Sampling", settings: "EngineSettings") -> Reference | None:
    """A text and what transformers says of it; None where there is no memory for that.

    Raises:
        FaithfulError: transformers cannot load, sample or score the model, or breaks off.
    """
    ours, theirs = Pipe()
    process = start_child(_refer, theirs, spec, min(LONGEST[settings.device], sampling.max_tokens), settings)
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        process.join()
        if process.exitcode == -signal.SIGKILL:  # by the system: it took too much
            return None
        raise FaithfulError(
            f"The process that scores {spec.name} with transformers, to hold vLLM against it, broke off (exit code"
            f" {process.exitcode}); use --engine transformers."
        ) from None
    finally:
        process.join()
        ours.close()
    if isinstance(answer, str):
        raise FaithfulError(answer)
    return answer if answer is None else Reference(*answer)


def refuse_other_probabilities(engine: "VllmEngine", known: Reference | None) -> None:
    """Compare vLLM's log-probabilities of a text with the reference.

    Raises:
        FaithfulError: they differ by more than rounding; says by how much and from which token on.
    """
    if known is None:
        return
    difference = np.abs(engine.log_p(known.token_ids.tolist()) - known.log_p)
    exact = known.cap < 0.01
    size = float(difference.max() if exact else np.sqrt(np.mean(np.square(difference))))
    if size <= known.cap:
        return
    first = int(np.argmax(difference > known.cap))
    shorter = f", or --max-tokens {first}" if first > 1 else ""
    raise FaithfulError(
        f"vLLM and transformers, which certifies and trains, disagree on {engine.spec.name}: log-probabilities differ by"
        f" {size:.2g} nats per token from token {first + 1} of a text on, where rounding makes at most {known.cap:g}; use"
        f" --engine transformers{shorter}."
    )


def _refer(connection: Connection, spec: "ModelSpec", tokens: int, settings: "EngineSettings") -> None:
    """Main function of the process: sends a reference, None for lack of memory, or a sentence."""
    import torch

    from faithful.models.load import load_model
    from generation.sampling.distribution import Sampling
    from generation.sampling.engine import Request
    from generation.sampling.seeds import sample_seed
    from generation.scoring.rounding import rounding_cap
    from generation.scoring.scorer import Scorer
    from generation.scoring.self_check import checked_engine

    if settings.device == "cpu":
        torch.set_num_threads(settings.threads)
    try:
        model = load_model(spec, settings.device)
        plain = Sampling(max_tokens=min(tokens, 16))
        engine = checked_engine(model, spec, plain, 8)
        samples = list(engine.run(iter([Request(i, sample_seed(0, "check", i)) for i in range(8)])))
        drawn = np.concatenate([np.array(sample.token_ids) for sample in samples])
        token_ids = np.resize(drawn, max(1, tokens - 1))  # again and again, to the length of a sample
        log_p = Scorer(model, spec, plain).log_p([token_ids])
        connection.send((token_ids, log_p, rounding_cap(model)))
    except FaithfulError as error:
        connection.send(str(error))
    except (MemoryError, torch.OutOfMemoryError):
        connection.send(None)
    except Exception as error:  # what no one looked at must not pass for a lack of memory
        if re.search(r"out of memory|alloc_failed", str(error), re.IGNORECASE):
            connection.send(None)
        else:
            connection.send(
                f"transformers, which certifies and trains, cannot score {spec.name}: {type(error).__name__}:"
                f" {one_line(error)}; use another model, or another version of transformers."
            )
    finally:
        connection.close()

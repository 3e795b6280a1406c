"""The vLLM engine: token ids in and out, every sampling field set, a feed that keeps the engine full.

Always run it in a process of its own (`generation.own.workers` does): vLLM patches transformers in its process, and its
settings are environment variables read at import.
"""

import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from faithful.base.errors import FaithfulError, one_line
from faithful.models.load import shape_of
from faithful.models.spec import ModelSpec
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings, Request, Sample, unheard

FEED = 1.1
GIB = 2**30
CPU_BLOCK = 128


def cpu_row_bytes(spec: ModelSpec, sampling: Sampling) -> int:
    """Bytes of vLLM's cache on a CPU that a whole sample takes: in blocks of 128 tokens."""
    blocks = math.ceil((sampling.max_tokens + 1) / CPU_BLOCK)
    return max(1, shape_of(spec).row_bytes(4 if spec.dtype == "float32" else 2, blocks * CPU_BLOCK))


def cpu_cache_gib(row: int, slots: int, available: int) -> int:
    """GiB of cache for `slots` samples of `row` bytes, at most a quarter of the available memory, at least one."""
    return max(1, min(math.ceil(row * (slots + 1) / GIB), available // (4 * GIB)))


def set_environment(settings: EngineSettings, cache_gib: int = 1) -> None:
    """Set what vLLM reads at import; call before anything imports it."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["VLLM_NO_USAGE_STATS"] = "1"
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_CONFIGURE_LOGGING", "1")
    if settings.device == "cpu":
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(cache_gib))
    elif settings.deterministic:
        os.environ["VLLM_BATCH_INVARIANT"] = "1"


def keep_float32(dtype: str) -> None:
    """Have Triton multiply the float32 numbers of a float32 model whole; call before it compiles a kernel.

    By default its products of such numbers keep ten bits, and on a GPU the attention of a float32 model runs on them: its
    log-probabilities would be further from transformers' than rounding in float32 takes them.
    """
    if dtype == "float32":
        os.environ.setdefault("TRITON_F32_DEFAULT", "ieee")


def sampling_params(sampling: Sampling, spec: ModelSpec, seed: int) -> Any:
    """vLLM's SamplingParams for one sample, no field left to a default that a model could change."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    documents = sampling.mode == "documents"
    fields: dict[str, Any] = {
        "n": 1,
        "temperature": 0.0 if sampling.temperature < 0.01 else sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "min_tokens": 0,
        "max_tokens": sampling.max_tokens,
        "ignore_eos": not documents,
        "stop": [],
        "stop_token_ids": list(spec.eos_ids) if documents else [],
        "seed": seed,
        "logprobs": 0,
        "detokenize": False,
        "output_kind": RequestOutputKind.FINAL_ONLY,
        "allowed_token_ids": spec.string_ids().tolist() if sampling.mask_unmapped else None,
    }
    if "watermarking" in SamplingParams.__struct_fields__:
        fields["watermarking"] = False
    return SamplingParams(**fields)


class VllmEngine:
    """Samples through vLLM.

    Args:
        spec: the resolved model.
        sampling: the declared sampling.
        settings: device, slots and determinism.

    Raises:
        FaithfulError: vLLM cannot load the model.
    """

    def __init__(self, spec: ModelSpec, sampling: Sampling, settings: EngineSettings) -> None:
        keep_float32(spec.dtype)
        slots = settings.slots
        if settings.device == "cpu":
            # What does not fit is put off and computed again in parts, which vLLM cannot do with generators of a CPU.
            cache = int(os.environ.get("VLLM_CPU_KVCACHE_SPACE") or 1) * GIB
            slots = max(1, min(slots, cache // cpu_row_bytes(spec, sampling) - 1))
        longest = max(sampling.max_tokens + 1, 3)  # the text of `log_p` has two tokens at least, and vLLM adds one
        from vllm import LLM

        engine: Any = LLM

        self.spec, self.sampling, self.settings = spec, sampling, settings
        try:
            llm = engine(
                model=spec.weights,
                tokenizer=spec.weights,
                revision=spec.hub_revision(),
                tokenizer_revision=spec.hub_revision(),
                skip_tokenizer_init=True,
                trust_remote_code=False,
                dtype=spec.dtype,
                seed=0,
                generation_config="vllm",
                logprobs_mode="raw_logprobs",
                max_model_len=min(spec.positions or longest, longest),
                max_num_seqs=slots,
                enable_prefix_caching=False,
                tensor_parallel_size=settings.tensor_parallel,
                enforce_eager=settings.device == "cpu",
                disable_log_stats=True,
                use_tqdm_on_load=False,
            )
        except Exception as error:
            raise FaithfulError(
                f"vLLM cannot load {spec.name}: {one_line(error)}; try --engine transformers, or a smaller --max-tokens."
            ) from error
        self.told: Callable[[int], None] = unheard
        self.llm = llm
        self.engine = llm.llm_engine

    def run(self, requests: Iterator[Request]) -> Iterator[Sample]:
        """Yield samples as they finish; see `generation.sampling.engine.Engine`.

        Raises:
            FaithfulError: the model gives NaN log-probabilities.
        """
        waiting: dict[str, Request] = {}
        drawn = 0
        room, more = int(self.settings.slots * FEED) + 1, True
        try:
            while True:
                while more and len(waiting) < room:
                    request = next(requests, None)
                    if request is None:
                        more = False
                        break
                    name = str(request.seed)
                    params = sampling_params(self.sampling, self.spec, request.seed)
                    self.engine.add_request(name, {"prompt_token_ids": [self.spec.bos_id]}, params)
                    waiting[name] = request
                if not waiting:
                    return
                drawn += min(len(waiting), self.settings.slots)  # a token each: vLLM hands over whole samples alone
                outputs: list[Any] = self.engine.step()
                for output in outputs:
                    if output.finished:
                        sample = self._sample(waiting.pop(output.request_id), output.outputs[0])
                        drawn -= len(sample.token_ids)
                        yield sample
                self.told(max(0, drawn))
        finally:
            if waiting:
                self.engine.abort_request(list(waiting))

    def log_p(self, token_ids: list[int]) -> np.ndarray:
        """log p of the tokens of a text that follows BOS, float64 [tokens], scored in one pass."""
        from vllm import SamplingParams

        prompt = [self.spec.bos_id, *token_ids]
        params = SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False, temperature=1.0)
        (output,) = self.llm.generate([{"prompt_token_ids": prompt}], params, use_tqdm=False)
        return np.array(
            [step[token].logprob for step, token in zip(output.prompt_logprobs[1:], token_ids, strict=True)]
        )

    def _sample(self, request: Request, output: Any) -> Sample:
        token_ids = list(output.token_ids)
        log_p = [step[token].logprob for step, token in zip(output.logprobs, token_ids, strict=True)]
        if any(value != value or value == float("-inf") for value in log_p):
            raise FaithfulError(
                f"{self.spec.name} gives NaN or infinite logits in {self.spec.dtype} (sample {request.index});"
                " try --dtype float32, or check the weights."
            )
        return Sample(
            index=request.index,
            seed=request.seed,
            token_ids=token_ids,
            finish_reason="stop" if output.finish_reason == "stop" else "length",
            logprob_p=log_p,
            logprob_q=None,
        )

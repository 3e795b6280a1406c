"""What `faithful generate` and `faithful corpus join` are told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from faithful.options.fields import names_in
from faithful.options.marks import ARGUMENT, Count, CountOrNone, names, panel

SAMPLING = panel("Sampling (default: the model's own distribution)")
ENGINE = panel("Engine")


@dataclass(frozen=True)
class GenerateConfig:
    """What the user stated; None is left to the existing corpus, the preset or the defaults. The sampling: see `Sampling`."""

    COMMAND: ClassVar = "generate"

    model: str | None = None
    """Preset name, Hub id, folder or GGUF file; default: the embedded `tiny`."""
    tokens: Count | None = None
    """Training tokens: 20000, 20k, 100M, 1e8; default: the preset's.

    The corpus may hold more, never fewer.
    """
    held_out: Count | None = None
    """Tokens of the split `test`; default 5 % of the training tokens, 20k to 2M."""
    out: Path | None = None
    """Corpus folder; default runs/MODEL/corpora/own…."""
    run: str | None = None
    """Run to put the corpus in; default runs/MODEL."""
    seed: int | None = None
    """Run seed; default 0."""
    temperature: Annotated[float | None, SAMPLING] = None
    """Default 1."""
    top_p: Annotated[float | None, SAMPLING] = None
    """Default 1: nothing truncated."""
    top_k: Annotated[int | None, SAMPLING] = None
    """Default 0: nothing truncated."""
    min_p: Annotated[float | None, SAMPLING] = None
    """Default 0: nothing truncated."""
    repetition_penalty: Annotated[float | None, SAMPLING] = None
    """Default 1: none."""
    max_tokens: Annotated[int | None, SAMPLING] = None
    """Longest sample; default context − 1."""
    mode: Annotated[str | None, SAMPLING] = None
    """documents (stop at end-of-text) or streams."""
    mask_unmapped: Annotated[bool | None, SAMPLING] = None
    """Never draw ids without a string."""
    greedy: Annotated[bool | None, SAMPLING, names("--greedy")] = None
    """Allow settings without randomness."""
    revision: str | None = None
    """Hub revision of the model; resolved to a commit."""
    dtype: Annotated[str | None, ENGINE] = None
    """float32, bfloat16 or float16."""
    load: Annotated[str | None, ENGINE] = None
    """full (default), 8bit or 4bit; a model that is quantised is another one.

    The corpus, its certificate and its card are of the quantised model then, and say so.
    """
    bos: int | None = None
    """Id of the start token, where the model names none."""
    engine: Annotated[str | None, ENGINE] = None
    """auto, vllm or transformers."""
    device: Annotated[str | None, ENGINE] = None
    """cpu or cuda; default: what the machine has."""
    threads: Annotated[int | None, ENGINE] = None
    """CPU threads per worker; default 1."""
    batch: Annotated[int | None, ENGINE] = None
    """Samples in flight per worker."""
    shard_rows: Annotated[int | None, ENGINE] = None
    """Samples per shard."""
    deterministic: Annotated[bool | None, ENGINE, names("--deterministic/--rolling")] = None
    """Drain at shard borders, promise bytes where the engine can."""
    tensor_parallel: Annotated[int | None, ENGINE] = None
    """GPUs that each worker's model is spread over, with vLLM; default 1."""
    workers: Annotated[int | None, ENGINE] = None
    """Processes; default one per GPU, or per core as memory allows, of a cluster all."""
    accept_engine_change: Annotated[bool, ENGINE] = False
    """Go on with another engine, version, --device, --batch or --tensor-parallel than before.

    Bytes are then no longer promised.
    """
    certify_tokens: CountOrNone | None = None
    """Tokens to certify at the end; 0 for none."""

    def sampling_changes(self) -> dict[str, Any]:
        """The sampling fields that were stated: those of that panel."""
        return {name: getattr(self, name) for name in names_in(type(self), SAMPLING) if getattr(self, name) is not None}


@dataclass(frozen=True)
class JoinConfig:
    """What to join."""

    COMMAND: ClassVar = "corpus join"

    parts: Annotated[tuple[Path, ...], ARGUMENT]
    """Folders that `faithful generate --part` made, in any order."""
    out: Path
    """The corpus."""
    certify_tokens: CountOrNone | None = None
    """Tokens to certify at the end; 0 for none."""
    device: str | None = None
    """Where to certify: cpu or cuda; default: what the machine has."""

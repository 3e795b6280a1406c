"""What `faithful corpus add` is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from faithful.options.fields import names_in
from faithful.options.marks import ARGUMENT, Count, Names, names, panel

READING = panel("How to read the source")
MAKING = panel("How documents are made")
SAMPLES = panel("Samples that were drawn elsewhere")
DECLARED = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_tokens")


@dataclass(frozen=True)
class AddConfig:
    """What the user stated; None is left to the existing corpus, the source, the preset or the defaults.

    How to read the source: see `generation.sources.resolve.resolve_source`.
    """

    COMMAND: ClassVar = "corpus add"

    name: Annotated[str, ARGUMENT]
    """Name from `faithful corpus list`, file, folder, or Hub id (org/name)."""
    model: Annotated[str | None, names("--for")] = None
    """Model whose tokens it becomes: preset, Hub id, folder or GGUF file; default: of the run's own text, else `tiny`."""
    tokens: Count | None = None
    """Training tokens: 20000, 20k, 100M; default the preset's, or all there is."""
    held_out: Count | None = None
    """Tokens of the split `test`; default 5 % of the training tokens, 20k to 2M."""
    out: Path | None = None
    """Corpus folder; default runs/MODEL/corpora/NAME."""
    run: str | None = None
    """Run to put the corpus in; default runs/MODEL."""
    config: Annotated[str | None, READING] = None
    """Config of a Hub set."""
    split: Annotated[str | None, READING] = None
    """Split to read; default train."""
    revision: Annotated[str | None, READING] = None
    """Revision of a Hub set; resolved to a commit."""
    columns: Annotated[Names | None, READING, names("--column")] = None
    """Column of the text; several for a template (a,b)."""
    template: Annotated[str | None, READING] = None
    """Named template or format string that makes text of the columns."""
    unit: Annotated[str | None, READING] = None
    """document (a row each) or passage (rows are cut into passages)."""
    leave_out: Annotated[Names | None, READING] = None
    """Tasks to leave out by name; none for none."""
    seed: Annotated[int | None, MAKING] = None
    """Of the order of files and documents; default 0."""
    context: Annotated[int | None, MAKING] = None
    """Tokens per context, BOS included, one more than a document may have; default the preset's."""
    window: Annotated[int | None, MAKING] = None
    """Documents shuffled together; default 16,384."""
    shard_rows: Annotated[int | None, MAKING] = None
    """Documents per shard; default 4,096."""
    bos: int | None = None
    """Id of the start token, where the model names none."""
    model_revision: str | None = None
    """Hub revision of the model."""

    ids: Annotated[bool | None, SAMPLES, names("--ids")] = None
    """The rows are samples as token ids: --column names them, default token_ids."""
    temperature: Annotated[float | None, SAMPLES] = None
    """That they were drawn at. It makes samples of the model of texts, too."""
    top_p: Annotated[float | None, SAMPLES] = None
    """Default 1: nothing truncated."""
    top_k: Annotated[int | None, SAMPLES] = None
    """Default 0: nothing truncated."""
    min_p: Annotated[float | None, SAMPLES] = None
    """Default 0: nothing truncated."""
    repetition_penalty: Annotated[float | None, SAMPLES] = None
    """Default 1: none."""
    max_tokens: Annotated[int | None, SAMPLES] = None
    """Longest sample, end-of-text included; default context − 1."""
    dtype: Annotated[str | None, SAMPLES] = None
    """Type that the model ran in; unknown by default, which counts as 16 bit."""
    finish_reason: Annotated[str | None, SAMPLES] = None
    """Column that says how a sample ended; default finish_reason."""
    prompt_ids: Annotated[str | None, SAMPLES] = None
    """Column of the prompts' ids, which must be BOS alone; default prompt_token_ids."""
    logprobs: Annotated[str | None, SAMPLES] = None
    """Column of log p of each id under the model, before temperature and truncation; default: none is read."""

    def sampling(self) -> dict[str, Any]:
        """What was stated of how samples were drawn: fields of `generation.sampling.distribution.Sampling`."""
        return {name: getattr(self, name) for name in DECLARED if getattr(self, name) is not None}

    def sample_columns(self) -> dict[str, Any]:
        """What was stated of how samples stand in the rows."""
        names = ("ids", "finish_reason", "prompt_ids", "logprobs")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def reading(self) -> dict[str, Any]:
        """What was stated of how to read the source: the fields of that panel."""
        return {name: getattr(self, name) for name in names_in(type(self), READING) if getattr(self, name) is not None}

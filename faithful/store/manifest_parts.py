"""The parts of a corpus' manifest: the types that code reads them with, and what a file is compared with when it is read.

Keys that a kind of corpus lacks may be missing; what a reader misses is refused when it asks for it (`records.Part`).
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

from faithful.base.shapes import Between, Count, Matches, NotNegative, Positive, Share

Kind = Literal["own", "external", "foreign", "derived"]
ShardFile = Annotated[str, Matches(r"(data|test)/[\w-][\w.-]*\.parquet", "a file below data/ or test/")]
Length = Annotated[str, Matches(r"\d{1,12}", "a length")]


@dataclass(frozen=True)
class Pair:
    """A list of two."""

    def allows(self, value: list[float]) -> bool:
        """Whether a list is one."""
        return len(value) == 2

    def __str__(self) -> str:
        return "of 2"


Interval = Annotated[list[float], Pair()]
Seed = Annotated[int, Between(0)]
Load = Annotated[str, Matches("[48]bit", "8bit or 4bit")]
Option = str | list[str] | None


class ModelPart(TypedDict, total=False):
    """See `faithful.models.spec.ModelSpec`: in the identity what decides the bytes, in the provenance the rest."""

    name: str
    source: str
    revision: str
    dtype: str
    bos_id: Count
    bos_from: str
    eos_ids: list[Count]
    vocab_size: Positive
    mapped: Count
    positions: Count
    holes: list[list[Count]]
    load: Load
    tokenizer_sha256: str
    generation_config: dict[str, Any]
    licence: str | None
    language: str | None
    family: str


class SamplingPart(TypedDict, total=False):
    """See `generation.sampling.distribution.Sampling`."""

    temperature: NotNegative
    top_p: Share
    top_k: Count
    min_p: Share
    repetition_penalty: NotNegative
    max_tokens: Positive
    mode: str
    mask_unmapped: bool
    greedy: bool


class EnginePart(TypedDict, total=False):
    """See `generation.writing.identity.engine_identity`."""

    name: str
    device: str
    threads: Count
    slots: Count
    shard_rows: Positive
    deterministic: bool
    tensor_parallel: Positive
    instructions: str
    versions: dict[str, str]
    promise: str


class SamplesPart(TypedDict, total=False):
    """See `generation.sources.samples.Samples`."""

    are_ids: bool
    finish_reason: str
    prompt_ids: str
    logprobs: str
    count: str
    longest: Count
    model: list[str]
    stated: list[list[str]]


class SourcePart(TypedDict, total=False):
    """See `generation.sources.source.Source`: in the identity what decides the rows, in the provenance the rest."""

    name: str
    kind: str
    about: str
    remarks: str
    size: str | None
    licence: str | None
    repo: str | None
    config: str | None
    split: str | None
    revision: str | None
    data_files: list[str]
    builder: str | None
    files: dict[str, str]
    package: str | None
    version: str | None
    columns: list[str]
    template: str | None
    template_rule: str
    source_column: str | None
    leave_out: list[str]
    unit: str
    distinct: bool
    open_files: Positive
    parts: str
    samples: SamplesPart
    held_out: list[str]
    unverified: list[str]
    path: str


class InputName(TypedDict, total=False):
    """A corpus that another is derived from, in its identity: `content_sha256` is the hash of its shards' checksums."""

    name: str
    identity_sha256: str
    content_sha256: str


class DerivationPart(TypedDict, total=False):
    """How a corpus was derived: the operation, its inputs, a corpus that was only looked at, and its parameters."""

    operation: str
    version: int
    inputs: list[InputName]
    like: InputName
    weights: list[float]
    tokens: int | None
    seed: Seed
    near: bool


class Identity(TypedDict, total=False):
    """What decides a corpus' bytes."""

    model: ModelPart
    sampling: SamplingPart
    drawn_in: str | None
    seed: Seed
    engine: EnginePart
    source: SourcePart
    derivation: DerivationPart
    context: Positive
    window: Positive
    shard_rows: Positive
    test_share: Share
    test_by: str
    left_out_sha256: str


class InputPart(TypedDict, total=False):
    """A corpus that another is derived from, in its provenance."""

    name: str
    kind: Kind
    model: ModelPart
    documents: dict[str, Count]
    tokens: dict[str, Count]
    identity: Identity
    provenance: "Provenance"


class LeftOut(TypedDict, total=False):
    """Texts of a source that are not in the corpus, by reason, up to the end of the furthest window read."""

    windows: Count
    texts: dict[str, Count]


class Reading(TypedDict, total=False):
    """How a source was asked for: its name, the options stated, and what all options came to."""

    asked: str
    stated: dict[str, Option]
    resolved: dict[str, Option]
    samples: dict[str, str | bool]


class Unfinished(TypedDict):
    """Of a corpus that is being added: whether it had reached a budget before."""

    grows: bool


class Provenance(TypedDict, total=False):
    """What is known beyond the identity."""

    model: ModelPart
    revision_asked: str
    generation_config_not_applied: dict[str, Any]
    source: SourcePart
    reading: Reading
    left_out: LeftOut
    samples: dict[str, Count]
    exhausted: list[str]
    unfinished: Unfinished
    inputs: list[InputPart]
    counts: dict[str, dict[str, Any]]


class RowsState(TypedDict, total=False):
    """Where the stream of a source's rows stands, see `generation.sources.rows.Rows`."""

    following: Count
    open: list[list[Count]]
    turn: Count
    dropped: dict[str, Count]


class Segment(TypedDict, total=False):
    """Of an own corpus: the engine that drew the rows from `train` and `test` on, and rows before them that it drew again.

    Of an external one: where to read on for a split, see `generation.external.windows.Cursor`.
    """

    train: Count
    test: Count
    engine: EnginePart
    repaired: dict[str, list[list[Count]]]
    split: str
    window: Count
    rows: dict[str, Count]
    state: RowsState | None
    skip: Count
    dropped: dict[str, Count]


class Requested(TypedDict):
    """The largest budget asked for, in tokens per split."""

    train: Count
    test: Count


class Sums(TypedDict, total=False):
    """Of a shard: see `generation.writing.statistics.shard_statistics`."""

    rows: Count
    tokens: Count
    ended: Count
    empty: Count
    unmapped: Count
    looping: Count
    round_trip: Count
    logprob_p_sum: float | None
    lengths: dict[Length, Count]


class TestPart(TypedDict, total=False):
    """A test of a certificate: `p` is None, and `left_out` says why, where it cannot be used."""

    p: Share | None
    p_holm: Share
    left_out: str
    z: float
    chi2: float
    df: float
    log_e_value: float
    count: Count
    bets: Count
    duplicates: Count
    effect: float
    exact: bool


class Certificate(TypedDict, total=False):
    """See `generation.certificate.conclude`, and `model_figures` of `generation.certificate.reference`."""

    verdict: str
    reason: str
    part: str
    surprise_gap: float
    ci95: Interval
    z: float | None
    p_value: Share | None
    p_holm: Share
    tests: dict[str, TestPart]
    impossible_share: Share
    boundary_share: Share
    interval_from: str
    delta: float
    score_mismatch: float | None
    ce: float
    perplexity: float
    entropy: float
    excess_ce: float
    excess_ce_ci95: Interval | None
    first_token_kl: float | None
    first_token_kl_reverse: float | None
    first_token_js: float
    first_token_js_floor: float
    unigram_js: float
    unigram_js_floor: float
    unigram_js_floor_max: float
    unigram_tokens: Count
    reference: str
    tokens_scored: Count
    documents_scored: Count
    split: str
    split_tokens: Count
    sampling: SamplingPart
    as_declared: bool
    seed: Seed
    dtype: str
    load: Load
    pit_edges: list[float]
    pit_counts: list[Count]
    against_drawn: dict[str, float | Interval]
    stored: bool
    not_stored: str


class Curves(TypedDict, total=False):
    """Figures over budgets of tokens."""

    budgets: list[Count]
    vocab_coverage: list[float]
    type_token: list[float]
    distinct_1: list[float]
    distinct_2: list[float]
    distinct_3: list[float]
    distinct_4: list[float]


class SharedGrams(TypedDict, total=False):
    """See `generation.writing.train_test_duplicates.shared_grams`."""

    grams: Count
    share: Share | None
    documents: Count
    sharing: Count
    tokens: Count


class Across(TypedDict, total=False):
    """What the held-out split shares with the training split, see `generation.writing.train_test_duplicates`."""

    near_duplicates: Count
    documents: dict[str, Count]
    tokens: dict[str, Count]
    shared_grams: SharedGrams


class Statistics(TypedDict, total=False):
    """See `generation.writing.statistics.corpus_statistics`."""

    documents: Count
    tokens: Count
    eos_rate: Share
    length_mean: NotNegative
    length_median: NotNegative
    length_p95: NotNegative
    unmapped_rate: Share
    round_trip_rate: Share
    repetition_rate: Share
    ce: float | None
    perplexity: float | None
    compression_ratio: NotNegative | None
    duplicate_rate: Share
    near_duplicate_rate: Share
    curves: Curves
    computed_on: dict[str, Count]
    across: Across
    lengths: dict[Length, Count]


class Described(Statistics, total=False):
    """The figures of a corpus as they are shown: those of its certificate beside them, and whether the manifest has them."""

    surprise_gap: float
    entropy: float
    excess_ce: float
    first_token_kl: float
    first_token_js: float
    first_token_js_floor: float
    unigram_js: float
    unigram_js_floor: float
    stored: bool

"""What a corpus' manifest must look like where it is read again: types and limits of what its readers use.

Keys that a kind of corpus lacks may be missing; what a reader misses is refused when it asks for it (`records.Part`).
"""

from typing import Annotated, Any, TypedDict

from faithful.base.shapes import Between, Count, Matches, NotNegative, Positive, Share

ShardFile = Annotated[str, Matches(r"(data|test)/[\w-][\w.-]*\.parquet", "a file below data/ or test/")]
Length = Annotated[str, Matches(r"\d{1,12}", "a length")]
Seed = Annotated[int, Between(0)]


class Model(TypedDict, total=False):
    """See `model.ModelSpec`."""

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
    tokenizer_sha256: str
    generation_config: dict[str, Any]
    licence: str | None
    language: str | None
    family: str


class Sampling(TypedDict, total=False):
    """See `sampling.Sampling`."""

    temperature: NotNegative
    top_p: Share
    top_k: Count
    min_p: Share
    repetition_penalty: NotNegative
    max_tokens: Positive
    mode: str
    mask_unmapped: bool
    greedy: bool


class Engine(TypedDict, total=False):
    """See `identity.engine_identity`."""

    name: str
    device: str
    threads: Count
    slots: Count
    shard_rows: Positive
    deterministic: bool
    instructions: str
    versions: dict[str, str]
    promise: str


class Source(TypedDict, total=False):
    """What an external corpus was read from."""

    name: str
    kind: str
    about: str
    remarks: str
    size: str | None
    licence: str | None
    repo: str | None
    columns: list[str] | None
    template: str | None
    leave_out: list[str]
    open_files: Positive


class InputName(TypedDict, total=False):
    """A corpus that another is derived from, in its identity."""

    name: str
    identity_sha256: str
    content_sha256: str


class Derivation(TypedDict, total=False):
    """How a corpus was derived."""

    inputs: list[InputName]


class Identity(TypedDict, total=False):
    """What decides a corpus' bytes."""

    model: Model
    sampling: Sampling
    seed: Seed
    engine: Engine
    source: Source
    derivation: Derivation
    context: Positive
    window: Positive
    shard_rows: Positive
    test_share: Share


class Input(TypedDict, total=False):
    """A corpus that another is derived from, in its provenance."""

    name: str
    kind: str
    model: dict[str, Any]
    documents: dict[str, Count]
    tokens: dict[str, Count]
    identity: dict[str, Any]
    provenance: dict[str, Any]


class LeftOut(TypedDict, total=False):
    """Texts of a source that are not in the corpus."""

    windows: Count
    texts: dict[str, Count]


class Reading(TypedDict, total=False):
    """How a source was asked for."""

    asked: str
    stated: dict[str, Any]
    resolved: dict[str, Any]


class Provenance(TypedDict, total=False):
    """What is known beyond the identity."""

    model: Model
    generation_config_not_applied: dict[str, Any]
    source: Source
    reading: Reading
    left_out: LeftOut
    exhausted: list[str]
    inputs: list[Input]
    counts: dict[str, dict[str, Any]]


class Requested(TypedDict):
    """The largest budget asked for, in tokens per split."""

    train: Count
    test: Count


class Sums(TypedDict, total=False):
    """Of a shard: see `statistics.shard_statistics`."""

    rows: Count
    tokens: Count
    ended: Count
    empty: Count
    unmapped: Count
    looping: Count
    round_trip: Count
    logprob_p_sum: float | None
    lengths: dict[Length, Count]


class Test(TypedDict, total=False):
    """Of a certificate."""

    p: Share | None
    p_holm: Share
    left_out: str
    z: float
    chi2: float
    df: float
    log_e_value: float
    count: Count
    effect: float


class Certificate(TypedDict, total=False):
    """See `certificate.certificate`."""

    verdict: str
    reason: str
    part: str
    surprise_gap: float
    ci95: tuple[float, float]
    z: float | None
    p_value: Share | None
    p_holm: Share
    tests: dict[str, Test]
    impossible_share: Share
    boundary_share: Share
    ce: float
    entropy: float
    tokens_scored: Count
    documents_scored: Count
    split_tokens: Count
    pit_edges: list[float]
    pit_counts: list[Count]


class Curves(TypedDict, total=False):
    """Figures over budgets of tokens."""

    budgets: list[Count]
    vocab_coverage: list[float]
    type_token: list[float]
    distinct_1: list[float]
    distinct_2: list[float]
    distinct_3: list[float]
    distinct_4: list[float]


class Across(TypedDict, total=False):
    """Held-out documents that nearly stand in the training split."""

    near_duplicates: Count
    documents: dict[str, Count]
    tokens: dict[str, Count]


class Statistics(TypedDict, total=False):
    """See `statistics.corpus_statistics`."""

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

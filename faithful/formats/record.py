"""The config of an SAE on disk, ours, SAELens' or sparsify's: read in one way, and checked before it is followed."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, cast

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.records import SEAL, read_record, seal_of
from faithful.base.shapes import Between, Count, Matches, Name, NotNegative, Positive, Sha256, Share

RECORD = "faithful"
MEND = "download or train the SAE again"
NumberOf = Annotated[float, Between(1)]
"""SAELens may write 32.0, and a batchtopk that is trained 32.5; what is no whole number is refused with its architecture."""
REWRITTEN = ("dtype", "device")
REWRITTEN_METADATA = ("sae_lens_version", "sae_lens_training_version")


class Identity(TypedDict, total=False):
    """What decides the weights of an SAE that `faithful train` made."""

    model: str
    revision: str
    dtype: str
    load: Annotated[str, Matches("[48]bit", "8bit or 4bit")]
    bos_id: Count
    hook: str
    corpus: str
    prefix_sha256: str
    tokens: Count
    epochs: NotNegative
    context: Positive
    layout: Literal["aligned", "packed"]
    data_seed: Count
    batch: Positive
    buffer: Positive
    drop_outliers: bool
    d_sae: Positive
    k: Positive
    lr: NotNegative
    init_seed: Count
    algorithm: Count
    betas: list[float]
    eps: NotNegative
    clip: NotNegative
    warmup: NotNegative
    decay: NotNegative
    auxk: NotNegative
    dead_tokens: Count
    gemm_dtype: str
    objective: str | None
    schedule: str | None
    variant: Name
    variant_version: Count
    parameters: dict[str, Any]


class Figures(TypedDict, total=False):
    """Figures on held-out text (docs/metrics.md, "Training")."""

    fvu: float | None
    explained_variance: float | None
    mse: NotNegative | None
    l2_ratio: NotNegative | None
    cosine: float | None
    zero_reconstructions: Count
    l0: NotNegative | None
    never_fired: Count | None
    tokens: Count
    ce_clean: float | None
    ce_sae: float | None
    ce_zero: float | None
    ce_mean: float | None
    ce_diff: float | None
    ce_recovered: float | None
    kl: float | None
    scored_tokens: Count
    dead_in_training: Count
    start_cosine: float | None


class Provenance(TypedDict, total=False):
    """How the training of an SAE went; special tokens and outliers are those of the text that it read."""

    threads: Positive
    device: str
    deterministic: bool
    torch: str
    seconds: NotNegative
    special_tokens_left_out: Count
    outliers: Count


class Own(Provenance, total=False):
    """What `faithful train` writes about an SAE."""

    version: str
    identity: Identity
    identity_sha256: Sha256
    hook_module: str
    weights_sha256: Sha256
    log_sha256: Sha256
    training: dict[str, Any]
    first_loss: float
    evaluation: Figures
    record_sha256: str


class Metadata(TypedDict, total=False):
    """`metadata` of SAELens 6."""

    model_name: str | None
    hook_name: str | None
    hook_head_index: int | None
    context_size: Count | None
    prepend_bos: bool | None
    seqpos_slice: list[int | None] | None
    model_from_pretrained_kwargs: dict[str, Any] | None
    dataset_path: str | None
    exclude_special_tokens: bool | list[int] | None
    hook_name_out: Any
    model_class_name: Any
    training_architecture: Any
    training_architecture_details: Any
    notes: Any
    steps: Count | None
    tokens: Count | None
    faithful_seed: int | None
    faithful: Own | None


class Trainer(TypedDict, total=False):
    """What is used of `trainer` in dictionary_learning's config.json."""

    dict_class: str
    activation_dim: Positive
    dict_size: Positive
    k: NumberOf | None
    layer: Count | None
    lm_name: str | None
    submodule_name: str | None
    seed: int | None


class Buffer(TypedDict, total=False):
    """What is used of `buffer` there."""

    io: str
    ctx_len: Positive | None


class Config(TypedDict, total=False):
    """What is used of a config, whoever wrote it."""

    architecture: str | None
    d_in: Positive
    d_sae: Positive | None
    k: NumberOf | None
    hook_point: str | None
    hook_name: str | None
    hook_point_layer: Count | None
    hook_layer: Count | None
    hook_head_index: int | None
    model_name: str | None
    context_size: Count | None
    dataset_path: str | None
    activation_fn: str | None
    activation_fn_str: str | None
    activation_fn_kwargs: dict[str, Any] | None
    apply_b_dec_to_input: bool | None
    normalize_activations: Any
    reshape_activations: Any
    rescale_acts_by_decoder_norm: bool | None
    finetuning_scaling_factor: bool | None
    prepend_bos: bool | None
    metadata: Metadata | None
    activation: str
    signed: Any
    expansion_factor: NotNegative | None
    num_latents: Count
    multi_topk: bool
    skip_connection: bool
    transcode: bool
    lr: NotNegative | None
    auxk_alpha: NotNegative | None
    normalize_decoder: bool
    dead_percentage: Share
    trainer: Trainer
    buffer: Buffer | None


class Run(TypedDict, total=False):
    """config.json of a run of sparsify."""

    model: str | None
    hook_mode: Any


def read_config(path: Path) -> Config:
    """Config of an SAE.

    Raises:
        FaithfulError: it is not there, is damaged, has a value of another kind under a key that is used, or says something
            of our own training that does not hold together.
    """
    if not path.exists():
        raise FaithfulError(f"{path.parent} holds no {path.name}; give the folder of one SAE.")
    config = read_record(path, Config, MEND)
    if own := own_record(config):
        _refuse_edited(path, config, own)
    return config


def seal_config(config: Config) -> Config:
    """A config with a seal under `metadata.faithful`, where that names the weights; any other as it is.

    What SAELens writes anew when it saves an SAE that it has loaded is not part of it.
    """
    found: dict[str, Any] = json.loads(json.dumps(config, allow_nan=False))
    if weights_sha256(config):
        found["metadata"][RECORD].pop(SEAL, None)
        found["metadata"][RECORD][SEAL] = _seal(found)
    return cast(Config, found)


def weights_sha256(config: Config) -> str | None:
    """Hash of the weights that `faithful train` wrote beside this config; None for SAEs from elsewhere."""
    return own_record(config).get("weights_sha256")


def own_record(config: Config) -> Own:
    """What `faithful train` wrote about an SAE; empty for SAEs from elsewhere."""
    metadata = config.get("metadata") or Metadata()
    return metadata.get("faithful") or Own()


def _refuse_edited(path: Path, config: Config, own: Own) -> None:
    identity: Mapping[str, object] = own.get("identity") or {}
    stated: Mapping[str, object] = config
    told = digest(identity)
    if ("record_sha256" in own and own["record_sha256"] != _seal(config)) or own.get("identity_sha256", told) != told:
        raise FaithfulError(
            f"{path} was edited or damaged: it does not match the hashes under `metadata.{RECORD}`; {MEND}, or take"
            f" `{RECORD}` out of its metadata to use it as an SAE from elsewhere."
        )
    may_end_with_other_k = identity.get("schedule") or "variant" in identity
    for name in ("d_sae",) if may_end_with_other_k else ("d_sae", "k"):
        if name in identity and stated.get(name) not in (None, identity[name]):
            raise FaithfulError(f"{path} is damaged: `{name}` is {stated[name]}, trained was {identity[name]}; {MEND}.")


def _seal(config: Mapping[str, Any]) -> str:
    plain: dict[str, Any] = copy.deepcopy({name: value for name, value in config.items() if name not in REWRITTEN})
    for name in REWRITTEN_METADATA:
        plain["metadata"].pop(name, None)
    plain["metadata"][RECORD].pop(SEAL, None)
    return seal_of(plain)

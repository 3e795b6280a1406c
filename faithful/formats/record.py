"""The config of an SAE on disk, ours, SAELens' or sparsify's: read in one way, and checked before it is followed."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.records import SEAL, read_record, seal_of
from faithful.base.shapes import Between, Count, Name, NotNegative, Positive, Sha256, Share

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
    variant: Name
    variant_version: Count
    parameters: dict[str, Any]


class Evaluation(TypedDict, total=False):
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


class Own(TypedDict, total=False):
    """What `faithful train` writes about an SAE."""

    version: str
    identity: Identity
    identity_sha256: Sha256
    hook_module: str
    weights_sha256: Sha256
    log_sha256: Sha256
    training: dict[str, Any]
    first_loss: float
    evaluation: Evaluation
    threads: Positive
    device: str
    deterministic: bool
    torch: str
    seconds: NotNegative
    special_tokens_left_out: Count
    outliers: Count


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
    steps: Count | None
    tokens: Count | None
    faithful_seed: int | None
    faithful: Own | None


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
    rescale_acts_by_decoder_norm: bool | None
    finetuning_scaling_factor: bool | None
    prepend_bos: bool | None
    metadata: Metadata | None
    activation: str
    expansion_factor: NotNegative | None
    num_latents: Count
    multi_topk: bool
    skip_connection: bool
    transcode: bool
    lr: NotNegative | None
    auxk_alpha: NotNegative | None
    normalize_decoder: bool
    dead_percentage: Share


class Run(TypedDict, total=False):
    """config.json of a run of sparsify."""

    model: str | None


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


class DictionaryConfig(TypedDict, total=False):
    """config.json of dictionary_learning."""

    trainer: Trainer
    buffer: Buffer | None


def read_config(path: Path) -> dict[str, Any]:
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


def seal_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config with a seal under `metadata.faithful`, where that names the weights; any other as it is.

    What SAELens writes anew when it saves an SAE that it has loaded is not part of it.
    """
    found = json.loads(json.dumps(config, allow_nan=False))
    if weights_sha256(found):
        found["metadata"][RECORD].pop(SEAL, None)
        found["metadata"][RECORD][SEAL] = _seal(found)
    return dict(found)


def weights_sha256(config: Mapping[str, Any]) -> str | None:
    """Hash of the weights that `faithful train` wrote beside this config; None for SAEs from elsewhere."""
    return own_record(config).get("weights_sha256")


def own_record(config: Mapping[str, Any]) -> dict[str, Any]:
    """What `faithful train` wrote about an SAE; empty for SAEs from elsewhere."""
    return (config.get("metadata") or {}).get(RECORD) or {}


def _refuse_edited(path: Path, config: dict[str, Any], own: dict[str, Any]) -> None:
    identity = own.get("identity") or {}
    told = digest(identity)
    if (SEAL in own and own[SEAL] != _seal(config)) or own.get("identity_sha256", told) != told:
        raise FaithfulError(
            f"{path} was edited or damaged: it does not match the hashes under `metadata.{RECORD}`; {MEND}, or take"
            f" `{RECORD}` out of its metadata to use it as an SAE from elsewhere."
        )
    may_end_with_other_k = identity.get("schedule") or "variant" in identity
    for name in ("d_sae",) if may_end_with_other_k else ("d_sae", "k"):
        if name in identity and config.get(name) not in (None, identity[name]):
            raise FaithfulError(f"{path} is damaged: `{name}` is {config[name]}, trained was {identity[name]}; {MEND}.")


def _seal(config: Mapping[str, Any]) -> str:
    plain = copy.deepcopy({name: value for name, value in config.items() if name not in REWRITTEN})
    for name in REWRITTEN_METADATA:
        plain["metadata"].pop(name, None)
    plain["metadata"][RECORD].pop(SEAL, None)
    return seal_of(plain)

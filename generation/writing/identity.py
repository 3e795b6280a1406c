"""What decides the bytes of a corpus."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import cache
from importlib import metadata
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.base.records import Part
from faithful.models.presets import find_preset
from faithful.models.spec import ModelSpec
from faithful.store.corpus import Manifest
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings

FOREIGN = "foreign"
"""Kind of a corpus of samples that others drew: it declares a sampling, as an own one does, and was not drawn here."""


def model_identity(spec: ModelSpec) -> dict[str, Any]:
    """The part of a model that decides the bytes: no paths, no licence; `holes` only where there are any."""
    holes = {"holes": [list(run) for run in spec.holes]} if spec.holes else {}
    return {
        "name": spec.name,
        "revision": spec.revision,
        "dtype": spec.dtype,
        "bos_id": spec.bos_id,
        "eos_ids": list(spec.eos_ids),
        "vocab_size": spec.vocab_size,
        "mapped": spec.mapped,
        "positions": spec.positions,
        "tokenizer_sha256": spec.tokenizer_sha256,
    } | holes


def tokenizer_identity(spec: ModelSpec) -> dict[str, Any]:
    """The part of a model that decides the bytes of a corpus which it only tokenises."""
    return {name: value for name, value in model_identity(spec).items() if name != "dtype"}


def model_provenance(spec: ModelSpec) -> dict[str, Any]:
    """What is known of the model beyond its identity. A preset's own path is left out: it differs between machines."""
    values = asdict(spec) | {"source": spec.asked}
    return {name: value for name, value in values.items() if name not in ("eos_ids", "holes")}


def engine_identity(settings: EngineSettings) -> dict[str, Any]:
    """Engine, versions and device kind of this machine under the given settings."""
    import torch

    from generation.sampling.transformers_engine import cpu_instruction_set

    if settings.device == "cpu":
        device = {"device": "cpu", "instructions": cpu_instruction_set()}
    else:
        device = {"device": torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU here"}
    modules = dict.fromkeys((settings.name, "transformers", "tokenizers", "numpy", "pyarrow"))
    versions = {name: module_version(name) for name in modules} | {"torch": torch.__version__}
    return asdict(settings) | device | {"versions": versions, "promise": promise(settings)}


def promise(settings: EngineSettings) -> str:
    """`bytes`: any order of shards, any number of workers and any restart give the same files; else `distribution`.

    Only our own engine on one CPU thread promises bytes: GPU kernels that sum in any order are allowed, and what vLLM
    computes together depends on settings of its own.
    """
    own_cpu = settings.name == "transformers" and settings.device == "cpu" and settings.threads == 1
    return "bytes" if settings.deterministic and own_cpu else "distribution"


def module_version(module: str) -> str:
    """Installed version of a module, whatever its distribution is called."""
    names = _distributions().get(module)
    return metadata.version(names[0]) if names else "missing"


@cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def corpus_identity(spec: ModelSpec, sampling: Sampling, seed: int, engine: dict[str, Any]) -> dict[str, Any]:
    """Identity of an own corpus: never times, paths or the token budget."""
    return {"model": model_identity(spec), "sampling": sampling.to_dict(), "seed": seed, "engine": engine}


def settings_from(engine: dict[str, Any]) -> EngineSettings:
    """Engine settings recorded in an identity."""
    names = ("name", "threads", "slots", "shard_rows", "deterministic")
    kind = "cpu" if engine["device"] == "cpu" else "cuda"
    return EngineSettings(device=kind, **{name: engine[name] for name in names})


def check_engine(recorded: dict[str, Any], current: dict[str, Any], accept: bool) -> bool:
    """Compare a corpus' engine with this machine's.

    Returns:
        Whether they are the same.

    Raises:
        FaithfulError: they differ and that was not accepted.
    """
    names = ("device", "instructions", "versions")
    changed = [
        f"{name} {recorded.get(name)} → {current.get(name)}"
        for name in names
        if recorded.get(name) != current.get(name)
    ]
    if changed and not accept:
        raise FaithfulError(
            "The corpus was made with another engine: "
            + "; ".join(changed)
            + ". Install that version, or go on with --accept-engine-change (equal bytes are then no longer promised)."
        )
    return not changed


def spec_of(manifest: Manifest) -> ModelSpec:
    """The resolved model of a corpus, from its manifest alone."""
    values = Part(manifest.provenance["model"] | manifest.identity["model"])
    preset = find_preset(values["name"])
    values["source"] = preset.source if preset else values["source"]
    values["eos_ids"] = tuple(values["eos_ids"])
    values["holes"] = tuple((first, end) for first, end in values.get("holes", ()))
    return ModelSpec(**{field.name: values[field.name] for field in fields(ModelSpec)})


def declares_sampling(manifest: Manifest) -> bool:
    """Whether a corpus says how its documents were sampled: an own one, or samples that others drew."""
    return manifest.kind in ("own", FOREIGN)


def drawn_in(manifest: Manifest) -> str | None:
    """Type that the model ran in when a corpus was sampled; of samples of others 16 bit where they do not say.

    Libraries run a model in the type of its files unless they are told otherwise, and most files hold 16 bits.
    """
    if manifest.kind == FOREIGN:
        return manifest.identity["drawn_in"] or "bfloat16"
    return manifest.identity["model"]["dtype"] if manifest.kind == "own" else None


def is_retokenised(manifest: Manifest) -> bool:
    """Whether the samples of a corpus came as texts, so that its ids are not those that were drawn."""
    return manifest.kind == FOREIGN and not manifest.identity["source"]["samples"]["are_ids"]


def sampling_of(manifest: Manifest) -> Sampling:
    """The sampling that a corpus declares (`declares_sampling`)."""
    return Sampling.from_dict(manifest.identity["sampling"])

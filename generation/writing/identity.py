"""What decides the bytes of a corpus."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import cache
from importlib import metadata
from typing import Final, cast

from faithful.base.errors import FaithfulError
from faithful.base.records import Part
from faithful.executor.where import current_place
from faithful.models.presets import find_preset
from faithful.models.spec import ModelSpec
from faithful.store.corpus import Manifest
from faithful.store.manifest_parts import EnginePart, Identity, ModelPart, Provenance
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings

FOREIGN: Final = "foreign"
"""Kind of a corpus of samples that others drew: it declares a sampling, as an own one does, and was not drawn here."""


def model_identity(spec: ModelSpec) -> ModelPart:
    """The part of a model that decides the bytes: no paths, no licence; `holes` and `load` only where there are any."""
    part: ModelPart = {
        "name": spec.name,
        "revision": spec.revision,
        "dtype": spec.dtype,
        "bos_id": spec.bos_id,
        "eos_ids": list(spec.eos_ids),
        "vocab_size": spec.vocab_size,
        "mapped": spec.mapped,
        "positions": spec.positions,
        "tokenizer_sha256": spec.tokenizer_sha256,
    }
    if spec.holes:
        part["holes"] = [list(run) for run in spec.holes]
    if spec.load:
        part["load"] = spec.load
    return part


def tokenizer_identity(spec: ModelSpec) -> ModelPart:
    """The part of a model that decides the bytes of a corpus which it only tokenises."""
    part = model_identity(spec)
    del part["dtype"]
    part.pop("load", None)
    return part


def model_provenance(spec: ModelSpec) -> ModelPart:
    """What is known of the model beyond its identity. A preset's own path is left out: it differs between machines."""
    part = cast(ModelPart, asdict(spec) | {"source": spec.asked})
    del part["eos_ids"], part["holes"], part["sharded"]  # type: ignore[typeddict-item]
    if not spec.load:
        del part["load"]  # as models were recorded before any was quantised
    return part


def engine_identity(settings: EngineSettings, load: str | None = None) -> EnginePart:
    """Engine, versions and processor of where the samples are drawn; the version of what quantises where `load` does.

    Raises:
        FaithfulError: a cluster whose nodes have different processors, or no GPU for `cuda`.
    """
    import torch

    processor = current_place().processor(settings.device)
    device = {"device": "cpu", "instructions": processor} if settings.device == "cpu" else {"device": processor}
    quantises = ("bitsandbytes",) if load else ()
    modules = dict.fromkeys((settings.name, "transformers", "tokenizers", "numpy", "pyarrow", *quantises))
    versions = {name: module_version(name) for name in modules} | {"torch": torch.__version__}
    stated = asdict(settings)
    if settings.tensor_parallel == 1:
        del stated["tensor_parallel"]  # as corpora were recorded before there was more than one
    return cast(EnginePart, stated | device | {"versions": versions, "promise": promise(settings)})


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


def corpus_identity(spec: ModelSpec, sampling: Sampling, seed: int, engine: EnginePart) -> Identity:
    """Identity of an own corpus: never times, paths or the token budget."""
    return {"model": model_identity(spec), "sampling": sampling.to_dict(), "seed": seed, "engine": engine}


def settings_from(engine: EnginePart) -> EngineSettings:
    """Engine settings recorded in an identity."""
    return EngineSettings(
        name=engine["name"],
        device="cpu" if engine["device"] == "cpu" else "cuda",
        threads=engine["threads"],
        slots=engine["slots"],
        shard_rows=engine["shard_rows"],
        deterministic=engine["deterministic"],
        tensor_parallel=engine.get("tensor_parallel", 1),
    )


def check_engine(recorded: EnginePart, current: EnginePart, accept: bool) -> bool:
    """Compare a corpus' engine with this machine's.

    Returns:
        Whether they are the same.

    Raises:
        FaithfulError: they differ and that was not accepted.
    """
    names = ("device", "instructions", "tensor_parallel", "versions")
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
    values["load"], values["sharded"] = values.get("load"), False
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
    return _came_as_text(manifest.kind, manifest.identity)


def retokenised_inputs(identity: Identity, provenance: Provenance) -> list[str]:
    """Names of the corpora, of samples that came as texts, whose documents a derived corpus holds."""
    taken = {one["name"] for one in identity.get("derivation", {}).get("inputs", ())}
    names = []
    for part in provenance.get("inputs", ()):
        if part["name"] in taken and _came_as_text(part["kind"], part["identity"]):
            names.append(part["name"])
        elif part["name"] in taken:
            names += retokenised_inputs(part["identity"], part.get("provenance", {}))
    return names


def _came_as_text(kind: str, identity: Identity) -> bool:
    return kind == FOREIGN and not identity["source"]["samples"]["are_ids"]


def sampling_of(manifest: Manifest) -> Sampling:
    """The sampling that a corpus declares (`declares_sampling`)."""
    return Sampling.from_dict(manifest.identity["sampling"])

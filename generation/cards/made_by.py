"""The configuration that makes a corpus again, from its manifest: what its card and a report print as a command."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from faithful.models.presets import DEFAULT_CONTEXT, find_preset
from faithful.store.corpus import Manifest
from faithful.store.manifest_parts import DerivationPart
from generation.configs.add import DECLARED, AddConfig
from generation.configs.derive import DedupConfig, MixConfig, ShuffleConfig, SubsampleConfig
from generation.configs.generate import GenerateConfig
from generation.sampling.distribution import Sampling
from generation.writing.identity import FOREIGN, sampling_of, spec_of
from generation.writing.shards import SHARD_ROWS
from generation.writing.splits import WINDOW, held_out_budget

Config = GenerateConfig | AddConfig | MixConfig | ShuffleConfig | DedupConfig | SubsampleConfig
DERIVATIONS: dict[str, Any] = {
    "mix": MixConfig, "shuffle": ShuffleConfig, "dedup": DedupConfig, "subsample": SubsampleConfig,
}  # fmt: skip


def made_by(manifest: Manifest) -> Config:
    """What to tell the command of its kind: local files and the inputs of a derivation by name, without their folder."""
    kinds: dict[str, Callable[[Manifest], Config]] = {
        "own": _own,
        "external": _external,
        FOREIGN: _external,
        "derived": _derived,
    }
    return kinds[manifest.kind](manifest)


def context_by_default(manifest: Manifest) -> int:
    """Tokens per context, BOS included, where none is stated: of samples of others all that the model has."""
    spec = spec_of(manifest)
    return (spec.positions or spec.default_context) if manifest.kind == FOREIGN else spec.default_context


def parameters(derivation: DerivationPart) -> dict[str, object]:
    """The parameters of a derivation that say something; a corpus that is only looked at by its name."""
    found = {name: value for name, value in derivation.items() if name not in ("operation", "version", "inputs")}
    if "like" in derivation:
        found["like"] = derivation["like"]["name"]
    return {name: value for name, value in found.items() if value is not None and value is not False}


def _own(manifest: Manifest) -> GenerateConfig:
    engine = manifest.identity["engine"]
    preset = find_preset(manifest.identity["model"]["name"])
    default = Sampling(max_tokens=(preset.context if preset else DEFAULT_CONTEXT) - 1)
    sampling = asdict(sampling_of(manifest))
    return GenerateConfig(
        model=manifest.provenance["model"]["source"],
        tokens=manifest.requested["train"],
        held_out=manifest.requested["test"],
        seed=manifest.identity["seed"],
        **{name: value for name, value in sampling.items() if value != getattr(default, name)},
        revision=_revision(manifest),
        dtype=manifest.identity["model"]["dtype"],
        load=manifest.identity["model"].get("load"),
        bos=_bos(manifest),
        engine=engine["name"],
        device="cpu" if engine["device"] == "cpu" else "cuda",
        threads=engine["threads"],
        batch=engine["slots"],
        shard_rows=engine["shard_rows"],
        deterministic=engine["deterministic"],
        tensor_parallel=engine.get("tensor_parallel"),
    )


def _external(manifest: Manifest) -> AddConfig:
    recorded: Mapping[str, Any] = manifest.identity
    spec, reading = spec_of(manifest), manifest.provenance["reading"]
    from_files = manifest.identity["source"]["kind"] == "files"
    tokens = {split: min(manifest.requested[split], manifest.tokens(split)) for split in manifest.requested}
    by_rule = not tokens["test"] or manifest.requested["test"] == held_out_budget(tokens["train"])
    defaults = {"seed": 0, "context": context_by_default(manifest), "window": WINDOW, "shard_rows": SHARD_ROWS}
    return AddConfig(
        name=reading["asked"].rstrip("/").split("/")[-1] if from_files else reading["asked"],
        model=spec.asked,
        tokens=tokens["train"],
        held_out=None if by_rule else tokens["test"],
        **{name: _field(value) for name, value in reading["stated"].items()},
        **{name: recorded[name] for name, value in defaults.items() if recorded.get(name, value) != value},
        **(_samples(manifest) if manifest.kind == FOREIGN else {}),
        bos=_bos(manifest),
        model_revision=_revision(manifest),
    )


def _samples(manifest: Manifest) -> dict[str, Any]:
    """What was declared of samples that others drew: their temperature always, the rest where it is not the default."""
    usual = asdict(Sampling(max_tokens=manifest.identity["context"] - 1))
    sampling = asdict(sampling_of(manifest))
    declared = {name: sampling[name] for name in DECLARED if name == "temperature" or sampling[name] != usual[name]}
    return declared | {"dtype": manifest.identity["drawn_in"]} | manifest.provenance["reading"].get("samples", {})


def _derived(manifest: Manifest) -> Config:
    derivation = manifest.identity["derivation"]
    inputs = tuple(Path(entry["name"]) for entry in derivation["inputs"])
    stated = {name: _field(value) for name, value in parameters(derivation).items()}
    if "like" in stated:
        stated["like"] = Path(derivation["like"]["name"])
    if (shard_rows := manifest.identity.get("shard_rows", SHARD_ROWS)) != SHARD_ROWS:
        stated["shard_rows"] = shard_rows
    stated |= {"folders": inputs} if derivation["operation"] == "mix" else {"folder": inputs[0]}
    config: Config = DERIVATIONS[derivation["operation"]](out=Path(manifest.name), **stated)
    return config


def _field(value: Any) -> Any:
    """A value of JSON as a field has it."""
    return tuple(value) if isinstance(value, list) else value


def _revision(manifest: Manifest) -> str | None:
    """Of the model on the Hub; a folder's has none to ask for."""
    revision = str(manifest.identity["model"]["revision"])
    return None if revision.startswith("sha256:") else revision


def _bos(manifest: Manifest) -> int | None:
    return manifest.identity["model"]["bos_id"] if manifest.provenance["model"]["bos_from"] == "--bos" else None

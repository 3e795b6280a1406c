"""What makes one trained SAE the same as another: everything that its weights depend on, by hash."""

from collections.abc import Mapping
from dataclasses import asdict

from faithful.base.errors import FaithfulError
from faithful.formats.record import Identity
from faithful.sae.variant import DEFAULT, Variant, find_variant, variant_names
from faithful.store.shape import Shape
from faithful.training.config import Settings

ALGORITHM = 2
"""Counts changes of the training that give the same settings other weights."""


def cell_identity(settings: Settings, corpus: str, prefix_sha256: str, shape: Shape, seed: int) -> Identity:
    """What decides a cell's weights: model, hook, the tokens it reads and their order, its own settings."""
    model = settings.model
    how = settings.stack(1, shape, (seed,), 1)
    return {
        "model": model.name,
        "revision": model.revision,
        "dtype": model.dtype,
        "bos_id": model.bos_id,
        "hook": settings.hook.name,
        "corpus": corpus,
        "prefix_sha256": prefix_sha256,
        "tokens": settings.tokens,
        "epochs": settings.epochs,
        "context": settings.context,
        "layout": settings.layout,  # type: ignore[typeddict-item]
        "data_seed": settings.data_seed,
        "batch": settings.batch,
        "buffer": settings.buffer,
        "drop_outliers": settings.drop_outliers,
        "d_sae": shape.d_sae,
        "k": shape.k,
        "lr": how.lr,
        "init_seed": seed,
        "algorithm": ALGORITHM,
        "betas": list(how.betas),
        "eps": how.eps,
        "clip": how.clip,
        "warmup": how.warmup,
        "decay": how.decay,
        "auxk": how.auxk,
        "dead_tokens": how.dead_tokens,
        "gemm_dtype": how.gemm_dtype or "float32",
        "objective": None,
        "schedule": None,
        **({"load": model.load} if model.load else {}),
        **variant_identity(shape.variant),
    }


def variant_identity(variant: Variant) -> Identity:
    """What a variant adds to an identity; TopK nothing: its SAEs are those of before there were variants."""
    if variant.name == DEFAULT:
        return {}
    return {"variant": variant.name, "variant_version": variant.version, "parameters": asdict(variant)}


def recorded_variant(identity: Identity) -> Variant | None:
    """The variant that an identity names, with its parameters; None where this version does not have it as it was then.

    Only files of `faithful/sae/variants` are imported, whatever an identity says.
    """
    name = identity.get("variant", DEFAULT)
    if identity["objective"] or identity["schedule"] or name not in variant_names():
        return None
    try:
        variant = find_variant(name, identity.get("parameters", {}))
    except FaithfulError:
        return None
    return variant if variant.version == identity.get("variant_version", variant.version) else None


def in_words(parameters: Mapping[str, object]) -> str:
    """A variant's parameters: `start 3, price 0.05`."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in parameters.items()) or "none"

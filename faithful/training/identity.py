"""What makes one trained SAE the same as another: everything that its weights depend on, by hash."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.hooks.hook import Hook
from faithful.training.config import Settings

ALGORITHM = 2
"""Counts changes of the training that give the same settings other weights."""


def cell_identity(settings: Settings, corpus: str, prefix_sha256: str, d_sae: int, k: int, seed: int) -> dict[str, Any]:
    """What decides a cell's weights: model, hook, the tokens it reads and their order, its own settings."""
    model = settings.model
    how = settings.stack(1, d_sae, k, (seed,), 1)
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
        "layout": settings.layout,
        "data_seed": settings.data_seed,
        "batch": settings.batch,
        "buffer": settings.buffer,
        "drop_outliers": settings.drop_outliers,
        "d_sae": d_sae,
        "k": k,
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
        "objective": _named(settings.objective),
        "schedule": _named(settings.schedule),
    }


def _named(function: Callable[..., Any] | None) -> str | None:
    """What a function is called, module and all.

    Raises:
        FaithfulError: it has no name to find it by.
    """
    if function is None:
        return None
    name = getattr(function, "__qualname__", "<")
    if "<" in name:
        raise FaithfulError("An objective or schedule decides the weights and must be a function of a module, by name.")
    return f"{function.__module__}.{name}"


def identity_sha256(identity: dict[str, Any]) -> str:
    """SHA-256 of an identity's canonical JSON."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def shape_name(hook: Hook, d_sae: int, k: int) -> str:
    """Folder of a shape: `resid_pre.8-f12288-k16`."""
    return f"{hook.name}-f{d_sae}-k{k}"

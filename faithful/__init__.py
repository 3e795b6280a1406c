"""faithful: does the text you train a sparse autoencoder on decide what you find?

The public functions have the names and the words of the commands: `generate`, `certify`, `corpus_statistics`, `export`,
`resolve_model`. They are imported when they are first used, so that `import faithful` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Corpus": "faithful.corpus",
    "FaithfulError": "faithful.errors",
    "ModelSpec": "faithful.model",
    "load_model": "faithful.model",
    "presets": "faithful.catalog",
    "resolve_model": "faithful.model",
    "CertifyConfig": "generation.certify",
    "certify": "generation.certify",
    "ExportConfig": "generation.export",
    "export": "generation.export",
    "GenerateConfig": "generation.prepare",
    "generate": "generation.generate",
    "Sampling": "generation.sampling",
    "corpus_statistics": "generation.statistics",
}

if TYPE_CHECKING:
    from faithful.catalog import presets
    from faithful.corpus import Corpus
    from faithful.errors import FaithfulError
    from faithful.model import ModelSpec, load_model, resolve_model
    from generation.certify import CertifyConfig, certify
    from generation.export import ExportConfig, export
    from generation.generate import generate
    from generation.prepare import GenerateConfig
    from generation.sampling import Sampling
    from generation.statistics import corpus_statistics

__all__ = [
    "CertifyConfig",
    "Corpus",
    "ExportConfig",
    "FaithfulError",
    "GenerateConfig",
    "ModelSpec",
    "Sampling",
    "certify",
    "corpus_statistics",
    "export",
    "generate",
    "load_model",
    "presets",
    "resolve_model",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'faithful' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

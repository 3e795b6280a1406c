"""faithful: does the text you train a sparse autoencoder on decide what you find?

The public functions have the names and the words of the commands: `generate`, `certify`, `add`, `train`, `study_corpora` …,
each with a configuration of its own. They are imported when they are first used, so that `import faithful` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "presets": "faithful.catalog",
    "Corpus": "faithful.corpus",
    "FaithfulError": "faithful.errors",
    "ModelSpec": "faithful.model",
    "load_model": "faithful.model",
    "resolve_model": "faithful.model",
    "PublishConfig": "faithful.publish",
    "publish_corpus": "faithful.publish",
    "publish_saes": "faithful.publish",
    "publish_run": "faithful.publish",
    "run_recipe": "faithful.recipe",
    "load_recipe": "faithful.recipe_config",
    "export_dictionary_learning": "faithful.sae.exports",
    "export_sparsify": "faithful.sae.exports",
    "load_sae": "faithful.sae.files",
    "save_sae": "faithful.sae.files",
    "TrainConfig": "faithful.train_config",
    "train": "faithful.training",
    "add": "generation.add",
    "AddConfig": "generation.add_config",
    "CertifyConfig": "generation.certify",
    "certify": "generation.certify",
    "DedupConfig": "generation.dedup",
    "dedup": "generation.dedup",
    "ExportConfig": "generation.export",
    "export": "generation.export",
    "generate": "generation.generate",
    "MixConfig": "generation.mix",
    "mix": "generation.mix",
    "GenerateConfig": "generation.prepare",
    "Sampling": "generation.sampling",
    "ShuffleConfig": "generation.shuffle",
    "shuffle": "generation.shuffle",
    "corpus_statistics": "generation.statistics",
    "SubsampleConfig": "generation.subsample",
    "subsample": "generation.subsample",
    "CorporaConfig": "studies.corpora",
    "study_corpora": "studies.corpora",
    "FakesConfig": "studies.fakes",
    "study_fakes": "studies.fakes",
    "ProbesConfig": "studies.probes",
    "study_probes": "studies.probes",
    "ReconstructionConfig": "studies.reconstruction",
    "study_reconstruction": "studies.reconstruction",
    "ReportConfig": "studies.report",
    "write_report": "studies.report",
    "SeedsConfig": "studies.seeds",
    "study_seeds": "studies.seeds",
}

if TYPE_CHECKING:
    from faithful.catalog import presets
    from faithful.corpus import Corpus
    from faithful.errors import FaithfulError
    from faithful.model import ModelSpec, load_model, resolve_model
    from faithful.publish import PublishConfig, publish_corpus, publish_run, publish_saes
    from faithful.recipe import run_recipe
    from faithful.recipe_config import load_recipe
    from faithful.sae.exports import export_dictionary_learning, export_sparsify
    from faithful.sae.files import load_sae, save_sae
    from faithful.train_config import TrainConfig
    from faithful.training import train
    from generation.add import add
    from generation.add_config import AddConfig
    from generation.certify import CertifyConfig, certify
    from generation.dedup import DedupConfig, dedup
    from generation.export import ExportConfig, export
    from generation.generate import generate
    from generation.mix import MixConfig, mix
    from generation.prepare import GenerateConfig
    from generation.sampling import Sampling
    from generation.shuffle import ShuffleConfig, shuffle
    from generation.statistics import corpus_statistics
    from generation.subsample import SubsampleConfig, subsample
    from studies.corpora import CorporaConfig, study_corpora
    from studies.fakes import FakesConfig, study_fakes
    from studies.probes import ProbesConfig, study_probes
    from studies.reconstruction import ReconstructionConfig, study_reconstruction
    from studies.report import ReportConfig, write_report
    from studies.seeds import SeedsConfig, study_seeds

__all__ = [
    "AddConfig",
    "CertifyConfig",
    "CorporaConfig",
    "Corpus",
    "DedupConfig",
    "ExportConfig",
    "FaithfulError",
    "FakesConfig",
    "GenerateConfig",
    "MixConfig",
    "ModelSpec",
    "ProbesConfig",
    "PublishConfig",
    "ReconstructionConfig",
    "ReportConfig",
    "Sampling",
    "SeedsConfig",
    "ShuffleConfig",
    "SubsampleConfig",
    "TrainConfig",
    "add",
    "certify",
    "corpus_statistics",
    "dedup",
    "export",
    "export_dictionary_learning",
    "export_sparsify",
    "generate",
    "load_model",
    "load_recipe",
    "load_sae",
    "mix",
    "presets",
    "publish_corpus",
    "publish_run",
    "publish_saes",
    "resolve_model",
    "run_recipe",
    "save_sae",
    "shuffle",
    "study_corpora",
    "study_fakes",
    "study_probes",
    "study_reconstruction",
    "study_seeds",
    "subsample",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'faithful' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

"""faithful: does the text you train a sparse autoencoder on decide what you find?

The public functions have the names and the words of the commands: `generate`, `certify`, `add`, `train`, `study_corpora` …,
each with a configuration of its own. They are imported when they are first used, so that `import faithful` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from faithful.base.version import __version__ as __version__

_HOMES = {
    "presets": "faithful.models.presets",
    "Corpus": "faithful.store.corpus",
    "FaithfulError": "faithful.base.errors",
    "ModelSpec": "faithful.models.spec",
    "load_model": "faithful.models.load",
    "resolve_model": "faithful.models.spec",
    "PublishConfig": "faithful.hub.config",
    "PublishCorpusConfig": "faithful.hub.config",
    "PublishSaesConfig": "faithful.hub.config",
    "publish_corpus": "studies.runs.publish",
    "publish_saes": "studies.runs.publish",
    "publish_run": "studies.runs.publish",
    "run_recipe": "studies.runs.recipe",
    "load_recipe": "studies.runs.recipe_file",
    "export_dictionary_learning": "faithful.formats.exports",
    "export_sparsify": "faithful.formats.exports",
    "load_sae": "faithful.formats.files",
    "save_sae": "faithful.formats.files",
    "TrainConfig": "faithful.training.config",
    "train": "faithful.training.train",
    "add": "generation.external.add",
    "AddConfig": "generation.configs.add",
    "CertifyConfig": "generation.configs.certify",
    "certify": "generation.certificate.certify",
    "DedupConfig": "generation.configs.derive",
    "dedup": "generation.derived.dedup",
    "ExportConfig": "generation.configs.export",
    "export": "generation.writing.export",
    "generate": "generation.own.generate",
    "join": "generation.own.join",
    "MixConfig": "generation.configs.derive",
    "mix": "generation.derived.mix",
    "GenerateConfig": "generation.configs.generate",
    "JoinConfig": "generation.configs.generate",
    "Sampling": "generation.sampling.distribution",
    "ShuffleConfig": "generation.configs.derive",
    "shuffle": "generation.derived.shuffle",
    "statistics_of": "generation.cards.describe",
    "SubsampleConfig": "generation.configs.derive",
    "subsample": "generation.derived.subsample",
    "CorporaConfig": "studies.corpora.config",
    "study_corpora": "studies.corpora.study",
    "FakesConfig": "studies.fakes.config",
    "study_fakes": "studies.fakes.study",
    "ProbesConfig": "studies.probes.config",
    "study_probes": "studies.probes.study",
    "ReconstructionConfig": "studies.reconstruction.config",
    "study_reconstruction": "studies.reconstruction.study",
    "ReportConfig": "studies.report.config",
    "write_report": "studies.report.write",
    "SeedsConfig": "studies.seeds.config",
    "study_seeds": "studies.seeds.study",
    "encode_text": "faithful.activations.encode_text",
    "EncodedText": "faithful.activations.encode_text",
    "AbsorptionConfig": "studies.absorption.config",
    "study_absorption": "studies.absorption.study",
    "InterventionsConfig": "studies.interventions.config",
    "study_interventions": "studies.interventions.study",
    "SparsityConfig": "studies.sparsity.config",
    "study_sparsity": "studies.sparsity.study",
    "SyntheticConfig": "studies.synthetic.config",
    "study_synthetic": "studies.synthetic.study",
    "ExplanationsConfig": "studies.explanations.config",
    "study_explanations": "studies.explanations.study",
    "UnlearningConfig": "studies.unlearning.config",
    "study_unlearning": "studies.unlearning.study",
    "VariantsConfig": "studies.variants.config",
    "study_variants": "studies.variants.study",
    "SaeBenchConfig": "studies.bridge.config",
    "SaeProbesConfig": "studies.bridge.config",
    "evaluate_saebench": "studies.bridge.evaluate",
    "evaluate_sae_probes": "studies.bridge.evaluate",
    "BrowseConfig": "studies.browse.config",
    "browse": "studies.browse.write",
    "top_contexts": "studies.browse.top_contexts",
    "LatentContext": "studies.browse.top_contexts",
    "ExportNeuronpediaConfig": "studies.runs.neuronpedia.config",
    "PublishNeuronpediaConfig": "studies.runs.neuronpedia.config",
    "export_neuronpedia": "studies.runs.neuronpedia.export",
    "publish_neuronpedia": "studies.runs.neuronpedia.send",
}

if TYPE_CHECKING:
    from faithful.activations.encode_text import EncodedText, encode_text
    from faithful.base.errors import FaithfulError
    from faithful.formats.exports import export_dictionary_learning, export_sparsify
    from faithful.formats.files import load_sae, save_sae
    from faithful.hub.config import PublishConfig, PublishCorpusConfig, PublishSaesConfig
    from faithful.models.load import load_model
    from faithful.models.presets import presets
    from faithful.models.spec import ModelSpec, resolve_model
    from faithful.store.corpus import Corpus
    from faithful.training.config import TrainConfig
    from faithful.training.train import train
    from generation.cards.describe import statistics_of
    from generation.certificate.certify import certify
    from generation.configs.add import AddConfig
    from generation.configs.certify import CertifyConfig
    from generation.configs.derive import DedupConfig, MixConfig, ShuffleConfig, SubsampleConfig
    from generation.configs.export import ExportConfig
    from generation.configs.generate import GenerateConfig, JoinConfig
    from generation.derived.dedup import dedup
    from generation.derived.mix import mix
    from generation.derived.shuffle import shuffle
    from generation.derived.subsample import subsample
    from generation.external.add import add
    from generation.own.generate import generate
    from generation.own.join import join
    from generation.sampling.distribution import Sampling
    from generation.writing.export import export
    from studies.absorption.config import AbsorptionConfig
    from studies.absorption.study import study_absorption
    from studies.bridge.config import SaeBenchConfig, SaeProbesConfig
    from studies.bridge.evaluate import evaluate_sae_probes, evaluate_saebench
    from studies.browse.config import BrowseConfig
    from studies.browse.top_contexts import LatentContext, top_contexts
    from studies.browse.write import browse
    from studies.corpora.config import CorporaConfig
    from studies.corpora.study import study_corpora
    from studies.explanations.config import ExplanationsConfig
    from studies.explanations.study import study_explanations
    from studies.fakes.config import FakesConfig
    from studies.fakes.study import study_fakes
    from studies.interventions.config import InterventionsConfig
    from studies.interventions.study import study_interventions
    from studies.probes.config import ProbesConfig
    from studies.probes.study import study_probes
    from studies.reconstruction.config import ReconstructionConfig
    from studies.reconstruction.study import study_reconstruction
    from studies.report.config import ReportConfig
    from studies.report.write import write_report
    from studies.runs.neuronpedia.config import ExportNeuronpediaConfig, PublishNeuronpediaConfig
    from studies.runs.neuronpedia.export import export_neuronpedia
    from studies.runs.neuronpedia.send import publish_neuronpedia
    from studies.runs.publish import publish_corpus, publish_run, publish_saes
    from studies.runs.recipe import run_recipe
    from studies.runs.recipe_file import load_recipe
    from studies.seeds.config import SeedsConfig
    from studies.seeds.study import study_seeds
    from studies.sparsity.config import SparsityConfig
    from studies.sparsity.study import study_sparsity
    from studies.synthetic.config import SyntheticConfig
    from studies.synthetic.study import study_synthetic
    from studies.unlearning.config import UnlearningConfig
    from studies.unlearning.study import study_unlearning
    from studies.variants.config import VariantsConfig
    from studies.variants.study import study_variants

__all__ = [
    "AbsorptionConfig",
    "AddConfig",
    "BrowseConfig",
    "CertifyConfig",
    "CorporaConfig",
    "Corpus",
    "DedupConfig",
    "EncodedText",
    "ExplanationsConfig",
    "ExportConfig",
    "ExportNeuronpediaConfig",
    "FaithfulError",
    "FakesConfig",
    "GenerateConfig",
    "InterventionsConfig",
    "JoinConfig",
    "LatentContext",
    "MixConfig",
    "ModelSpec",
    "ProbesConfig",
    "PublishConfig",
    "PublishCorpusConfig",
    "PublishNeuronpediaConfig",
    "PublishSaesConfig",
    "ReconstructionConfig",
    "ReportConfig",
    "SaeBenchConfig",
    "SaeProbesConfig",
    "Sampling",
    "SeedsConfig",
    "ShuffleConfig",
    "SparsityConfig",
    "SubsampleConfig",
    "SyntheticConfig",
    "TrainConfig",
    "UnlearningConfig",
    "VariantsConfig",
    "add",
    "browse",
    "certify",
    "dedup",
    "encode_text",
    "evaluate_sae_probes",
    "evaluate_saebench",
    "export",
    "export_dictionary_learning",
    "export_neuronpedia",
    "export_sparsify",
    "generate",
    "join",
    "load_model",
    "load_recipe",
    "load_sae",
    "mix",
    "presets",
    "publish_corpus",
    "publish_neuronpedia",
    "publish_run",
    "publish_saes",
    "resolve_model",
    "run_recipe",
    "save_sae",
    "shuffle",
    "statistics_of",
    "study_absorption",
    "study_corpora",
    "study_explanations",
    "study_fakes",
    "study_interventions",
    "study_probes",
    "study_reconstruction",
    "study_seeds",
    "study_sparsity",
    "study_synthetic",
    "study_unlearning",
    "study_variants",
    "subsample",
    "top_contexts",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'faithful' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

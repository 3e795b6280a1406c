"""Every command: a configuration, the command line that states it, and what the real command makes of that line."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.cli import app
from faithful.hub.config import PublishConfig, PublishCorpusConfig, PublishSaesConfig
from faithful.options.fields import options_of
from faithful.options.line import command_line, folded
from faithful.training.config import TrainConfig
from generation.configs.add import AddConfig
from generation.configs.certify import CertifyConfig
from generation.configs.derive import DedupConfig, MixConfig, ShuffleConfig, SubsampleConfig
from generation.configs.export import ExportConfig
from generation.configs.generate import GenerateConfig, JoinConfig
from generation.configs.stats import StatsConfig
from studies.absorption.config import AbsorptionConfig
from studies.bridge.config import SaeBenchConfig, SaeProbesConfig
from studies.browse.config import BrowseConfig
from studies.corpora.config import CorporaConfig
from studies.explanations.config import ExplanationsConfig
from studies.fakes.config import FakesConfig
from studies.interventions.config import InterventionsConfig
from studies.probes.config import ProbesConfig
from studies.reconstruction.config import ReconstructionConfig
from studies.report.config import ReportConfig, RunConfig
from studies.runs.neuronpedia.config import ExportNeuronpediaConfig, PublishNeuronpediaConfig
from studies.runs.recipe_file import load_recipe
from studies.seeds.config import SeedsConfig
from studies.sparsity.config import SparsityConfig
from studies.synthetic.config import SyntheticConfig
from studies.unlearning.config import UnlearningConfig
from studies.variants.config import VariantsConfig

A, B, OUT = Path("corpora/a b"), Path("corpora/b"), Path("some where/out")
COMMANDS: dict[str, list[Any]] = {
    "generation.own.generate.generate": [
        GenerateConfig(),
        GenerateConfig("pythia-2.8b", 30_000, 0 or None, OUT, "x", 7, 0.7, 0.9, 5, 0.01, 1.1, 64, "streams", True, True),
        GenerateConfig(
            revision="main", dtype="bfloat16", bos=0, engine="vllm", device="cuda", threads=2, batch=3, shard_rows=4,
            deterministic=False, tensor_parallel=2, load="4bit", workers=5, accept_engine_change=True, certify_tokens=0,
        ),
        GenerateConfig(mask_unmapped=False, deterministic=True, certify_tokens=1000, held_out=5, top_k=-1),
    ],
    "generation.own.join.join": [JoinConfig((A, B), OUT), JoinConfig((A,), OUT, 0, "cpu")],
    "generation.external.add.add": [
        AddConfig("fineweb"),
        AddConfig(
            "a file.jsonl", "gpt2", 10**8, 9, OUT, "x", config="en", split="test", revision="abc", columns=("a", "b"),
            template="{a}: {b}", unit="passage", leave_out=(), seed=3, context=64, window=7, shard_rows=8, bos=1,
            model_revision="main",
        ),
        AddConfig("x/y", leave_out=("one task", "two")),
        AddConfig(
            "a.parquet", ids=True, temperature=0.7, top_p=0.9, top_k=5, min_p=0.01, repetition_penalty=1.1, max_tokens=64,
            dtype="float16", finish_reason="why", prompt_ids="asked", logprobs="lp",
        ),
        AddConfig("-x", "-m", run="-y", template="-{a}"),
    ],
    "generation.derived.mix.mix": [
        MixConfig((A, B)),
        MixConfig((A, B, OUT), weights=(0.123456789, 3.0, 1e-5), tokens=10_000, out=OUT, shard_rows=5),
    ],
    "generation.derived.shuffle.shuffle": [ShuffleConfig(A), ShuffleConfig(A, 3, OUT, 5)],
    "generation.derived.dedup.dedup": [DedupConfig(A), DedupConfig(A, True, OUT, 5)],
    "generation.derived.subsample.subsample": [SubsampleConfig(A, tokens=5), SubsampleConfig(A, 5, B, 3, OUT, 5)],
    "generation.certificate.certify.certify": [
        CertifyConfig(A),
        CertifyConfig(A, "test", 5000, True, 0.5, 0.9, 4, 0.1, 1.2, "cpu", "float32"),
    ],
    "generation.cards.describe.statistics_of": [StatsConfig(A), StatsConfig(Path("-x"))],
    "generation.writing.export.export": [ExportConfig(A, 128), ExportConfig(A, 64, "aligned", OUT)],
    "faithful.training.train.train": [
        TrainConfig((A,), OUT),
        TrainConfig(
            (A, B), OUT, "tiny", (0, 1, 2, 42), 3, "mlp_out", (512, 1024), (8,), 1e-4 / 3, 30_000, None, 64, "packed", 5, 6,
            7, True, "bfloat16", "cuda", 8, 500, 2, 3, True, 0.5, "wandb", ("topk", "other"),
            ("other.a=1,2", "other.b=c d"),
        ),
        TrainConfig((B,), OUT, epochs=1.5),
        TrainConfig((Path("-x"), B), Path("-y"), "-m", settings=("-p.q=-1",)),
    ],
    "studies.corpora.study.study_corpora": [
        CorporaConfig((A,), OUT),
        CorporaConfig((A, B), OUT, "tiny", A, 5000, 600, (0.7, 1.0), (0.9,), "cpu", "float32", 3),
    ],
    "studies.absorption.study.study_absorption": [
        AbsorptionConfig(("some/one",), OUT),
        AbsorptionConfig(
            ("some/one",), OUT, (A,), "tiny", "own", 64, "cpu", "float32", 3, 2, (A, B), True, 9, 0, 3
        ),
    ],
    "studies.sparsity.study.study_sparsity": [
        SparsityConfig(("some/one",), OUT),
        SparsityConfig(("some/one",), OUT, (A,), "tiny", "own", 64, "cpu", "float32", 3, 2, 9, "packed", 4, 64_000),
    ],
    "studies.variants.study.study_variants": [
        VariantsConfig(("some/one",), OUT),
        VariantsConfig(("x", "y"), OUT, "own"),
    ],
    "studies.seeds.study.study_seeds": [
        SeedsConfig(("-x", "b"), Path("-y"), (Path("-c"),), "-m", own="-o"),
        SeedsConfig(("some/one",), OUT),
        SeedsConfig(
            ("some/one", "b b/c"), OUT, (A, B), "tiny", "own", 64, "cpu", "float32", 3, 2, 5000, "packed", 4,
            gaussian_seeds=0, gaussian_steps=7, examples=0,
        ),
    ],
    "studies.fakes.study.study_fakes": [
        FakesConfig(("some/one",), OUT),
        FakesConfig(
            ("some/one",), OUT, (A,), "tiny", "own", 64, "cpu", "float32", 3, 2, 9, "packed", 4, 64_000, 1, 0.99, 0.3
        ),
    ],
    "studies.probes.study.study_probes": [
        ProbesConfig(("some/one",), OUT),
        ProbesConfig(
            ("some/one",), OUT, (A,), "tiny", "own", 64, "cpu", "float32", 3, 2, 9, "packed", 4,
            ("sst2", "a b.csv:text:label"), "a text", "the label", "max", 5, 6, 2, (1, 2, 3, 9), 7, 1, ("ours", "saebench"),
        ),
    ],
    "studies.explanations.study.study_explanations": [
        ExplanationsConfig(("some/one",), OUT),
        ExplanationsConfig(
            ("some/one",), OUT, (A,), "tiny", "own", 64, "cpu", "float32", 3, 2, 9, "packed", 4, "https://x/v1", "some/model",
            7, 4, 6, 64, 2,
        ),
    ],
    "studies.unlearning.study.study_unlearning": [
        UnlearningConfig(("some/one",), OUT),
        UnlearningConfig(
            ("some/one",), OUT, (A,), "tiny", "own", 64, "cpu", "float32", 3, 2, 9, "packed", 4, "own", "b c", "wmdp-bio",
            "mmlu:anatomy", 300, "letters", (0.1, 0.2), (3,), (2.0,), 0.05,
        ),
    ],
    "studies.interventions.study.study_interventions": [
        InterventionsConfig(("some/one",), OUT),
        InterventionsConfig(
            ("some/one",), OUT, (A,), "tiny", "own", 64, "cpu", "float32", 3, 2, "a b.csv:text:a:b", "real:bbc",
            300, 200, (3,),
        ),
    ],
    "studies.bridge.evaluate.evaluate_saebench": [
        SaeBenchConfig(("some/one",), OUT),
        SaeBenchConfig(
            ("some/one", "b b/c"), OUT, "tiny", B, "cpu", ("absorption",), "float32", (A, B), 5000,
            ("speech", "a b.csv:text:label"), (1, 3), 5, 6, 64, 7,
        ),
    ],
    "studies.bridge.evaluate.evaluate_sae_probes": [
        SaeProbesConfig(("some/one",), OUT),
        SaeProbesConfig(("some/one",), OUT, "tiny", B, "cpu", ("100_news_fake", "105_click_bait"), (1, 3), "l2"),
    ],
    "studies.synthetic.study.study_synthetic": [
        SyntheticConfig(OUT),
        SyntheticConfig(
            OUT, ("ind",), ("topk", "orthogonal"), ("orthogonal.alpha=0,0.2", "topk.k=5"), (0, 1, 2), (3,), (),
            30_000, 64, 1e-3, 16, 80, 3, 500, 1000, workers=2,
        ),
    ],
    "studies.reconstruction.study.study_reconstruction": [
        ReconstructionConfig(("some/one",), OUT),
        ReconstructionConfig(("some/one",), OUT, (A,), "tiny", "own", 64, "cpu", "float32", 3, 2, 9, "packed", 4, (1, 8), 1),
    ],
    "studies.runs.publish.publish_run": [
        PublishConfig(A, "me/it"),
        PublishConfig(A, "me/it", True, "v2", True, True, True),
        PublishConfig(OUT, "me/it", False),
        PublishConfig(OUT, "-it", True),
    ],
    "studies.runs.publish.publish_corpus": [PublishCorpusConfig(A, "me/it", False, "v2", True, True)],
    "studies.runs.publish.publish_saes": [PublishSaesConfig(A, "me/it", True, "v2", True)],
    "studies.browse.write.browse": [
        BrowseConfig(OUT),
        BrowseConfig(OUT, A, ("own", "a b/seed-0"), (A, B), "tiny", 64, 9000, "cpu", 3),
    ],
    "studies.runs.neuronpedia.export.export_neuronpedia": [
        ExportNeuronpediaConfig(OUT),
        ExportNeuronpediaConfig(OUT, A, ("own", "a b/seed-0"), B, (B, A), "gpt2-small", "me", 64, "all", "by hand"),
    ],
    "studies.runs.neuronpedia.send.publish_neuronpedia": [
        PublishNeuronpediaConfig(OUT),
        PublishNeuronpediaConfig(OUT, A, "http://localhost:3000", True, True),
    ],
    "studies.report.write.write_report": [ReportConfig(OUT), ReportConfig(OUT, A, True, True)],
}  # fmt: skip
for _some in COMMANDS.values():
    if hasattr(_some[0], "shard_model"):
        _some.append(replace(_some[0], load="8bit", shard_model=True))


@pytest.mark.parametrize(
    ("function", "config"), [(function, config) for function, some in COMMANDS.items() for config in some], ids=str
)
def test_there_and_back(function: str, config: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (A, OUT):
        folder.mkdir(parents=True)
    told: list[Any] = []

    def stop(config: Any, *others: Any, **more: Any) -> None:
        told.append(StatsConfig(config) if isinstance(config, Path) else config)
        raise FaithfulError("Enough.")

    monkeypatch.setattr(function, stop)
    for line in (command_line(config), folded(config).replace("\\\n", "")):
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 2 and done.stderr.endswith("Error: Enough.\n"), done.output
    assert told == [config, config]


def test_a_run_there_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    config = RunConfig("my recipe.toml", "a run", ("train.d_sae=512", "name=a b"), "cuda")
    told: list[Any] = []
    monkeypatch.setattr(
        "studies.runs.recipe_file.load_recipe", lambda *given: told.append(given) or load_recipe("demo")
    )

    def stop(recipe: Any, folder: Path, report: Any, device: str) -> None:
        told.append((folder, device))
        raise FaithfulError("Enough.")

    monkeypatch.setattr("studies.runs.recipe.run_recipe", stop)
    assert "Enough." in CliRunner().invoke(app, shlex.split(command_line(config))[1:]).stderr
    settings = {"train.d_sae": "512", "name": "a b"}
    assert told == [("my recipe.toml", settings), (Path("runs/a run"), "cuda")]


def test_every_command_with_a_configuration_is_walked() -> None:
    walked = {type(config) for some in COMMANDS.values() for config in some} | {RunConfig}
    modules = [
        sys.modules[name] for name in list(sys.modules) if name.split(".")[0] in ("faithful", "generation", "studies")
    ]
    known = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and hasattr(kind, "COMMAND")
    }
    assert known == walked


def test_every_field_is_walked_with_a_value_that_is_no_default() -> None:
    for some in COMMANDS.values():
        for option in options_of(type(some[0])):
            assert any(getattr(config, option.name) != option.default for config in some), (some[0], option.name)

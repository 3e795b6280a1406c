"""The paper's recipes as they ship, from model to report: only sizes are changed, and the Hub is a server on this machine.

Everything runs in one process (see `recipe_runs`), which knows the Hub by HF_ENDPOINT. Each run is interrupted once, each in
another step, and goes on. One run has the recipe's six seeds, the others the two that the paper names.
"""

import html
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faithful.base.records import SEAL
from faithful.models.presets import Preset, Shape, find_preset
from faithful.store.corpus import Corpus
from generation.derived.inputs import document_lengths
from studies.catalog import STUDIES
from tests.faithful.hub.server import serving
from tests.faithful.hub.state import Hub
from tests.studies.runs import recipe_hub

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SIX, TWO = [0, 1, 2, 3, 42, 49], [42, 49]
ADDED = ["fineweb", "pile", "flan"]
CORPORA = ["own", *ADDED, "own-like-fineweb"]
STUDIED = ["corpora", "seeds", "fakes", "reconstruction", "probes"]
STEPS = [*(f"corpus {name}" for name in CORPORA), "train", *(f"study {name}" for name in STUDIED), "report"]
HEADLINES = {
    "corpora": "excess_ce",
    "seeds": "shared_feature_ratio",
    "fakes": "fake_contrast",
    "reconstruction": "fvu",
    "probes": "accuracy",
}
D_SAE, K, CONTEXT, TOKENS = 64, 8, 32, 2_000
SIZES = {
    "tokens": str(TOKENS),
    "corpora.own.tokens": str(3 * TOKENS),
    "corpora.own.held_out": "1k",
    "corpora.own.max_tokens": str(CONTEXT - 1),
    "corpora.own.batch": "128",
    "corpora.own.shard_rows": "128",
    "corpora.own.certify_tokens": "1k",
    **{f"corpora.{name}.context": str(CONTEXT) for name in ADDED},
    **{f"corpora.{name}.held_out": "600" for name in ADDED},
    "train.context": str(CONTEXT),
    "train.d_sae": str(D_SAE),
    "train.k": str(K),
    "train.eval_tokens": "200",
    **{f"studies.{name}.tokens": "1k" for name in STUDIED},
    "studies.fakes.noise_tokens": "1k",
    "studies.probes.train_size": "48",
    "studies.probes.test_size": "24",
    "studies.probes.curve_points": "1",
    "studies.probes.ks": "1",
}


@dataclass(frozen=True)
class Case:
    """A recipe, the progress that it is interrupted at, the step that this belongs to, and its seeds."""

    name: str
    break_in: str
    broken: str
    seeds: list[int]

    @property
    def preset(self) -> Preset:
        """Of the recipe's model."""
        preset = find_preset(self.name)
        assert preset is not None
        return preset

    @property
    def half_done(self) -> Path:
        """Folder of the run in which the interruption leaves something unfinished."""
        kind, *name = self.broken.split()
        return Path({"corpus": "corpora", "train": "saes/pile", "study": "studies"}[kind], *name)

    @property
    def changes(self) -> dict[str, str]:
        """What is set in place of the recipe's values: six seeds are its own."""
        return SIZES | ({} if self.seeds == SIX else {"seeds": ",".join(map(str, self.seeds))})


CASES = [
    Case("gpt2", "train: training pile", "train", SIX),
    Case("pythia-1.4b", "corpus flan: ", "corpus flan", TWO),
    Case("pythia-2.8b", "study corpora: ", "study corpora", TWO),
    Case("gemma-2-2b", "study reconstruction: ", "study reconstruction", TWO),
    Case("llama-3.2-1b", "study seeds: ", "study seeds", TWO),
    Case("llama-3.2-3b", "study probes: ", "study probes", TWO),
    Case("llama-3.1-8b", "study fakes: ", "study fakes", TWO),
]


@dataclass(frozen=True)
class Runner:
    """The process that runs recipes, and the file that its stderr goes to."""

    process: "subprocess.Popen[str]"
    said: Path

    def order(self, **what: Any) -> dict[str, Any]:
        """Have an order done."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, self.said.read_text()[-4000:]
        found: dict[str, Any] = json.loads(answer)
        return found

    def run(self, case: Case, shape: Shape, folder: Path, break_in: str | None = None) -> dict[str, Any]:
        """Run a recipe whose checkpoint has this shape."""
        place = {"recipe": case.name, "shape": asdict(shape), "folder": str(folder)}
        return self.order(**place, changes=case.changes, break_in=break_in)

    def typed(self, case: Case, folder: Path) -> dict[str, Any]:
        """The same as a command."""
        settings = [part for name, value in case.changes.items() for part in ("--set", f"{name}={value}")]
        done = self.order(command=["run", case.name, "--run", str(folder), "--device", "cpu", "--json", *settings])
        assert done["code"] == 0, done
        found: dict[str, Any] = json.loads(done["out"])
        return found


@pytest.fixture(scope="module")
def hub() -> Hub:
    """The data sets; each checkpoint comes with its test."""
    state = Hub()
    recipe_hub.put_data_sets(state)
    return state


@pytest.fixture(scope="module")
def runner(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    home = tmp_path_factory.mktemp("home")
    with serving(hub) as address, started(address, home) as process:
        yield Runner(process, home / "said")


@contextmanager
def started(address: str, home: Path) -> "Iterator[subprocess.Popen[str]]":
    """The process, ended afterwards."""
    offline = {"HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"}
    environment = {key: value for key, value in os.environ.items() if key not in offline} | {
        "HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HOME": str(home), "HF_UPDATE_DOWNLOAD_COUNTS": "0", "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    with (home / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.studies.runs.recipe_runs"],
            env=environment, cwd=Path(__file__).parents[3],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.communicate(timeout=60)  # it ends with its stdin


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_from_the_model_to_the_report(case: Case, hub: Hub, runner: Runner, tmp_path: Path) -> None:
    shape = recipe_hub.put_model(hub, case.name, tmp_path / "model")
    folder = tmp_path / "run"
    before = STEPS[: STEPS.index(case.broken)]

    assert runner.run(case, shape, folder, case.break_in) == {"interrupted": True}
    assert [name for name in json.loads((folder / "steps.json").read_text()) if name != SEAL] == before
    made = {path: at for path, at in written(folder).items() if not path.is_relative_to(case.half_done)}
    if case.broken == "train":
        assert {path.parts[1] for path in made if path.parts[0] == "saes"} == {"own", "fineweb"}
    assert not (folder / "report.html").exists()

    gone_on = runner.run(case, shape, folder)
    assert gone_on["skipped"] == before
    assert list(gone_on["done"]) == STEPS[len(before) :]
    now = written(folder)
    assert {path: now.get(path) for path in made} == made, "what was finished stays as it was"

    again = runner.typed(case, folder)
    assert again["done"] == {} and again["skipped"] == STEPS
    assert {path: at for path, at in written(folder).items() if path.name != "recipe.toml"} == now

    corpora_are_those_of_the_recipe(case, folder, hub)
    grid_is_that_of_the_recipe(case, shape, folder)
    studies_have_values(case, folder)
    report_names_everything(case, folder)


def written(folder: Path) -> dict[Path, int]:
    """When each manifest of a corpus, each SAE, summary and report was written, in ns."""
    names = ("corpus.json", "cfg.json", "sae_weights.safetensors", "summary.json", "report.html")
    return {path.relative_to(folder): path.stat().st_mtime_ns for name in names for path in folder.rglob(name)}


def corpora_are_those_of_the_recipe(case: Case, folder: Path, hub: Hub) -> None:
    """Every corpus from where it should be, at the revision that the Hub has, for the checkpoint that the Hub has."""
    corpora = {name: Corpus(folder / "corpora" / name) for name in CORPORA}
    model = hub.repositories["model", case.preset.source].head.sha
    for name, corpus in corpora.items():
        wanted = 3 * TOKENS if name == "own" else TOKENS
        assert wanted <= corpus.tokens() < wanted + 128 * CONTEXT
        assert corpus.manifest.identity["model"]["revision"] == model
        assert corpus.manifest.identity["model"]["name"] == case.name

    web, pile, flan = (corpora[name].manifest.identity["source"] for name in ADDED)
    assert (web["repo"], web["config"], web["split"]) == ("HuggingFaceFW/fineweb", "sample-10BT", "train")
    assert (pile["repo"], pile["revision"]) == ("monology/pile-uncopyrighted", recipe_hub.PILE)
    assert (flan["repo"], flan["data_files"]) == ("Open-Orca/FLAN", ["flan_zsopt_data/*.parquet"])
    for source in (web, pile, flan):
        assert source["revision"] == hub.repositories["dataset", source["repo"]].head.sha
    assert sources_of(corpora["pile"]) == set(recipe_hub.PILE_SETS)
    assert sources_of(corpora["flan"]) == set(recipe_hub.FLAN_TASKS), "no probe task"
    assert not hub.count("fsopt_data/part") and not hub.count("data/CC-MAIN"), "other folders are not read"

    train = {name: shares(document_lengths(corpus, "train")) for name, corpus in corpora.items()}
    assert distance(train["own-like-fineweb"], train["fineweb"]) <= 0.02
    assert distance(train["own"], train["fineweb"]) > 0.1
    test = {name: shares(document_lengths(corpora[name], "test")) for name in ("own-like-fineweb", "fineweb")}
    assert distance(*test.values()) <= 0.1


def sources_of(corpus: Corpus) -> set[str]:
    """Which parts of a set its training documents are from."""
    return {name for batch in corpus.batches("train", ["source"]) for name in batch["source"].to_pylist()}


def shares(lengths: np.ndarray) -> np.ndarray:
    """Share of the documents of each length, [CONTEXT]."""
    return np.bincount(lengths, minlength=CONTEXT) / len(lengths)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Total variation."""
    return float(np.abs(a - b).sum() / 2)


def grid_is_that_of_the_recipe(case: Case, model: Shape, folder: Path) -> None:
    """All seeds on all corpora, at the layer of the preset, which the checkpoint has."""
    assert model.layers == case.preset.shape.layers
    shape = f"resid_pre.{case.preset.layer}-f{D_SAE}-k{K}"
    found = {path.parent.relative_to(folder / "saes").as_posix() for path in folder.rglob("sae_weights.safetensors")}
    assert found == {f"{corpus}/{shape}/seed-{seed}" for corpus in CORPORA for seed in case.seeds}
    config = json.loads((folder / "saes" / "own" / shape / "seed-42" / "cfg.json").read_text())
    assert config["d_in"] == model.d_model


def studies_have_values(case: Case, folder: Path) -> None:
    """Every study has the same figures for every corpus, and six seeds give verdicts, two do not."""
    for study, headline in HEADLINES.items():
        summary = json.loads((folder / "studies" / study / "summary.json").read_text())
        assert summary["model"]["name"] == case.name
        assert set(summary["corpora"]) == set(CORPORA), study
        values = {name: numbers(found) for name, found in summary["corpora"].items()}
        for name, found in values.items():
            assert math.isfinite(found[headline]), (study, name)
            assert found.keys() == values["own"].keys(), (study, name)
            assert all(map(math.isfinite, found.values())), (study, name)
        assert len({tuple(found.values()) for found in values.values()}) == len(CORPORA), "each corpus its own"
        judged = [one for one in summary["contrasts"] if one["headline"]]
        decided = [one for one in judged if not re.match(r"cannot be decided: \d", one["verdict"])]
        if study in ("seeds", "fakes", "probes"):
            assert {one["b"] for one in judged} >= set(ADDED)
            assert decided == (judged if case.seeds == SIX else [])
    probes = json.loads((folder / "studies" / "probes" / "summary.json").read_text())
    assert list(probes["tasks"]) == ["sst2", "cola", "ag_news", "yelp"]
    found = json.loads((folder / "studies" / "corpora" / "summary.json").read_text())["corpora"]
    near = sorted(found, key=lambda name: abs(float(found[name]["surprise_gap"]["value"])))
    assert set(near[:2]) == {"own", "own-like-fineweb"}, "the model's own text surprises it as much as it expects"


def numbers(found: dict[str, Any]) -> dict[str, float]:
    """The metrics of a corpus that have a value."""
    values = {name: value["value"] if isinstance(value, dict) else value for name, value in found.items()}
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}


def report_names_everything(case: Case, folder: Path) -> None:
    """The report's tables hold each corpus, and it answers the question of each study."""
    page = (folder / "report.html").read_text()
    assert f"<title>{case.name}:" in page and "Not done:" not in page
    for name in CORPORA:
        assert f">{name}<" in page, name
    for study in STUDIED:
        assert STUDIES[study].question in html.unescape(page), study

"""The worked example of CONTRIBUTING.md: a study is a folder and a line."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from faithful.options.fields import field_texts
from faithful.store.corpora_of_saes import remember_corpora
from generation.sampling.distribution import Sampling
from studies.catalog import FOLDERS, KNOWN, STUDIES, find_study
from studies.common.config import PanelConfig
from tests.own import write_own
from tests.studies.random_saes import write_recorded
from tests.test_contributing import blocks

ROOT = Path(__file__).parents[2]
COMMANDS = """
import json, sys
from pathlib import Path
from typer.testing import CliRunner
from faithful.cli import app
found = {}
for name, words in json.load(sys.stdin).items():
    done = CliRunner().invoke(app, words)
    found[name] = [done.exit_code, done.stdout, done.stderr]
from studies.runs.card_parts import shown_studies
found["card"] = [vars(one) for one in shown_studies(Path("runs/tried"))]
json.dump(found, sys.stdout)
"""
RECIPE = """
model = "tiny"
[corpora.own]
tokens = "20k"
[studies.crowding]
quantile = 0.9
"""


def test_every_line_is_a_folder_with_its_record() -> None:
    assert [f"studies.{name}" for name in KNOWN] == list(FOLDERS)
    assert KNOWN.keys() - STUDIES.keys() == {
        "synthetic", "absorption", "sparsity", "unlearning", "interventions", "explanations", "variants",
    }  # fmt: skip
    for study in KNOWN.values():
        folder = ROOT / "studies" / study.name
        assert all((folder / f"{part}.py").is_file() for part in ("config", "study", "tables", "figures"))
        assert study.question.endswith("?") and study.meaning.endswith(".") and study.captions
        assert callable(study.load())
    assert [name for name, study in STUDIES.items() if study.headline is None] == ["corpora"]
    with pytest.raises(FaithfulError, match="'seedz' is not a study; choose corpora, seeds, fakes"):
        find_study("seedz")


def test_nothing_but_the_catalog_names_the_studies() -> None:
    """The author's draft holds figures of two of them."""
    named = {"fakes", "probes", "reconstruction"}
    rooms = tuple(ROOT / folder.replace(".", "/") for folder in FOLDERS)
    several = []
    for path in (file for package in ("faithful", "generation", "studies") for file in (ROOT / package).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        words = {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        if path.parent not in rooms and len(words & named) > 1:
            several.append(path.relative_to(ROOT).as_posix())
    assert several == ["studies/report/draft_figures.py"]


def test_records_are_read_without_anything_heavy() -> None:
    said = "import sys, studies.catalog; print(sorted({'torch', 'numpy', 'polars', 'matplotlib'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", said], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_only_studies_that_read_a_panel_are_told_of_it() -> None:
    others = [one.config for one in KNOWN.values() if one.of_saes and not issubclass(one.config, PanelConfig)]
    assert {config.COMMAND for config in others} >= {"study absorption", "study interventions"}
    for config in others:
        texts = field_texts(config)
        assert "layout" not in texts and "panel" not in " ".join(texts.values()), config.COMMAND


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """The product with the study of CONTRIBUTING.md: its folder, and its line in the catalog; no other file is touched."""
    house = tmp_path / "house"
    for package in ("faithful", "generation", "data_cards"):
        (house / package).parent.mkdir(exist_ok=True)
        (house / package).symlink_to(ROOT / package)
    shutil.copytree(ROOT / "studies", house / "studies", ignore=shutil.ignore_patterns("__pycache__"))
    room = house / "studies" / "crowding"
    room.mkdir()
    (room / "__init__.py").write_text('"""How close to each other features lie."""\n', encoding="utf-8")
    for part, code in zip(("config", "study", "tables", "figures"), blocks("A new study", "python"), strict=True):
        (room / f"{part}.py").write_text(code, encoding="utf-8")
    catalog = house / "studies" / "catalog.py"
    text = catalog.read_text(encoding="utf-8")
    last = f'    "{FOLDERS[-1]}",\n'
    assert text.count(last) == 1
    catalog.write_text(text.replace(last, f'{last}    "studies.crowding",\n'), encoding="utf-8")
    return house


def test_a_study_is_a_folder_and_a_line(
    house: Path, tmp_path: Path, family_model: Callable[[str], tuple[ModelSpec, Any]]
) -> None:
    spec, model = family_model("gpt2")
    run = tmp_path / "runs" / "tried"
    sampling, sizes = {"own": Sampling(max_tokens=31), "cool": Sampling(max_tokens=31, temperature=0.7)}, {"train": 600}
    corpora = [
        write_own(run / "corpora" / name, spec, model, one, sizes | {"test": 300}) for name, one in sampling.items()
    ]
    for corpus in corpora:
        for seed in range(6):
            write_recorded(
                run / "saes", corpus.name, seed, model.config.hidden_size, 24 if corpus.name == "own" else 40
            )
    remember_corpora(run / "saes", corpora)
    (tmp_path / "mine.toml").write_text(RECIPE, encoding="utf-8")
    commands = {
        "help": ["study", "--help"],
        "its help": ["study", "crowding", "--help"],
        "study": ["study", "crowding", "--run", "tried", "--set", "quantile=0.75"],
        "report": ["report", "tried", "--markdown"],
        "recipe": ["run", "mine.toml", "--dry-run"],
    }
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS], cwd=tmp_path, input=json.dumps(commands), capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": str(house), "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {name: found[name][0] for name in commands} == dict.fromkeys(commands, 0), found
    question = "How close to each other do the features of an SAE lie?"
    assert "crowding" in found["help"][1] and question in found["help"][1]
    assert "quantile" in found["its help"][1] and "Of the latents of an SAE" in " ".join(found["its help"][1].split())
    assert "Cosine of a latent with its nearest one" in found["study"][1]
    assert "study crowding" in found["recipe"][1]
    settings = json.loads((run / "studies" / "crowding" / "settings.json").read_text(encoding="utf-8"))
    assert settings["quantile"] == 0.75
    report = (run / "report.md").read_text(encoding="utf-8")
    for said in (
        f"## {question}", "nearest_cosine is the cosine of a latent's decoder row", "| own |", "own − cool",
        "in how close features lie", "![Cosine of each latent with its nearest one]", "--set quantile=0.75",
    ):  # fmt: skip
        assert said in report, said
    (card,) = [one for one in found["card"] if one["question"] == question]
    assert card["tables"][0][0].startswith("Cosine of a latent with its nearest one")
    assert card["figures"] == [["Cosine of each latent with its nearest one", "studies/crowding/figures/nearest.svg"]]

"""The card beside a grid of SAEs: figures by corpus, snippets that run, what people wrote is kept."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

import faithful
from faithful.models.presets import find_preset
from faithful.models.spec import ModelSpec
from faithful.store.corpus import read_manifest, write_manifest
from faithful.store.saes import corpora_beside, read_grid
from faithful.training.card import model_facts, render_saes, trained_by, write_saes_card
from faithful.training.config import TrainConfig
from faithful.training.settings import default_lr
from faithful.training.train import train
from generation.sampling.distribution import Sampling
from tests.own import write_own

Model = Callable[[str], tuple[ModelSpec, Any]]


@pytest.fixture(scope="module")
def saes(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> Path:
    """Two seeds of two corpora; their card may be rewritten."""
    folder = tmp_path_factory.mktemp("grid")
    spec, model = family_model("gpt2")
    sizes = {"train": 1500, "test": 400}
    corpora = [
        write_own(folder / "corpora" / name, spec, model, Sampling(max_tokens=31).with_changes(temperature=heat), sizes)
        for name, heat in (("own", 1.0), ("cool", 0.7))
    ]
    wish = TrainConfig(
        tuple(corpora), folder / "saes", seeds=(0, 1), layer=1, d_sae=(48,), k=(4,), lr=3e-3, context=32, batch=256,
        device="cpu", eval_tokens=300,
    )  # fmt: skip
    return train(wish).out


def test_a_row_per_corpus_stands_above_a_row_per_sae(saes: Path) -> None:
    text = write_saes_card(saes).read_text(encoding="utf-8")
    means, each = text.split("<details>")
    assert means.count("| resid_pre.1-f48-k4 | 2 |") == 2 and " ± " in means
    assert each.count("/seed-") == 4
    assert "library_name: saelens" in text and "license" not in text.split("---")[1]


def test_the_snippet_loads_and_encodes(saes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = write_saes_card(saes).read_text(encoding="utf-8")
    code = text.split("With `faithful`:")[1].split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {"activations": torch.randn(7, 64)}
    names["activations"] = torch.randn(7, faithful.load_sae(next(saes.glob("*/*/seed-0"))).d_in)
    exec(code, names)
    assert names["codes"].shape == (7, 48)


def trained_at(cells: list[Any], lrs: dict[int, float]) -> TrainConfig | None:
    """The command of a grid of several widths at their learning rates."""
    wide = []
    for cell in cells:
        for d_sae, lr in lrs.items():
            wide.append(Mock(identity=dict(cell.identity) | {"d_sae": d_sae, "lr": lr}, corpus=cell.corpus))
    return trained_by(wide, {"hub": None, "name": "gpt2"})  # type: ignore[typeddict-item]


def test_a_grid_of_widths_names_its_command_where_their_learning_rates_are_the_rules(saes: Path) -> None:
    cells, preset = read_grid(saes), find_preset("gpt2")
    by_rule = trained_at(cells, {wide: default_lr(preset, wide) for wide in (1024, 2048)})
    assert by_rule is not None and by_rule.d_sae == (1024, 2048) and by_rule.lr is None
    one = trained_at(cells, {1024: 3e-3, 2048: 3e-3})
    assert one is not None and one.lr == 3e-3
    assert trained_at(cells, {1024: 3e-3, 2048: 1e-3}) is None, "no single command makes them"


def test_what_people_wrote_is_kept(saes: Path) -> None:
    path = write_saes_card(saes)
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("library_name", "licence_note: ask me\nlibrary_name") + "\nMy own words.\n", encoding="utf-8"
    )
    again = write_saes_card(saes).read_text(encoding="utf-8")
    assert "licence_note: ask me" in again and again.rstrip().endswith("My own words.")
    assert again.count("## How to load the SAEs") == 1


def test_it_says_which_corpus_is_of_the_model_loaded_otherwise(
    saes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(saes.parent, tmp_path / "grid")
    before = write_saes_card(copy / "saes").read_text(encoding="utf-8")
    manifest = read_manifest(copy / "corpora" / "own")
    manifest.provenance["model"]["load"] = "4bit"
    write_manifest(copy / "corpora" / "own", manifest)
    text = write_saes_card(copy / "saes").read_text(encoding="utf-8")
    assert "loaded otherwise | own (4bit)" in text and "loaded otherwise" not in before
    assert "--load full" in text and "--load" not in before, "without it the model would be loaded as own was sampled"
    cells = read_grid(copy / "saes")
    for cell in cells:
        cell.identity["load"] = "4bit"
    quantised = render_saes("x", cells, model_facts(cells, corpora_beside(copy / "saes")), "SAEs")
    assert "quantised to 4bit at" in quantised and "| model quantised to | `4bit` |" in quantised
    assert "loaded otherwise | cool (full)" in quantised and "--load 4bit" in quantised

"""What makes one trained SAE the same as another."""

from dataclasses import replace
from pathlib import Path

from faithful.sae.variant import find_variant
from faithful.store.shape import Shape
from faithful.training.identity import cell_identity
from faithful.training.settings import settle
from tests.faithful.training.grids import configured


def test_a_variant_adds_its_name_and_all_its_parameters_and_topk_nothing(
    corpora: dict[str, Path], tmp_path: Path
) -> None:
    config = configured(corpora, tmp_path, variant=("topk", "anneal"), settings=("anneal.start=2",))
    settings, _ = settle(config, "cpu")
    topk, annealed = (cell_identity(settings, "own", "", shape, 0) for shape in settings.shapes)
    assert settings.shapes[1] == Shape(96, 4, find_variant("anneal", {"start": 2.0}))
    added = {name: value for name, value in annealed.items() if name not in topk}
    assert added == {"variant": "anneal", "variant_version": 1, "parameters": {"start": 2.0, "until": 0.8}}
    assert topk.items() <= annealed.items()


def test_how_the_model_is_loaded_decides_where_it_is_quantised(corpora: dict[str, Path], tmp_path: Path) -> None:
    settings, _ = settle(configured(corpora, tmp_path), "cpu")
    quantised = replace(settings, model=replace(settings.model, load="8bit"))
    before, after = (cell_identity(one, "own", "", one.shapes[0], 0) for one in (settings, quantised))
    assert "load" not in before and after == before | {"load": "8bit"}

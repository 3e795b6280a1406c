"""What is handed to the environment."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.hooks.hook import Hook
from faithful.models.spec import resolve_model
from faithful.store.saes import find_saes
from studies.bridge.data import absorption_layer, check_saes, model_folder, rows_at_once
from tests.studies.bridge.recording import write_small


@pytest.mark.parametrize(("count", "size"), [(48, 16), (30, 15), (17, 1), (1, 1), (14, 14)])
def test_batches_hold_every_row_once(count: int, size: int) -> None:
    assert rows_at_once(count) == size


def found(saes: Any = (), hook: Hook = Hook(2, "resid_pre"), **more: Any) -> Any:
    return SimpleNamespace(saes=saes, hook=hook, **more)


def test_names_are_for_files_and_each_is_one(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_small(tmp_path / name / "own text")
    names = list(check_saes(found(find_saes([tmp_path]))))
    assert len(set(names)) == 2 and not any(set(name) & set(" /") for name in names)


@pytest.mark.parametrize(
    "hook", [Hook(2, "module", "mlp"), Hook(2, "resid_pre", centred=True), Hook(2, "resid_pre", bos=False)]
)
def test_saes_of_places_that_saebench_has_not_are_refused(hook: Hook) -> None:
    with pytest.raises(FaithfulError, match="SAEBench reads resid_pre"):
        check_saes(found(hook=hook))


def test_the_models_files_under_a_name_that_says_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = resolve_model("tiny")
    with model_folder(found(spec=spec)) as folder:
        assert (Path(folder) / "model.safetensors").resolve() == Path(spec.source) / "model.safetensors"
    assert not Path(folder).exists()
    with model_folder(found(spec=SimpleNamespace(is_local=False))) as folder:
        assert folder == ""
    (tmp_path / "llama").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "llama"))
    with pytest.raises(FaithfulError, match="set TMPDIR"), model_folder(found(spec=spec)):
        pass


def test_a_gpt2_of_newer_transformers_has_its_positions_under_the_old_name_too(
    family_folder: Callable[[str], Path],
) -> None:
    """Its own config stays as it is."""
    spec = resolve_model(str(family_folder("gpt2")))
    with model_folder(found(spec=spec)) as folder:
        assert json.loads((Path(folder) / "config.json").read_text())["n_ctx"] == spec.positions == 128
    assert "n_ctx" not in json.loads((family_folder("gpt2") / "config.json").read_text())


def test_absorption_reads_what_leaves_a_layer() -> None:
    assert absorption_layer(Hook(3, "resid_pre")) == absorption_layer(Hook(2, "resid_post")) == 2
    for hook in (Hook(0, "resid_pre"), Hook(2, "attn_out"), Hook(2, "mlp_out")):
        with pytest.raises(FaithfulError, match="leave absorption out"):
            absorption_layer(hook)

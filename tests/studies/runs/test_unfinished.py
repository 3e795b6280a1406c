"""What is not finished is not published, and is told by name."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.hub.config import PublishConfig
from studies.runs.publish import publish_run, publish_saes
from tests.faithful.hub.named import NAME, PLACE
from tests.faithful.hub.state import Hub
from tests.faithful.hub.things import grid, whole_run

RECIPE = """
model = "tiny"
[corpora.own]
[corpora.web]
add = "wikitext"
[studies.seeds]
"""
STEPS = ["corpus own", "corpus web", "train", "study seeds", "report"]


def test_half_an_sae_is_refused(hub: Hub, tmp_path: Path) -> None:
    saes = grid(tmp_path / "saes")
    (saes / PLACE / "cfg.json").unlink()
    with pytest.raises(FaithfulError, match=rf"is not finished: {PLACE} has no cfg\.json; run the command that trains"):
        publish_saes(PublishConfig(saes, NAME))
    (saes / "own/resid_pre.2-f32-k4/seed-0/sae_weights.safetensors").unlink()
    with pytest.raises(FaithfulError, match=r"holds no sae_weights\.safetensors"):
        publish_saes(PublishConfig(saes, NAME))
    with pytest.raises(FaithfulError, match="holds no SAEs"):
        publish_saes(PublishConfig(tmp_path / "nothing", NAME))


def test_a_half_trained_grid_is_refused(hub: Hub, tmp_path: Path) -> None:
    saes = grid(tmp_path / "saes")
    checkpoint = saes / "own" / ".checkpoints" / "1.pt"
    checkpoint.parent.mkdir()
    shape = "resid_pre.2-f32-k4"
    held = {"cells": {"a": f"{shape}/seed-0", "b": f"{shape}/seed-7"}, "step": 3, "diverged": {}}
    torch.save(held, checkpoint)
    for dry_run in (True, False):
        with pytest.raises(
            FaithfulError, match=r"not finished: 1 half-trained SAEs in own/\.checkpoints/1\.pt; run the"
        ):
            publish_saes(PublishConfig(saes, NAME), dry_run=dry_run)
    assert not hub.log
    torch.save(held | {"diverged": {"b": "nan"}}, checkpoint)
    publish_saes(PublishConfig(saes, NAME))


def test_a_corpus_whose_training_did_not_begin_is_told(hub: Hub, tmp_path: Path) -> None:
    saes = grid(tmp_path / "saes", ("own", "web"))
    shutil.rmtree(saes / "web")
    with pytest.raises(FaithfulError, match=r"not finished: no SAE of web, which corpora\.json names"):
        publish_saes(PublishConfig(saes, NAME))
    publish_saes(PublishConfig(saes / "own", NAME))


def test_a_run_whose_recipe_has_steps_to_do_is_refused(hub: Hub, tmp_path: Path) -> None:
    run = whole_run(tmp_path / "run")
    (run / "recipe.toml").write_text(RECIPE)
    (run / "steps.json").write_text(json.dumps({name: {"seconds": 1} for name in STEPS[:2]}))
    left = (
        r"is not finished: train, study seeds, report still to do; run `faithful run \S+/recipe\.toml --run \S+`, then"
    )
    for dry_run in (True, False):
        with pytest.raises(FaithfulError, match=left):
            publish_run(PublishConfig(run, NAME, accept_licence=True), dry_run=dry_run)
    with pytest.raises(FaithfulError, match="the recipe's `train` is still to do"):
        publish_saes(PublishConfig(run, NAME))
    assert not hub.log
    (run / "steps.json").write_text(json.dumps({name: {"seconds": 1} for name in STEPS}))
    publish_run(PublishConfig(run, NAME, accept_licence=True))


def test_a_half_trained_grid_of_a_run_is_refused(hub: Hub, tmp_path: Path) -> None:
    run = whole_run(tmp_path / "run")
    shutil.rmtree(run / "saes" / "web")
    with pytest.raises(FaithfulError, match="no SAE of web"):
        publish_run(PublishConfig(run, NAME, accept_licence=True))

"""A cell's record: what may not be written, what it is called."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from faithful.sae.stack import init_weights
from faithful.training.cell import Cell, refuse_untrained, start_cosine, transformer_lens_name
from tests.faithful.training.cells import evaluation
from tests.studies.random_saes import random_sae

Model = Callable[[str], tuple[ModelSpec, Any]]


TRAINED = [{"step": 1, "loss": 1.0}, {"step": 9, "loss": 0.5}]


def test_rows_of_0_are_not_asked_how_far_they_came() -> None:
    sae = random_sae(8, 16, 4, seed=0)
    sae.W_dec = init_weights(3, 8, 16)
    assert start_cosine(sae, 3) == pytest.approx(1)
    sae.W_dec[:12] = 0
    assert start_cosine(sae, 3) == pytest.approx(1)


@pytest.mark.parametrize(
    ("log", "quality", "said"),
    [
        (TRAINED, {"hook_module": "h.2"}, "evaluated at h.2, not at h.1"),
        (TRAINED, {"weights_sha256": "b"}, "other weights"),
        ([], {"l0": 1, "l2_ratio": 1}, "no step"),
        (
            [{"step": 1, "loss": 1.0, "fvu": 0.9}, {"step": 9, "loss": 1.0, "fvu": 0.9}],
            {"l0": 1, "l2_ratio": 1},
            "its loss went",
        ),
        ([{"step": 1, "loss": 1.0}, {"step": 9, "loss": float("nan")}], {"l0": 1, "l2_ratio": 1}, "nan"),
        ([{"step": 1, "loss": 1.0}, {"step": 9, "loss": 0.5}], {"l0": 0, "l2_ratio": 1}, "no latent fires"),
        ([{"step": 1, "loss": 1.0}, {"step": 9, "loss": 0.5}], {"l0": 1, "l2_ratio": 0}, "output is zero"),
    ],
)
def test_a_record_without_training_cannot_be_written(
    log: Any, quality: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(FaithfulError, match=said):
        refuse_untrained(Cell(tmp_path, {}), log, evaluation(**quality), "h.1", "a")


def test_a_record_of_a_training_can_be_written(tmp_path: Path) -> None:
    refuse_untrained(Cell(tmp_path, {}), TRAINED, evaluation(), "h.1", "a")


def test_other_parts_of_the_loss_may_grow_where_the_reconstruction_improves(tmp_path: Path) -> None:
    log: Any = [
        {"step": 1, "loss": 1.0, "fvu": 0.9, "objective": 0.1},
        {"step": 9, "loss": 1.2, "fvu": 0.4, "objective": 9},
    ]
    refuse_untrained(Cell(tmp_path, {}), log, evaluation(), "h.1", "a")
    with pytest.raises(FaithfulError, match=r"its loss went from 1 to 1\.2"):
        refuse_untrained(Cell(tmp_path, {}), [log[0], log[1] | {"fvu": 0.95}], evaluation(), "h.1", "a")


@pytest.mark.parametrize(
    ("source", "family", "said"),
    [
        ("openai-community/gpt2", "gpt2", "gpt2-small"),
        ("EleutherAI/pythia-1.4b", "pythia", "pythia-1.4b"),
        ("google/gemma-2-2b", "gemma", "gemma-2-2b"),
        ("meta-llama/Llama-3.2-3B", "llama", "meta-llama/Llama-3.2-3B"),
        ("someone/model", "qwen2", "someone/model"),
    ],
)
def test_names_are_those_of_transformer_lens(source: str, family: str, said: str, family_model: Model) -> None:
    spec = replace(family_model("gpt2")[0], name=source, source=source, family=family, revision="a" * 40)
    assert transformer_lens_name(spec) == said

"""What SAEs do on held-out text: each by itself, on its first documents, special tokens left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.hooks.hook import Hook
from faithful.hooks.truncated import TruncatedModel
from faithful.models.spec import ModelSpec
from faithful.sae.topk import TopKSAE
from faithful.store.corpus import Corpus
from faithful.training.evaluate import evaluate, held_out
from tests.own import write_external

Model = Callable[[str], tuple[ModelSpec, Any]]
HOOK = Hook(1, "resid_pre")


@pytest.fixture
def corpus(tmp_path: Path, family_model: Model) -> Path:
    rng = np.random.default_rng(0)
    documents = [rng.integers(20, 120, size) for size in (9, 3, 14, 6, 11)]
    return write_external(tmp_path / "web", family_model("gpt2")[0], {"train": documents, "test": documents})


def sae(d_in: int, seed: int, k: int) -> TopKSAE:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.nn.functional.normalize(torch.randn(40, d_in, generator=generator), dim=1)
    return TopKSAE(rows.T.contiguous(), torch.zeros(40), rows, torch.zeros(d_in), k)


def test_saes_measured_together_are_what_they_are_alone(corpus: Path, family_model: Model) -> None:
    spec, model = family_model("gpt2")
    d_in = TruncatedModel(model, HOOK).d_in
    saes = [sae(d_in, 0, 4), sae(d_in, 1, 9)]
    both = evaluate(model, spec, HOOK, corpus, saes, context=12)
    for one, found in zip(saes, both, strict=True):
        (alone,) = evaluate(model, spec, HOOK, corpus, [one], context=12)
        assert found.figures == pytest.approx(alone.figures, rel=1e-5)
        assert found.weights_sha256 == one.sha256() and found.hook_module.endswith("h.1.input")
        assert 0 < found.figures["l0"] <= one.k
        assert float(found.density.sum()) == pytest.approx(found.figures["l0"])
        assert found.figures["tokens"] == 9 + 3 + 11 + 6 + 11, "at most 11 tokens of each document, BOS left out"
        assert found.figures["scored_tokens"] == found.figures["tokens"] - 5, "the last of a context predicts nothing"
    assert both[0].figures["ce_clean"] == both[1].figures["ce_clean"]
    assert both[0].figures["fvu"] != both[1].figures["fvu"]


def test_a_budget_takes_the_first_documents(corpus: Path, family_model: Model) -> None:
    spec, _ = family_model("gpt2")
    text = held_out(Corpus(corpus), spec, 12, "aligned", "cpu", tokens=10)
    assert [len(row) for row in text.ordered(None).rows(0, text.count)] == [10, 4]
    assert held_out(Corpus(corpus), spec, 12, "aligned", "cpu").count == 5


def test_text_without_a_token_to_score_is_refused(tmp_path: Path, family_model: Model) -> None:
    spec, _ = family_model("gpt2")
    one = write_external(tmp_path / "one", spec, {"train": [np.arange(30, 40)], "test": [np.array([spec.eos_ids[0]])]})
    with pytest.raises(FaithfulError, match="gives aligned contexts of 12 tokens nothing to evaluate on"):
        held_out(Corpus(one), spec, 12, "aligned", "cpu")

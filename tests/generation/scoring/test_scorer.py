"""Scores against a naive token-by-token reference, and copies against a naive search."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from faithful.models.spec import ModelSpec
from generation.sampling.distribution import Sampling, log_q
from generation.scoring import scorer as scoring
from generation.scoring.copies import copy_predictions
from generation.scoring.scorer import BOUNDARY, IMPOSSIBLE, INSIDE, Scorer

Model = Callable[[str], tuple[ModelSpec, Any]]

SETTINGS = [
    Sampling(max_tokens=31),
    Sampling(temperature=0.7, top_p=0.9, max_tokens=31),
    Sampling(top_k=20, repetition_penalty=1.3, max_tokens=31),
    Sampling(min_p=0.02, temperature=1.2, max_tokens=31),
]


def random_documents(vocab: int, count: int, seed: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, vocab, generator.integers(1, 20)) for _ in range(count)]


def reference(model: Any, spec: ModelSpec, sampling: Sampling, document: np.ndarray) -> list[dict[str, float]]:
    """Every figure of one document by the definitions, one token at a time, in float64."""
    figures: list[dict[str, float]] = []
    for place, x in enumerate(document):
        context = [spec.bos_id, *document[:place].tolist()]
        logits = model(torch.tensor([context])).logits[0, -1].float()
        seen = torch.zeros(spec.vocab_size, dtype=torch.bool)
        seen[context] = True
        log_probs = log_q(logits[None], sampling, seen[None], spec.mapped)[0].double().numpy()
        q = np.exp(log_probs)
        kept = q > 0
        surprise = np.where(kept, -np.where(kept, log_probs, 0), 0)
        entropy = (q * surprise).sum()
        deviation = np.sqrt((q * (surprise - entropy) ** 2).sum())
        residual = np.clip((surprise - entropy) / max(deviation, 1e-6), -3, 3)
        earlier = set(document[:place].tolist())
        figures.append(
            {
                "surprise": surprise[x],
                "entropy": entropy,
                "variance": deviation**2,
                "residual": residual[x],
                "residual_mean": (q * residual).sum(),
                "residual_variance": (q * residual**2).sum() - (q * residual).sum() ** 2,
                "repeat_mass": sum(q[token] for token in earlier),
                "repeated": float(x in earlier),
                "eos_mass": sum(q[token] for token in spec.eos_ids),
                "is_eos": float(x in spec.eos_ids),
                "above": q[log_probs > log_probs[x]].sum(),
                "log_p": logits.double().log_softmax(-1)[x].item(),
                "inside": float(kept[x]),
            }
        )
    return figures


@pytest.mark.parametrize("sampling", SETTINGS, ids=lambda s: s.suffix(31) or "own")
def test_scores_equal_the_naive_reference(family: str, family_model: Model, sampling: Sampling) -> None:
    spec, model = family_model(family)
    documents = random_documents(spec.vocab_size, 6, seed=3)
    lengths = np.array([len(document) for document in documents])
    scores = Scorer(model, spec, sampling).score(documents, copy_predictions(np.concatenate(documents), lengths))
    with torch.inference_mode():
        expected = [row for document in documents for row in reference(model, spec, sampling, document)]
    inside = np.array([row["inside"] for row in expected], dtype=bool)
    assert ((scores.status == INSIDE) == inside).mean() > 0.98
    both = inside & (scores.status == INSIDE)
    for name in expected[0]:
        if name == "inside":
            continue
        mine, theirs = getattr(scores, name).astype(float), np.array([row[name] for row in expected])
        chosen = both if name in ("surprise", "residual", "above") else np.ones_like(both)
        np.testing.assert_allclose(mine[chosen], theirs[chosen], atol=2e-3, rtol=2e-3, err_msg=name)


def test_scores_do_not_depend_on_the_company(family: str, family_model: Model) -> None:
    spec, model = family_model(family)
    documents = random_documents(spec.vocab_size, 5, seed=4)
    scorer = Scorer(model, spec, SETTINGS[1])
    none = [np.full(len(document), -1) for document in documents]
    together = scorer.score(documents, np.concatenate(none))
    alone = [scorer.score([document], guess) for document, guess in zip(documents, none, strict=True)]
    np.testing.assert_allclose(together.entropy, np.concatenate([s.entropy for s in alone]), atol=1e-4)
    np.testing.assert_allclose(together.repeat_mass, np.concatenate([s.repeat_mass for s in alone]), atol=1e-4)


def test_batches_hold_every_document_once_within_the_bound(family_model: Model) -> None:
    spec, model = family_model("gpt2")
    scorer = Scorer(model, spec, Sampling())
    documents = random_documents(spec.vocab_size, 300, seed=5) * 30
    batches = list(scorer.batches(documents))
    assert sorted(place for batch in batches for place in batch) == list(range(len(documents)))
    padded = [len(batch) * max(len(documents[place]) for place in batch) for batch in batches]
    assert len(batches) > 1
    assert max(padded) * spec.vocab_size <= 2**20


def test_a_batch_takes_half_of_a_gpus_free_memory_at_most(family_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, model = family_model("gpt2")
    engine = Scorer(model, spec, Sampling())
    engine.device = torch.device("cuda")
    documents = random_documents(spec.vocab_size, 300, seed=5) * 30
    sizes = []
    for free in (2**40, 2**22):
        monkeypatch.setattr(scoring, "free_memory", lambda _, free=free: free)
        batches = list(engine.batches(documents))
        padded = max(len(batch) * max(len(documents[place]) for place in batch) for batch in batches)
        sizes.append(padded * spec.vocab_size * 4 * scoring.COPIES_OF_LOGITS)
    assert sizes[1] <= 2**21 < sizes[0], "else all of them are one batch"


def test_tokens_outside_are_boundary_within_rounding_and_impossible_beyond(family_model: Model) -> None:
    spec, model = family_model("gpt2")
    sampling = Sampling(top_k=10)
    values = torch.arange(spec.vocab_size, 0, -1).float()[None].repeat(4, 1) * 0.01
    targets = torch.tensor([[9], [10], [11], [40]])
    scorer = Scorer(model, spec, sampling, delta=0.008)
    log_probs = log_q(values, sampling)
    assert scorer._status(values, log_probs, targets).tolist() == [INSIDE, BOUNDARY, IMPOSSIBLE, IMPOSSIBLE]
    scorer.delta = 0.0
    assert scorer._status(values, log_probs, targets).tolist() == [INSIDE, IMPOSSIBLE, IMPOSSIBLE, IMPOSSIBLE]


def test_top_p_band_goes_by_mass(family_model: Model) -> None:
    spec, model = family_model("gpt2")
    sampling = Sampling(top_p=0.9)
    row = torch.full((1, spec.vocab_size), -30.0)
    row[0, :3] = torch.tensor([0.6, 0.3005, 0.0995]).log()
    log_probs = log_q(row, sampling)
    outside = torch.tensor([[2]])
    scorer = Scorer(model, spec, sampling, delta=0.0)
    assert scorer._status(row, log_probs, outside).tolist() == [IMPOSSIBLE]
    scorer.delta = 0.01
    assert scorer._status(row, log_probs, outside).tolist() == [BOUNDARY]


def test_near_a_border_where_logits_tie_tokens_are_boundary_on_both_sides(family_model: Model) -> None:
    spec, model = family_model("gpt2")
    logits = torch.full((7, spec.vocab_size), -30.0)
    logits[:, :6] = torch.tensor([3.0, 2.0, 1.0, 1.0, 1.0, 0.0])
    logits[6] = 0.0
    at = torch.tensor([[0], [1], [2], [4], [5], [9], [3]])
    scorer = Scorer(model, spec, Sampling(top_k=4), ties=True)
    log_probs, values = scorer._log_q(logits, None)
    assert log_probs[0].exp()[:6].tolist() == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0, 0, 0, 0])
    assert not log_probs.isnan().any()
    status = [INSIDE, INSIDE, BOUNDARY, BOUNDARY, IMPOSSIBLE, IMPOSSIBLE, BOUNDARY]
    assert scorer._status(values, log_probs, at).tolist() == status
    scorer.delta = 0.6
    assert scorer._status(values, scorer._log_q(logits, None)[0], at).tolist()[:5] == [INSIDE, *[BOUNDARY] * 4]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.8)], ids=["own", "temperature"])
def test_ids_that_the_model_masks_take_no_part(family_model: Model, sampling: Sampling) -> None:
    from faithful.base.errors import FaithfulError

    spec, real = family_model("gpt2")
    masked = spec.vocab_size - 1

    class Masking(torch.nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.real, self.value = real, value

        def forward(self, **inputs: Any) -> Any:
            output = self.real(**inputs)
            output.logits[..., masked:] = self.value
            return output

    document, guess = np.array([5, 7, 5, 9]), np.array([-1, -1, masked, 9])
    scores = Scorer(Masking(-np.inf), spec, sampling).score([document], guess)
    plain = Scorer(Masking(-1e4), spec, sampling).score([document], guess)
    for name in ("surprise", "entropy", "variance", "residual_mean", "log_p", "entropy_p"):
        figures = getattr(scores, name)
        assert np.isfinite(figures).all()
        np.testing.assert_allclose(figures, getattr(plain, name), rtol=1e-5, atol=1e-5, err_msg=name)
    with pytest.raises(FaithfulError, match=f"token {masked}, which .* masks"):
        Scorer(Masking(-np.inf), spec, sampling).score([np.array([5, masked])], np.array([-1, -1]))


def test_models_that_change_with_the_batch_are_scored_one_at_a_time(
    family_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, model = family_model("llama")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr("generation.scoring.scorer.available_memory", lambda: 2**40)
    assert Scorer(model, spec, Sampling())._at_once(30) == 8
    monkeypatch.setattr("generation.scoring.scorer.available_memory", lambda: 2**29)
    assert Scorer(model, spec, Sampling())._at_once(30) == 4
    monkeypatch.setattr("generation.scoring.scorer.available_memory", lambda: 2**20)
    assert Scorer(model, spec, Sampling())._at_once(30) == 1
    monkeypatch.setattr("generation.scoring.scorer.available_memory", lambda: 2**40)
    monkeypatch.setattr(model.model.rotary_emb, "rope_type", "longrope")
    assert Scorer(model, spec, Sampling())._at_once(30) == 1


def test_ids_outside_the_vocabulary_are_refused(family_model: Model) -> None:
    from faithful.base.errors import FaithfulError

    spec, model = family_model("gpt2")
    with pytest.raises(FaithfulError, match="vocabulary"):
        Scorer(model, spec, Sampling()).score([np.array([spec.vocab_size])], np.array([-1]))

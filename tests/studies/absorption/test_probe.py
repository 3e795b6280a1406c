"""Probes: those on few latents are scikit-learn's; those on activations find the direction that there is."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from studies.absorption.probe import f1, fit_probes, sparse_scores


def test_sparse_probes_are_scikit_learns_and_probes_find_what_is_there() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = torch.rand(300, 2, 3, generator=generator) * 4
    noise = torch.randn(300, 2, generator=generator)
    is_of = codes.sum(2) + noise > 7
    train = torch.arange(300) % 3 > 0
    scores = sparse_scores(codes, is_of, train)
    for parent in range(2):
        theirs = LogisticRegression(class_weight="balanced", max_iter=500, tol=1e-10)
        features = codes[:, parent].double().numpy()  # on float32 theirs ends where a step rounds to nothing
        theirs.fit(features[train], is_of[train, parent].numpy())
        assert scores[:, parent].numpy() == pytest.approx(theirs.decision_function(features), abs=1e-4)
        assert f1(scores > 0, is_of)[parent] == pytest.approx(f1_score(is_of[:, parent], scores[:, parent] > 0))
    x = torch.randn(400, 6, generator=generator) + 5
    of = torch.stack([x[:, 0] > 5, x[:, 0] <= 5], 1)
    probes = fit_probes(x, of)
    direction = torch.nn.functional.normalize(probes.directions[0], dim=0)
    assert float(direction[0]) > 0.98 and f1(probes.scores(x) > 0, of).min() > 0.95
    assert torch.equal(probes.directions, fit_probes(x, of).directions)

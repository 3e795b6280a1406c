"""The floor of words: what the words of a text tell by themselves, without any model.

A logistic regression on the words of the training texts (lower case; 1 + log of their count, times how rare they are in the
training texts, each text of length 1), its C by cross-validation on the folds that the other probes have. Features of a
model that tell no more than this tell nothing about the model. Of a text the words are read that the model reads too: those
of its context.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from generation.external.encoder import Encoder
from studies.probes.score import Plan, score
from studies.probes.summary import WordsFound
from studies.probes.tasks.examples import Examples, TaskData

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CS = (0.1, 1.0, 10.0, 100.0)
STEPS = 1000
FORMAT = 2
"""Counts changes of what this floor is."""


def as_read(data: TaskData, encoder: Encoder) -> TaskData:
    """A task whose texts end where the model's context does; those that fit are left to the letter.

    Args:
        data: the task.
        encoder: makes the token ids that the model reads of a text.
    """

    def cut(side: Examples) -> Examples:
        read = zip(side.texts, encoder.beginnings(side.texts), strict=True)
        return replace(
            side,
            texts=[text if len(ids) < encoder.limit else encoder.backend.decode(ids.tolist()) for text, ids in read],
        )

    return replace(data, train=cut(data.train), test=cut(data.test))


def words_floor(data: TaskData, plan: Plan) -> WordsFound:
    """Accuracy of words on the test examples of a task, with all training examples.

    Args:
        data: the task.
        plan: the folds of its training examples.
    """
    from sklearn.linear_model import LogisticRegression

    train, test = _counted(data)
    y = data.train.y
    losses = {c: _held_out_loss(train, y, plan.folds, c) for c in CS}
    best = min(losses, key=losses.__getitem__)
    predicted = LogisticRegression(C=best, max_iter=STEPS).fit(train, y).predict(test)
    found = score(data.test.y, np.asarray(predicted)[:, None], len(data.labels), plan.seed)[0]
    return {
        "accuracy": found["accuracy"],
        "accuracy_ci95": found["accuracy_ci95"],
        "macro_f1": found["macro_f1"],
        "c": best,
        "words": train.shape[1],
    }


def _counted(data: TaskData) -> "tuple[csr_matrix, csr_matrix]":
    """Weighted words of the training and of the test examples; a single empty column where no text has a word."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    if not any(map(vectorizer.build_analyzer(), data.train.texts)):
        return csr_matrix((len(data.train.y), 1)), csr_matrix((len(data.test.y), 1))
    return vectorizer.fit_transform(data.train.texts), vectorizer.transform(data.test.texts)


def _held_out_loss(x: "csr_matrix", y: np.ndarray, folds: np.ndarray, c: float) -> float:
    """Cross-entropy of the examples, each held out with its fold, in nats in all."""
    from sklearn.linear_model import LogisticRegression

    total = 0.0
    for fold in np.unique(folds):
        held = np.flatnonzero(folds == fold)
        probe = LogisticRegression(C=c, max_iter=STEPS).fit(x[folds != fold], y[folds != fold])
        total -= float(probe.predict_log_proba(x[held])[np.arange(len(held)), y[held]].sum())
    return total

"""Sparse probes as SAEBench 0.6.0 makes them (`sae_bench/evals/sparse_probing`), on features pooled as ours are.

Each class has as many examples as the rarest, in training and in testing. A probe tells one class from as many examples of
the others, equally many of each; it reads the k latents whose means differ most between the two, and is a logistic regression
with C = 1 on codes as they are. The figure is the mean over classes of the share of test examples that it answers rightly.
Which of the others stand against a class is drawn, where there are more than two classes: SAEBench draws other ones.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from studies.probes.tasks.examples import TaskData

C, STEPS = 1.0, 1000

Sides = dict[str, dict[str, list[str]]]


def balanced(y: np.ndarray, classes: int) -> list[np.ndarray]:
    """Places of each class' first examples, int64: as many of each as the rarest has.

    Args:
        y: int64 [n].
        classes: how many there are.
    """
    least = int(np.bincount(y, minlength=classes).min())
    return [np.flatnonzero(y == label)[:least] for label in range(classes)]


def balanced_texts(data: TaskData) -> Sides:
    """Texts by side (`train`, `test`) and class, as many of each class as of the rarest."""
    return {
        name: {
            label: [side.texts[place] for place in places]
            for label, places in zip(data.labels, balanced(side.y, len(data.labels)), strict=True)
        }
        for name, side in (("train", data.train), ("test", data.test))
    }


def saebench_accuracies(train: Any, test: Any, data: TaskData, ks: Sequence[int], seed: int) -> dict[int, float]:
    """Accuracy with each k that there are features for; none where a class has no test example.

    Args:
        train: features of the training examples, [n, d], dense or sparse.
        test: of the test examples.
        data: the task.
        ks: latents of the probes.
        seed: of the examples of the other classes.
    """
    from sklearn.linear_model import LogisticRegression

    classes = len(data.labels)
    if np.bincount(data.test.y, minlength=classes).min() == 0:
        return {}
    wanted = [k for k in ks if k <= train.shape[1]]
    found: dict[int, list[float]] = {k: [] for k in wanted}
    for label in range(classes if classes > 2 else 1):  # of two classes either is told from the other
        places, half = one_against_others(balanced(data.train.y, classes), label, seed)
        held, half_held = one_against_others(balanced(data.test.y, classes), label, seed)
        y, y_held = np.arange(len(places)) < half, np.arange(len(held)) < half_held
        difference = np.abs(_mean(train, places[:half]) - _mean(train, places[half:]))
        ranked = np.argsort(-difference, kind="stable")
        for k in wanted:
            probe = LogisticRegression(C=C, max_iter=STEPS).fit(_dense(train, places, ranked[:k]), y)
            found[k].append(float(np.mean(probe.predict(_dense(test, held, ranked[:k])) == y_held)))
    return {k: float(np.mean(values)) for k, values in found.items()}


def one_against_others(members: Sequence[np.ndarray], label: int, seed: int) -> tuple[np.ndarray, int]:
    """Places of a class' examples and then of as many others, and how many the first are.

    Args:
        members: places of each class' examples, equally many.
        label: the class.
        seed: of the choice of others.
    """
    generator = np.random.default_rng([seed, label])
    count = len(members[label])
    others = [generator.permutation(of) for at, of in enumerate(members) if at != label]
    drawn = np.concatenate([of[: math.ceil(count / len(others))] for of in others])
    return np.concatenate([members[label], generator.permutation(drawn)[:count]]), count


def _mean(x: Any, places: np.ndarray) -> np.ndarray:
    return np.asarray(x[places].mean(0), np.float64).ravel()


def _dense(x: Any, places: np.ndarray, columns: np.ndarray) -> np.ndarray:
    chosen = x[places][:, columns]
    return np.asarray(chosen.toarray() if hasattr(chosen, "toarray") else chosen, np.float32)

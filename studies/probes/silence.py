"""Whether the latent of a coarse class is silent on one of its fine classes: the mark of absorption and of splitting."""

from typing import Any

import numpy as np

from studies.probes.summary import Entry, Silence
from studies.probes.tasks.examples import TaskData
from studies.probes.tasks.levels import coarse_of

SILENCE = "silence"
SILENCES: tuple[Silence, ...] = ("silent", "hole", "hole_chance")
DRAWS = 200


def silence_entry(train: Any, test: Any, data: TaskData, seed: int) -> Entry:
    """How often the latent that tells a coarse class best is silent on its texts.

    The latent is the one whose mean code on the training texts of the class exceeds that on all others by most; a text is
    silent where its pooled code is 0.

    Args:
        train: codes of the training texts, [n, d], dense or sparse.
        test: of the test texts.
        data: the task at its fine level.
        seed: of the chance level.

    Returns:
        `input`, `probe` (`silence`), `silent` (share of the test texts of a coarse class, mean over these classes), `hole`
        (over the coarse classes with several fine ones: share on the fine class where it is largest less that on the class'
        other texts), `hole_chance` (mean of the same with fine classes exchanged among the test texts of a coarse class),
        `classes` (of each fine class its coarse class' latent, and the share).
    """
    above = np.array(coarse_of(data.labels))
    of_train, of_test = above[data.train.y], above[data.test.y]
    generator = np.random.default_rng([seed, 2])
    silent, holes, chances = [], [], []
    classes: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(above):
        own = of_train == name
        latent = int(np.argmax(_mean(train, own) - _mean(train, ~own)))
        here = np.flatnonzero(of_test == name)
        if not len(here):
            continue
        off = _column(test, here, latent) == 0
        fine = data.test.y[here]
        silent.append(float(off.mean()))
        for label in np.unique(fine):
            classes[data.labels[label]] = {"latent": latent, "silent": float(off[fine == label].mean())}
        if len(np.unique(fine)) > 1:
            holes.append(_hole(off, fine))
            chances.append(float(np.mean([_hole(off, generator.permutation(fine)) for _ in range(DRAWS)])))
    return {
        "input": "f", "probe": SILENCE, "size": len(data.train.y), "k": 1, "silent": float(np.mean(silent)),
        "hole": float(np.mean(holes)) if holes else None, "hole_chance": float(np.mean(chances)) if chances else None,
        "classes": classes,
    }  # fmt: skip


def _hole(off: np.ndarray, fine: np.ndarray) -> float:
    """Share of silent texts on the fine class where it is largest, less that on all others."""
    shares = {label: off[fine == label].mean() for label in np.unique(fine)}
    worst = max(shares, key=shares.__getitem__)
    return float(shares[worst] - off[fine != worst].mean())


def _mean(x: Any, chosen: np.ndarray) -> np.ndarray:
    return np.asarray(x[np.flatnonzero(chosen)].mean(0), np.float64).ravel()


def _column(x: Any, places: np.ndarray, column: int) -> np.ndarray:
    chosen = x[places][:, [column]]
    return np.asarray(chosen.toarray() if hasattr(chosen, "toarray") else chosen).ravel()

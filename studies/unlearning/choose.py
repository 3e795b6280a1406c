"""Which setting unlearns: chosen on one half of the questions, scored on the other, both ways."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from studies.statistics.resampled import resample_counts

SIDES = ("forget", "retain")


@dataclass(frozen=True)
class Answers:
    """Which questions of a side are answered rightly.

    Attributes:
        clean: bool [questions], by the model as it is.
        clamped: bool [settings, questions].
        second: bool [questions], which are in the second half.
    """

    clean: np.ndarray
    clamped: np.ndarray
    second: np.ndarray

    def lost(self, questions: np.ndarray | None = None) -> np.ndarray:
        """Accuracy lost under each setting on some of the questions, float64 [settings]."""
        some = slice(None) if questions is None else questions
        return self.clean[some].mean() - self.clamped[:, some].mean(1)


def choose(forget: Answers, retain: Answers, allowed: float) -> tuple[int | None, int | None]:
    """For each half of the questions the setting that is scored on it: the one that loses most on the forget questions of the
    other half, of those that lose at most the share `allowed` of the retain accuracy there; None where none loses any. Of
    equals the first."""
    found = []
    for second in (True, False):
        of_forget, of_retain = (one.lost(one.second == second) for one in (forget, retain))
        fits = of_retain <= allowed * retain.clean[retain.second == second].mean()
        found.append(_best(of_forget, fits))
    return found[0], found[1]


def _best(lost: np.ndarray, fits: np.ndarray) -> int | None:
    """The first of the settings that fit which lose most; None where none loses any."""
    best = np.where(fits, lost, -np.inf)
    place = int(np.argmax(best)) if len(best) else 0
    return place if len(best) and best[place] > 0 else None


def best_of_all(forget: Answers, retain: Answers, allowed: float) -> float:
    """What choosing as `choose` does reports where it scores on the questions that it chooses on: the largest loss of the
    settings that fit, less what that setting loses on the rest; 0 where none loses any."""
    of_forget, of_retain = forget.lost(), retain.lost()
    place = _best(of_forget, of_retain <= allowed * retain.clean.mean())
    return 0.0 if place is None else float(of_forget[place] - of_retain[place])


def differences(of: Answers, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Accuracy lost question by question, float64 [questions]: of each half under what was chosen for it.

    Args:
        of: the answers of a side.
        first, second: bool [questions], the answers under the setting scored on the first, on the second half.
    """
    return of.clean.astype(float) - np.where(of.second, second, first)


@dataclass(frozen=True)
class Lost:
    """Accuracy lost on both sides, with what it becomes under resamples of the questions; the same for every SAE.

    Attributes:
        forget, retain: means over questions.
        draws: of the two, float64 [draws].
    """

    forget: float
    retain: float
    draws: tuple[np.ndarray, np.ndarray]

    @staticmethod
    def of(differences: Sequence[np.ndarray], seed: int) -> "Lost":
        """Of the differences of the forget and the retain questions."""
        draws = [
            resample_counts(len(one), seed, side) @ one / len(one) for side, one in zip(SIDES, differences, strict=True)
        ]
        return Lost(float(differences[0].mean()), float(differences[1].mean()), (draws[0], draws[1]))

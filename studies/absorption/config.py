"""What `faithful study absorption` is told, and its record."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from faithful.options.marks import SETTING, Count, names
from studies.common.config import StudyConfig
from studies.common.forecast import StudyCost, Work, by_device
from studies.common.study import Study
from studies.statistics.numbers import listed

LETTERS = "letters"
STRONG_F1 = 0.6
WORDS = by_device(4_000, 20_000)
CONTEXT, KINDS = 32, 3


@dataclass(frozen=True)
class AbsorptionConfig(StudyConfig):
    """What to measure."""

    COMMAND: ClassVar = "study absorption"

    labels: Annotated[tuple[Path, ...], names("--labels")] = ()
    """File of texts with a coarse and a fine label, columns text, parent and child (CSV, JSON lines, Parquet); repeat it.
    The first letters of words are measured too."""
    without_letters: bool = False
    """Leave out the first letters of the words of the vocabulary."""
    tokens: Count | None = None
    """Texts of a task at most, for letters words of one token each; default 4,000 on a CPU, 20,000 on a GPU."""
    examples: Annotated[int, SETTING] = 2
    """Words with their first letters that stand before each word."""
    folds: Annotated[int, SETTING] = 5
    """Parts that the texts are dealt into: each is judged by probes and latents chosen on the others."""


def check(config: AbsorptionConfig) -> None:
    """Refuse what cannot be measured.

    Raises:
        FaithfulError: no task, a file that is not there, two tasks of one name, too few folds, fewer examples than none.
    """
    from faithful.base.errors import FaithfulError

    if config.without_letters and not config.labels:
        raise FaithfulError("Without letters there is nothing to measure; name a file with --labels.")
    if config.folds < 2:
        raise FaithfulError("The texts are dealt into at least 2 folds; write folds = 5.")
    if config.examples < 0:
        raise FaithfulError("Before a word stand 0 examples or more; write examples = 2.")
    for path in config.labels:
        if not path.is_file():
            raise FaithfulError(
                f"There is no file {path} with labels; give one with the columns text, parent and child."
            )
    names = Counter([LETTERS, *(path.stem for path in config.labels)])
    if twice := [name for name, count in names.items() if count > 1]:
        raise FaithfulError(
            f"Two tasks are called {twice[0]}: a file's task is called as the file, that of first letters {LETTERS}; rename"
            " a file."
        )


def _cost(config: AbsorptionConfig, work: Work) -> StudyCost:
    """The words are read once, and encoded by each SAE and its untrained start."""
    texts = (config.tokens or WORDS(work.device, work.context)) * (len(config.labels) + (not config.without_letters))
    return StudyCost(texts * CONTEXT, texts * (CONTEXT * work.forward + KINDS * work.encode))


def _warnings(summary: Mapping[str, Any]) -> list[str]:
    """Which parents are left out, and where nothing is left."""
    found = []
    for name, task in summary.get("tasks", {}).items():
        scores, what = task["probes"], "letters" if name == LETTERS else f"parents of {name}"
        best = [f"{parent} {scores[parent]:.2f}" for parent in sorted(scores, key=lambda parent: -scores[parent])[:3]]
        if not scores:
            found.append(f"The {what} cannot be measured: fewer than two have texts enough, two for each fold.")
        elif not task["strong"]:
            found.append(
                f"The model is too small for the {what}, or its hook too early: no probe on its activations reaches an F1 of"
                f" {STRONG_F1} on texts it has not seen (best: {listed(best)}), and there is nothing that latents could"
                " absorb."
            )
        elif task["weak"]:
            found.append(
                f"Left out of the {what}, since their probes do not reach an F1 of {STRONG_F1}: {listed(task['weak'])}."
            )
        if task["few"] and scores:
            found.append(f"Left out of the {what}, since they have too few texts: {listed(task['few'])}.")
        if task.get("unread"):
            found.append(
                f"Left out of {name}: {task['unread']:,} texts, longer than a context or of special tokens alone."
            )
    return found


STUDY = Study(
    name="absorption",
    question="Where is the latent of a parent silent because one of a child stands in for it?",
    meaning="Of the texts in which a probe finds the parent (a first letter), full_absorption is the share in which no latent"
    " of the parent fires and one other latent carries at least 0.4 of the probe's direction (SAEBench). The field's"
    " absorption_fraction has two definitions, named by the version of sae-bench that has them. Less is better, but an SAE"
    " whose latents mean nothing has none of it: it is compared without verdicts, beside the controls and main_f1.",
    config=AbsorptionConfig,
    cost=_cost,
    shares_out="SAEs",
    optional=True,
    check=check,
    sizes={"tokens": WORDS},
    captions={"parents": "Absorption of each parent, mean over seeds, against how well its latents find it (main_f1)"},
    details=("Each parent",),
    warnings=_warnings,
    of_seeds_alone="Intervals are over the seeds alone: which words were drawn is left out.",
)

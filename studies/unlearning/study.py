"""`faithful study unlearning`: latents that fire on one text alone are clamped, and the model is asked about both."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.base.progress import Reporter, silent
from faithful.store.saes import TrainedSae, ordered_shapes, seed_numbers
from studies.common.controls import beside, frozen_shapes
from studies.common.inputs import StudyInput, resolve_input
from studies.common.panel import load_panel
from studies.common.results import Done, Row, write_results
from studies.probes.tasks.embedded import EmbeddedText
from studies.statistics.estimates import estimate
from studies.statistics.records import Figure
from studies.statistics.resampled import Resampled
from studies.statistics.verdicts import summarise
from studies.unlearning import figures as unlearning_figures
from studies.unlearning.bench import CONTROLS, Bench, Setting, UnlearnedCell
from studies.unlearning.choose import SIDES, Answers, Lost, best_of_all, differences
from studies.unlearning.config import EMBEDDED, HEADLINE, UnlearningConfig, question_count, refuse
from studies.unlearning.questions import Questions, ask, load_questions
from studies.unlearning.summary import SideFound, UnlearningStatistics, UnlearningSummary

AT_CHANCE = "the model answers the forget questions no better than chance"
NORMAL = 1.96
DEFAULTS = dict(zip(SIDES, EMBEDDED, strict=True))


def study_unlearning(config: UnlearningConfig, report: Reporter = silent) -> Done:
    """Clamp latents of every SAE under every setting, and score the chosen ones.

    Raises:
        FaithfulError: no two corpora or sets of questions to tell apart, questions that cannot be read, and what
            `resolve_input` and `load_panel` refuse.
    """
    refuse(config)
    found = resolve_input(config)
    corpora = _corpora(config, found)
    count = config.questions or question_count(found.device, found.context)
    embedded = EmbeddedText(lambda: found.tokenizer, found.spec, found.context)
    places = _places(config, corpora)
    questions = {
        side: load_questions(place, count, config.seed, embedded, found.corpora) for side, place in places.items()
    }

    def encode(text: str) -> Sequence[int]:
        ids: list[int] = embedded.encoder.backend.encode(text, add_special_tokens=False).ids
        return ids

    letters = config.answers == "letters"
    asked = {side: ask(one, encode, found.spec.bos_id, found.context, letters) for side, one in questions.items()}
    panel = load_panel(replace(found, corpora={name: found.corpora[name] for name in corpora.values()}), config.tokens)
    second = {side: one.halves for side, one in questions.items()}
    with folder_lock(config.out):
        bench = Bench(config, found, panel, asked, second)
        cells = bench.cells(config.workers, report)
        shapes = ordered_shapes(found.saes)
        first = next(iter(shapes))
        sides = {
            side: _side(corpora[side], questions[side], cells[found.saes[0].sha256]["clean"][side]) for side in SIDES
        }
        made = {
            shape: _Shape(found, saes, cells, bench, second, sides["forget"]["at_chance"], shape == first)
            for shape, saes in shapes.items()
        }
        frozen = {name: made[shape].unlearned for name, shape in frozen_shapes(found.saes, first).items()}
        made[first].statistics["beside"] += beside(HEADLINE.metric, made[first].unlearned, frozen)
        summary: UnlearningSummary = {
            **found.heading("unlearning", config.seed),
            "shape": first,
            "sizes": {
                "saes": len(found.saes),
                "panel_tokens": panel.tokens,
                "context": found.context,
                "answers": config.answers,
            },
            "sides": sides,
            "settings": [one._asdict() for one in bench.settings],
            **made[first].statistics,
            "shapes": {shape: one.statistics for shape, one in made.items()},
            "reused": bench.reused,
        }
        write_results(config.out, summary, [row for one in made.values() for row in one.rows()])
        unlearning_figures.draw(summary, config.out / "figures")
    return Done(config.out, summary, bench.reused)


def _corpora(config: UnlearningConfig, found: StudyInput) -> dict[str, str]:
    """The corpus of each side.

    Raises:
        FaithfulError: one that the panel has not, or twice the same.
    """
    named = {side: getattr(config, side) or DEFAULTS[side] for side in SIDES}
    for side, name in named.items():
        if name not in found.corpora:
            raise FaithfulError(
                f"There is no corpus {name} to {side}; the panel holds {', '.join(found.corpora) or 'none'}: name one with"
                f" --{side}."
            )
    if named["forget"] == named["retain"]:
        raise FaithfulError(f"--forget and --retain are both {named['forget']}; name two corpora.")
    return named


def _places(config: UnlearningConfig, corpora: dict[str, str]) -> dict[str, str]:
    """The questions of each side, by default those of the corpus.

    Raises:
        FaithfulError: twice the same.
    """
    found = {side: getattr(config, f"{side}_questions") or corpus for side, corpus in corpora.items()}
    if found["forget"] == found["retain"]:
        raise FaithfulError(f"The questions of both sides are {found['forget']}; name two sets of questions.")
    return found


def _side(corpus: str, questions: Questions, clean: list[int]) -> SideFound:
    """What is known of a side: how well the model answers as it is, and whether that is more than guessing."""
    accuracy, chance, count = float(np.mean(clean)), questions.chance, len(clean)
    error = (chance * (1 - chance) / count) ** 0.5
    return {
        "corpus": corpus, "questions": questions.name, "count": count, "accuracy": accuracy, "chance": chance,
        "at_chance": accuracy - NORMAL * error <= chance, "sha256": questions.sha256,
    }  # fmt: skip


class _Shape:
    """The study of the SAEs of one shape."""

    def __init__(
        self,
        found: StudyInput,
        saes: Sequence[TrainedSae],
        cells: dict[str, UnlearnedCell],
        bench: Bench,
        second: dict[str, np.ndarray],
        at_chance: bool,
        is_headline: bool,
    ) -> None:
        self.saes, self.settings, self.seed = saes, bench.settings, bench.seed
        self.numbers = seed_numbers(saes)
        self.cells = [cells[sae.sha256] for sae in saes]
        self.answers = [
            {
                side: Answers(np.array(cell["clean"][side], bool), np.array(cell["clamped"][side], bool), second[side])
                for side in SIDES
            }
            for cell in self.cells
        ]
        self.lost = [self._lost(at, None) for at in range(len(saes))]
        self.best = [best_of_all(of["forget"], of["retain"], bench.allowed) for of in self.answers]
        self.names = names = [name for name in found.names if any(sae.corpus == name for sae in saes)]
        self.units = min(len(one) for one in second.values())
        lost = dict(enumerate(self.lost))
        controls = {name: self._by_corpus(self._with(name), 1, -1) for name in CONTROLS}
        self.unlearned = self._by_corpus(lost, 1, -1)
        figures: dict[str, dict[str, Any]] = {
            HEADLINE.metric: self.unlearned,
            "forget_lost": self._by_corpus(lost, 1, 0),
            "retain_lost": self._by_corpus(lost, 0, 1),
            "best_of_all": {
                name: {self.numbers[at]: one for at, one in enumerate(self.best) if saes[at].corpus == name}
                for name in names
            },
        }
        self.statistics: UnlearningStatistics = {
            **summarise(
                HEADLINE, figures, found.own, is_headline=is_headline, controls=found.controls,
                nothing=names if at_chance else (), chance=AT_CHANCE,
            ),
            "curves": {name: self._curve(name) for name in names},
            "beside": beside(HEADLINE.metric, self.unlearned, controls),
        }  # fmt: skip

    def _lost(self, at: int, control: str | None) -> Lost:
        """Accuracy lost under what was chosen for each half, with the SAE or a control in its place."""
        cell, of = self.cells[at], self.answers[at]
        found = []
        for side in SIDES:
            if control is not None:
                halves = [np.array(one, bool) for one in cell["controls"][control][side]]
            else:
                halves = [of[side].clean if place is None else of[side].clamped[place] for place in cell["chosen"]]
            found.append(differences(of[side], *halves))
        return Lost.of(found, self.seed)

    def _by_corpus(self, lost: Mapping[int, Lost], forget: int, retain: int) -> dict[str, Resampled]:
        """A sum of both sides, of SAEs by their places: by corpus, per seed, with what it becomes under other questions."""
        found: dict[str, Resampled] = {}
        for name in self.names:
            mine = {self.numbers[at]: one for at, one in lost.items() if self.saes[at].corpus == name}
            values = {n: forget * one.forget + retain * one.retain for n, one in mine.items()}
            draws = {n: forget * one.draws[0] + retain * one.draws[1] for n, one in mine.items()}
            found[name] = Resampled(values, draws, self.units)
        return found

    def _with(self, control: str) -> dict[int, Lost]:
        """What is lost with a control, of the SAEs that have it, by their places."""
        return {at: self._lost(at, control) for at, cell in enumerate(self.cells) if control in cell["controls"]}

    def _curve(self, name: str) -> list[dict[str, Figure | float]]:
        """Every setting with the mean accuracy lost on both sides, over all questions."""
        mine = [at for at, sae in enumerate(self.saes) if sae.corpus == name]
        curve: list[dict[str, Figure | float]] = []
        for place, setting in enumerate(self.settings):
            lost = {
                f"{side}_lost": estimate(
                    {self.numbers[at]: float(self.answers[at][side].lost()[place]) for at in mine}
                ).summary()
                for side in SIDES
            }
            chosen = sum(self.cells[at]["chosen"].count(place) for at in mine) / (2 * len(mine))
            curve.append({**setting._asdict(), **lost, "chosen": chosen})
        return curve

    def rows(self) -> list[Row]:
        """Every figure of every SAE; of the curve the parameter is the multiplier."""
        rows = []
        for at, sae in enumerate(self.saes):
            base = Row("unlearning", sae.corpus, "", None, seed=sae.seed, shape=sae.shape)
            lost = self.lost[at]
            figures = {
                "unlearned": lost.forget - lost.retain, "forget_lost": lost.forget, "retain_lost": lost.retain,
                "best_of_all": self.best[at],
            }  # fmt: skip
            for control in self.cells[at]["controls"]:
                other = self._lost(at, control)
                figures[f"unlearned_{control.split()[0]}"] = other.forget - other.retain
            rows += [replace(base, metric=name, value=value) for name, value in figures.items()]
            for side in SIDES:
                for setting, value in zip(self.settings, self.answers[at][side].lost(), strict=True):
                    rows.append(
                        replace(base, metric=_named(side, setting), value=float(value), parameter=setting.multiplier)
                    )
        return rows


def _named(side: str, setting: Setting) -> str:
    """`forget_lost:0.01:k20`."""
    return f"{side}_lost:{setting.threshold:g}:k{setting.latents}"

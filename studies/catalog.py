"""The studies by name, imported when one is asked for."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from faithful.errors import FaithfulError


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes:
        name: as in `faithful study NAME` and `runs/RUN/studies/NAME`.
        module: where it lives.
        config: name of its configuration.
        function: name of its function: (config, report) → something with `folder` and `summary`.
        question: what it answers.
        of_saes: whether it reads SAEs (`StudyConfig`) or corpora alone.
    """

    name: str
    module: str
    config: str
    function: str
    question: str
    of_saes: bool = True

    def tables(self, summary: dict[str, Any]) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        """Its tables for the terminal and the report: title, header, rows."""
        module = import_module("studies.corpora_tables" if self.name == "corpora" else self.module)
        found: list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]] = getattr(module, f"{self.name}_tables")(
            summary
        )
        return found

    def load(self) -> tuple[type[Any], Any]:
        """Its configuration class and its function."""
        module = import_module(self.module)
        return getattr(module, self.config), getattr(module, self.function)


STUDIES = {
    study.name: study
    for study in (
        Study(
            "corpora", "studies.corpora", "CorporaConfig", "study_corpora",
            "How far does each corpus lie outside the model, and how diverse is it?", of_saes=False,
        ),
        Study(
            "seeds", "studies.seeds", "SeedsConfig", "study_seeds",
            "Do SAEs that differ in their seed find the same features?",
        ),
        Study("fakes", "studies.fakes", "FakesConfig", "study_fakes", "How many features fire on random tokens?"),
        Study("probes", "studies.probes", "ProbesConfig", "study_probes", "How much do the features tell about the text?"),
        Study(
            "reconstruction", "studies.reconstruction", "ReconstructionConfig", "study_reconstruction",
            "How well does each SAE rebuild the activations of each corpus?",
        ),
    )
}  # fmt: skip


def find_study(name: str) -> Study:
    """A study by name.

    Raises:
        FaithfulError: no such study.
    """
    if name not in STUDIES:
        raise FaithfulError(f"'{name}' is not a study; choose {', '.join(STUDIES)}.")
    return STUDIES[name]

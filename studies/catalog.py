"""The studies by name: each is a folder, found by its line here."""

from importlib import import_module

from faithful.base.errors import FaithfulError
from studies.common.study import Study

FOLDERS = (
    "studies.corpora",
    "studies.seeds",
    "studies.fakes",
    "studies.probes",
    "studies.reconstruction",
    "studies.synthetic",
    "studies.absorption",
    "studies.sparsity",
    "studies.unlearning",
    "studies.interventions",
    "studies.explanations",
    "studies.variants",
)
"""In the order in which they are done and shown; the record of each is `STUDY` in its `config.py`."""

KNOWN: dict[str, Study] = {
    study.name: study for study in (import_module(f"{folder}.config").STUDY for folder in FOLDERS)
}
STUDIES = {name: study for name, study in KNOWN.items() if study.of_run and not study.optional}
"""Those that every run has, and can lack."""


def find_study(name: str) -> Study:
    """A study of runs by name.

    Raises:
        FaithfulError: no such study.
    """
    known = {one: study for one, study in KNOWN.items() if study.of_run}
    if name not in known:
        raise FaithfulError(f"'{name}' is not a study; choose {', '.join(known)}.")
    return known[name]

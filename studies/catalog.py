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
)
"""In the order in which they are done and shown; the record of each is `STUDY` in its `config.py`."""

STUDIES: dict[str, Study] = {
    study.name: study for study in (import_module(f"{folder}.config").STUDY for folder in FOLDERS)
}


def find_study(name: str) -> Study:
    """A study by name.

    Raises:
        FaithfulError: no such study.
    """
    if name not in STUDIES:
        raise FaithfulError(f"'{name}' is not a study; choose {', '.join(STUDIES)}.")
    return STUDIES[name]

"""Pages read again."""

import shutil
from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.store.saes import find_saes
from studies.browse.contexts import DIGITS
from studies.browse.reading import Pages
from studies.browse.write import MARK, Done
from tests.studies.browse.conftest import read

AGAIN = "faithful browse tried"


@pytest.fixture
def copied(pages: Done, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pages.folder, tmp_path / "browse"))


def test_what_was_written_is_read(pages: Done, studied_run: Path) -> None:
    found = Pages(pages.folder, AGAIN)
    saes = find_saes([studied_run / "saes"])
    assert [found.place(sae) for sae in saes] == list(range(6))
    latents = list(found.records(4))
    assert [latent for latent, _ in latents] == list(range(96))
    assert [one for _, one in latents] == read(pages.folder, "4-0") + read(pages.folder, "4-1")
    assert found.listed(4)["density"] == read(pages.folder, "4")["density"]
    assert len({found.sha256(place) for place in range(6)}) == 6


def test_a_context_has_the_tokens_and_activations_that_the_page_shows(pages: Done) -> None:
    found = Pages(pages.folder, AGAIN)
    before, rows = found.run["before"], found.text["rows"]
    row = max(range(len(rows)), key=lambda place: len(rows[place]))
    ids = rows[row]
    shown = found.shown((row, before + 2, DIGITS[0] + "AA" + DIGITS[before] + "__"), 0.5)
    assert shown.tokens == [found.strings[one] for one in ids[2 : before + 2 + found.run["after"]]]
    assert (shown.values[before], shown.largest, sum(shown.values)) == (0.5, 0.5, 0.5)
    assert found.shown((row, 1, DIGITS[0] + "__"), 2.0).tokens[0] == found.strings[ids[1]], "BOS is never shown"


def test_other_saes_and_damaged_pages_are_refused(copied: Path, studied_run: Path, tmp_path: Path) -> None:
    sae = find_saes([studied_run / "saes"])[0]
    run = copied / "data" / "run.js"
    before = run.read_text()
    for change, said in (
        ((sae.sha256, "0" * 80), f"do not show .*seed-0 as it is now; make them again with `{AGAIN}`"),
        (('"layers":2,', ""), "`layers` is missing.*; make the pages again with"),
        (('loaded("run",', ""), "hand anything to the page"),
        ((":[", ":[["), "is damaged"),
    ):
        assert change[0] in before
        run.write_text(before.replace(*change))
        with pytest.raises(FaithfulError, match=said):
            Pages(copied, AGAIN).place(sae)
    run.write_text(before)
    chunk = copied / "data" / "0-1.js"
    chunk.write_text('loaded("0-1",[]);\n')
    with pytest.raises(FaithfulError, match="latents are missing"):
        list(Pages(copied, AGAIN).records(0))
    (copied / MARK).unlink()
    with pytest.raises(FaithfulError, match=f"holds no pages of latents; make them with `{AGAIN}`"):
        Pages(copied, AGAIN)

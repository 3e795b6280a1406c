"""The folder of pages: whole, the same again, and never over what is another's."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from faithful.models.tokenizer import load_tokenizer, string_of
from faithful.store.saes import find_saes
from studies.browse import write
from studies.browse.config import BrowseConfig
from studies.browse.studied import Studied
from studies.browse.write import MARK, Done, browse, chosen, refuse_foreign
from studies.common.config import PanelConfig
from studies.common.inputs import resolve_input
from tests.command import lasting_bytes
from tests.studies.browse.conftest import read

FEW = {"tokens": 300, "latents": 70, "device": "cpu"}


def test_chunks_hold_every_latent_of_every_sae(pages: Done, studied_run: Path) -> None:
    run = read(pages.folder, "run")
    saes = find_saes([studied_run / "saes"])
    assert [(one["name"], one["latents"]) for one in run["saes"]] == [(sae.name, sae.d_sae) for sae in saes]
    assert (pages.saes, pages.latents) == (6, 6 * 96)
    names = {
        "run",
        "text",
        *(str(place) for place in range(6)),
        *(f"{place}-{chunk}" for place in range(6) for chunk in (0, 1)),
    }
    assert {path.stem for path in (pages.folder / "data").iterdir()} == names
    for place in range(6):
        assert [len(read(pages.folder, f"{place}-{chunk}")) for chunk in (0, 1)] == [64, 32]
        lists = read(pages.folder, str(place))
        assert (lists.pop("explanations"), lists.pop("explained")) == ({}, [])
        assert set(lists) == {"density", "noise", "max", "stable", "best", "tokens", "raised"}
        assert {len(column) for column in lists.values()} == {96}
    assert pages.bytes == sum(
        path.stat().st_size for path in pages.folder.rglob("*") if path.is_file() and path.name != MARK
    )


def test_a_record_has_its_partners_and_its_histograms_count_every_firing(pages: Done, studied_run: Path) -> None:
    saes = find_saes([studied_run / "saes"])
    run, found = read(pages.folder, "run"), Studied(studied_run, saes).of(saes[4])
    records, lists = read(pages.folder, "4-0"), read(pages.folder, "4")
    for latent in (0, 7, 63):
        assert [(other, partner) for other, partner, _ in records[latent]["partners"]] == [
            (saes.index(one.other), int(one.columns[latent])) for one in found.partners
        ]
        for name, column, tokens in zip(("text", "noise"), ("density", "noise"), run["tokens"], strict=True):
            assert sum(records[latent][name]) == pytest.approx(lists[column][latent] * tokens, abs=0.2)


def test_tokens_of_contexts_are_those_of_the_text(pages: Done, studied_run: Path) -> None:
    text, records = read(pages.folder, "text"), read(pages.folder, "0-0")
    found = resolve_input(PanelConfig((studied_run / "saes",), pages.folder, device="cpu"))
    tokenizer = load_tokenizer(found.spec.files, found.spec.hub_revision())
    strings = dict(zip(text["ids"], text["strings"], strict=True))
    assert all(strings[one] == string_of(tokenizer, one) for one in text["ids"][::7])
    every = [one for record in records for one in record["top"]]
    assert every and all(0 < at < len(text["rows"][row]) for row, at, _ in every)
    assert len(text["parts"]) == len(text["rows"]) and set(text["parts"]) == {0, 1}
    assert {one for record in records for side in ("up", "down") for one in record[side][0]} <= set(text["ids"])


def test_pages_written_again_are_the_same_and_parts_of_a_run_can_be_asked_for(
    studied_run: Path, tmp_path: Path
) -> None:
    config = BrowseConfig(studied_run, tmp_path / "pages", saes=("own/seed-1", "cool"), **FEW)
    done = browse(config)
    assert (done.saes, done.latents) == (4, 280)
    first = lasting_bytes(done.folder)
    assert {name for name in first if "/" not in name} == {"index.html", "page.js", "page.css", "README.md", MARK}
    assert browse(config) == done and lasting_bytes(done.folder) == first
    assert [path.name for path in tmp_path.iterdir()] == ["pages"], "nothing is left beside them"
    assert "sdk: static" in (done.folder / "README.md").read_text()


def test_what_was_not_written_here_is_never_replaced(studied_run: Path, tmp_path: Path, pages: Done) -> None:
    refuse_foreign(tmp_path / "nothing")
    copy = tmp_path / "pages"
    shutil.copytree(pages.folder, copy)
    refuse_foreign(copy)
    (copy / "notes.txt").write_text("mine")
    for place, said in (
        (copy, "notes.txt, which was not"),
        (studied_run / "saes", "was not"),
        (copy / "page.js", "was not"),
    ):
        before = lasting_bytes(tmp_path)
        with pytest.raises(FaithfulError, match=said):
            browse(BrowseConfig(studied_run, place, **FEW))
        assert lasting_bytes(tmp_path) == before
    (tmp_path / "link").symlink_to(pages.folder)
    with pytest.raises(FaithfulError, match="was not written by"):
        refuse_foreign(tmp_path / "link")


def test_saes_that_are_not_there_are_refused_by_name(studied_run: Path, tmp_path: Path) -> None:
    saes = find_saes([studied_run / "saes"])
    assert [sae.name for sae in chosen(saes, ("own/seed-2", "cool"))] == [
        "cool seed 0",
        "cool seed 1",
        "cool seed 2",
        "own seed 2",
    ]
    with pytest.raises(FaithfulError, match="No SAE is called web; name a corpus \\(cool, own\\)"):
        chosen(saes, ("web",))
    empty = tmp_path / "empty"
    empty.mkdir(parents=True)
    with pytest.raises(FaithfulError, match="holds no SAEs"):
        browse(BrowseConfig(empty))
    assert not list(empty.iterdir())


def test_text_stands_in_data_alone(pages: Done) -> None:
    """The page is the same whatever the corpora hold, and its script makes no HTML of text."""
    script = (pages.folder / "page.js").read_text(encoding="utf-8")
    for unsafe in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "fetch(", "http"):
        assert unsafe not in script.replace("http://www.w3.org/2000/svg", "")
    html = (pages.folder / "index.html").read_text(encoding="utf-8")
    assert "http" not in html.replace("http-equiv", "")
    assert all(
        np.isfinite(json.loads(json.dumps(read(pages.folder, str(place))["density"]))).all() for place in range(6)
    )


def test_a_token_reads_as_in_its_text() -> None:
    """SentencePiece drops the space before a token that stands alone; a part of a character has no string."""
    names = {1: "\u2581cat", 2: "s", 3: "\u00c3", 4: "\u0120dog"}
    texts = {1: "cat", 2: "s", 3: "\ufffd", 4: " dog"}
    tokenizer = SimpleNamespace(decode=lambda ids: texts[ids[0]], convert_ids_to_tokens=names.__getitem__)
    assert [string_of(tokenizer, one) for one in names] == [" cat", "s", "\u00c3", " dog"]


def test_pages_that_were_to_be_replaced_come_back_when_that_fails(
    pages: Done, studied_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(pages.folder, tmp_path / "browse"))
    (out / ".DS_Store").write_text("of a desktop")
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.name == "pages":
            raise OSError("no room")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="no room"):
        browse(BrowseConfig(studied_run, out, latents=2, saes=("own/seed-0",), tokens=500, device="cpu"))
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["browse"]


def test_text_that_is_gone_is_named_and_can_be_named_elsewhere(studied_run: Path, tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "moved", tmp_path / "cool"
    shutil.copytree(studied_run, run)
    (run / "corpora" / "cool").rename(elsewhere)
    said: list[str] = []
    done = browse(BrowseConfig(run, **FEW), lambda progress: said.append(str(progress)))
    assert read(done.folder, "run")["parts"] == ["own"]
    assert any("held-out text of cool, which is not where it was" in one for one in said)
    done = browse(BrowseConfig(run, corpora=(elsewhere,), **FEW))
    assert read(done.folder, "run")["parts"] == ["cool"]


def test_pages_of_the_quantised_model_say_so(monkeypatch: pytest.MonkeyPatch, pages: Done) -> None:
    assert "load" not in read(pages.folder, "run")
    monkeypatch.setattr(write, "decoder_layers", lambda _: ("", []))
    inside = MagicMock(saes=(), counts=[], panel=SimpleNamespace(parts={}))
    inside.found.spec.load = "4bit"
    assert write._Pages._run(inside, [1, 1])["load"] == "4bit"

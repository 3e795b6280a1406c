"""What the cards of a publication say of its corpora, its SAEs and its studies."""

import shutil
from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.hub.config import PublishConfig
from faithful.store.corpus import read_manifest
from studies.runs.card_parts import corpora_table, drawn_figures, study_section
from studies.runs.publish import publish_run
from tests.faithful.hub.named import NAME
from tests.faithful.hub.state import Hub
from tests.faithful.hub.things import own_corpus, unfilled, whole_run


@pytest.mark.parametrize(
    ("gone", "words"),
    [("", ", the same grid trained on 2 corpora"), ("web/*/seed-0", ", trained on 2 corpora")],
)
def test_the_card_says_whether_the_grids_are_alike(hub: Hub, tmp_path: Path, gone: str, words: str) -> None:
    run = whole_run(tmp_path / "run")
    for folder in (run / "saes").glob(gone) if gone else ():
        shutil.rmtree(folder)
    plans = publish_run(PublishConfig(run, NAME), dry_run=True).plans
    assert f"**tiny**{words}, and what comes out" in plans[1].card
    assert not [unfilled(plan.card) for plan in plans if unfilled(plan.card)]


def test_studies_of_the_run_stand_on_its_cards(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from studies.common.study import Study
    from studies.common.tables import Table

    table = Table("Distances", ("corpus", "excess ce"), [("own", "0.01"), ("web", "1.5")])
    monkeypatch.setattr(Study, "tables", lambda self, summary: [table] if summary["study"] == "corpora" else [])
    run = whole_run(tmp_path / "run")
    study = run / "studies" / "corpora"
    (study / "figures").mkdir(parents=True)
    (study / "summary.json").write_text('{"study": "corpora"}')
    (study / "figures" / "excess_ce.svg").write_text("<svg/>")
    publish_run(PublishConfig(run, NAME, accept_licence=True))
    model, data = hub.repositories["model", NAME].files, hub.repositories["dataset", NAME].files
    card = model["README.md"].decode()
    assert "| web | 1.5 |" in card
    assert "![excess ce](studies/corpora/figures/excess_ce.svg)" in card
    assert {"studies/corpora/summary.json", "studies/corpora/figures/excess_ce.svg"} <= set(model)
    own = data["own/README.md"].decode()
    assert "| own | 0.01 |" in own
    assert "| web | 1.5 |" not in own


def test_results_of_another_version_are_a_sentence(hub: Hub, tmp_path: Path) -> None:
    run = whole_run(tmp_path / "run")
    for name in ("fakes", "corpora"):
        summary = run / "studies" / name / "summary.json"
        summary.parent.mkdir(parents=True)
        summary.write_text("{}")
        with pytest.raises(FaithfulError, match=rf"another version .* `faithful study {name}` again"):
            publish_run(PublishConfig(run, NAME, accept_licence=True))
        shutil.rmtree(summary.parent)


def test_the_table_of_corpora_links_to_their_cards_where_they_are(tmp_path: Path) -> None:
    manifest = read_manifest(own_corpus(tmp_path / "own"))
    plain, linked = (corpora_table([("own", manifest)], links=links) for links in (False, True))
    assert linked == plain.replace("| `own` |", "| [`own`](own/README.md) |")
    assert f"| {manifest.tokens():,} | {manifest.tokens('test'):,} | 120 | consistent |" in plain


def test_hidden_files_are_no_figures_and_a_corpus_outside_a_run_has_no_study(tmp_path: Path) -> None:
    folder = tmp_path / "studies" / "corpora" / "figures"
    folder.mkdir(parents=True)
    for name in ("b.svg", "a.svg", ".c.svg", "d.png"):
        (folder / name).write_text("<svg/>")
    assert [path.name for path in drawn_figures(folder.parent)] == ["a.svg", "b.svg"]
    (folder.parent / "summary.json").write_text("{")
    assert study_section(own_corpus(tmp_path / "elsewhere" / "own")) == "", "it is of another folder than `corpora`"

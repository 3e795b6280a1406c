import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from faithful.base.errors import FaithfulError
from studies.catalog import KNOWN
from studies.common.study import Study
from studies.common.tables import contrast_tables
from studies.report.config import ReportConfig
from studies.report.write import write_report
from studies.statistics.verdicts import Comparison, judge
from tests.studies.headlines import HEADLINES
from tests.studies.report.runs_made import (
    EVIL,
    Page,
    seeds_summary,
    write_corpus,
    write_run,
    write_study,
)


def test_the_page_fetches_and_runs_nothing(html: str) -> None:
    page = Page(html)
    tags = {tag for tag, _ in page.elements}
    assert tags.isdisjoint({"script", "link", "iframe", "object", "embed", "base", "form"}) and "svg" in tags
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "srcset"):
                assert (value or "").startswith(("#", "data:image/png")), (tag, name, value)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style and "url(" not in style[1] and "@import" not in style[1]
    assert "http:" not in html and "https:" not in html


def test_ids_are_unique_and_every_reference_has_its_target(html: str) -> None:
    elements = Page(html).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    wanted = [attributes["href"] for _, attributes in elements if (attributes.get("href") or "").startswith("#")]
    wanted += ["#" + name for name in re.findall(r"url\(#([^)\"']+)", html)]
    assert len(ids) == len(set(ids)) > 20
    assert len(wanted) > 20 and {one[1:] for one in wanted if one} <= set(ids)


def test_every_figure_says_what_it_shows_to_who_does_not_see_it(html: str, run: Path) -> None:
    elements = Page(html).elements
    pictures = [
        attributes.get("aria-label") or attributes.get("alt") for tag, attributes in elements if tag in ("svg", "img")
    ]
    drawn = len(list(run.glob("studies/*/figures/*.svg")))
    assert drawn == 2 and len(pictures) == drawn + 4 == sum(tag == "figure" for tag, _ in elements)
    assert all(label and label != "None" for label in pictures) and len(set(pictures)) == len(pictures)
    markdown = write_report(ReportConfig(run, markdown=True)).read_text(encoding="utf-8")
    assert len(re.findall(r"!\[[^\]]+\]\(", markdown)) == len(pictures)


def test_the_answer_stands_before_everything_and_verdicts_before_tables(html: str) -> None:
    text = Page(html).text
    order = [
        "Does the text that a sparse autoencoder is trained on decide what it finds?", "In part: of 2 comparisons 1 differs",
        "Every headline comparison", "(1 point of features shared", "less than the margin: own-corpus SAEs share",
        "What to bear in mind",
        "own-corpus SAEs share", "Within a corpus", "Sizes", "Reproduce it",
    ]  # fmt: skip
    place = 0
    for one in order:
        assert one in text[place:], one
        place = text.index(one, place)
    assert "Not studied in this run: corpora, fakes, probes, reconstruction." in text


def test_data_is_shown_as_it_is_and_never_as_markup(html: str) -> None:
    assert "<script" not in html and "<b onclick" not in html and "<odd>" not in html
    text = Page(html).text
    assert text.count(EVIL) == 4, "a sample, the title, the context and its strongest token"
    assert "latent 7 <i>" in text and "A <odd> name" in text


def test_the_same_run_gives_the_same_bytes(run: Path, html: str, tmp_path: Path) -> None:
    again = write_report(ReportConfig(run, out=tmp_path / "other.html"))
    assert again == tmp_path / "other.html" and again.read_text(encoding="utf-8") == html


def test_markdown_links_figures_that_exist(run: Path) -> None:
    path = write_report(ReportConfig(run, markdown=True))
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert len(links) == 6 and all((run / unquote(link)).is_file() for link in links)
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert "<" not in outside and "In part: of 2 comparisons 1 differs" in outside
    tables = re.findall(r"(?:^\|.*\n)+", outside, re.MULTILINE)
    assert len(tables) > 6
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert f"⟦{EVIL}⟧" in text


def test_a_page_to_pass_on_has_its_figures_beside_it_and_no_text_of_the_corpora(run: Path, tmp_path: Path) -> None:
    path = write_report(ReportConfig(run, out=tmp_path / "page.md", markdown=True, no_text=True))
    text = path.read_text(encoding="utf-8")
    links = [unquote(link) for link in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)]
    assert len(set(links)) == 6 and all(link.startswith("page_figures/") for link in links)
    assert all((tmp_path / link).is_file() for link in links)
    assert EVIL not in text and "samples of" not in text and "⟦" not in text
    html = write_report(ReportConfig(run, out=tmp_path / "page.html", no_text=True)).read_text(encoding="utf-8")
    assert EVIL not in Page(html).text and "samples of" not in Page(html).text


def test_a_run_of_truths_has_a_title_of_its_own_and_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Study, "tables", lambda *_: [])
    sizes = {"truth_seeds": 1, "seeds": 2}
    write_study(tmp_path, "synthetic", {"study": "synthetic", "corpora": {}, "contrasts": [], "sizes": sizes})
    html = write_report(ReportConfig(tmp_path)).read_text(encoding="utf-8")
    assert f"<title>{KNOWN['synthetic'].question}</title>" in html
    assert "unknown" not in html and "own text" not in html
    text = write_report(ReportConfig(tmp_path, markdown=True)).read_text(encoding="utf-8")
    assert "No headline contrast: there was nothing to compare." in text and "unknown" not in text


def test_a_run_with_a_study_in_another_folder_has_a_report(tmp_path: Path) -> None:
    write_study(tmp_path, "seeds-full", seeds_summary())
    text = write_report(ReportConfig(tmp_path, markdown=True)).read_text(encoding="utf-8")
    assert text.startswith("# Does the text that") and "(seeds-full)\n" in text
    assert f"faithful study seeds --out runs/{tmp_path.name}/studies/seeds-full --run {tmp_path.name}\n" in text


def test_a_recipe_is_the_way_to_make_the_run_again(tmp_path: Path) -> None:
    run = write_run(tmp_path / "other")
    (run / "recipe.toml").write_text('model = "tiny"\nseeds = "0,1"\n')
    (run / "steps.json").write_text(json.dumps({"train": {"key": "k", "seconds": 61.25}, "report": {"seconds": 1}}))
    text = write_report(ReportConfig(run, markdown=True)).read_text(encoding="utf-8")
    generated = "faithful generate --model tiny --tokens "
    assert f"faithful run recipe.toml --run other\n\n# which is, step by step:\n{generated}" in text
    assert "--out runs/other/corpora/own" in text
    assert 'seeds = "0,1"' in text
    assert "| train | 61.2 |" in text and "| all | 62.2 |" in text


def test_a_run_with_nothing_but_text_that_is_elsewhere(tmp_path: Path) -> None:
    write_corpus(tmp_path / "run" / "corpora" / "own", "own", ["gone"], [3])
    (tmp_path / "run" / "corpora" / "own" / "data" / "part-00000.parquet").unlink()
    text = Page(write_report(ReportConfig(tmp_path / "run")).read_text(encoding="utf-8")).text
    assert "No answer yet: no study that it rests on is finished." in text and "samples of own" not in text
    assert "No SAEs in this run." in text and "PIT histograms" in text


def test_partners_stand_beside_their_latents(tmp_path: Path) -> None:
    summary = seeds_summary()
    (row,) = summary["examples"][0]["rows"]
    row |= {
        "partner_corpus": "own", "partner_seed": 4, "partner_latent": 31, "partner_cosine": 0.875, "partner_text": "stdlib",
        "partner_tokens": ["def", " twin"], "partner_values": [0.0, 3.0],
    }  # fmt: skip
    write_study(tmp_path, "seeds", summary)
    text = write_report(ReportConfig(tmp_path, markdown=True)).read_text(encoding="utf-8")
    assert "its partner in the SAE of own, seed 4: latent 31, cosine 0.88\n" in text
    assert "def⟦ twin⟧   [stdlib, 3]" in text


def test_saes_from_elsewhere_leave_the_training_command_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "mixed")
    folder = run / "saes" / "elsewhere"
    folder.mkdir()
    (folder / "cfg.json").write_text(json.dumps({"d_sae": 8, "k": 2, "architecture": "topk", "metadata": {}}))
    text = write_report(ReportConfig(run, markdown=True)).read_text(encoding="utf-8")
    assert "faithful generate --model tiny" in text and "faithful train" not in text.split("## Reproduce it")[1]


def test_parts_of_the_panel_are_tabled() -> None:
    figures = {i: 0.5 + 0.001 * i for i in range(6)}
    other = {i: 0.5 + 0.0011 * i * (-1) ** i for i in range(6)}
    lower = {i: value - 0.3 for i, value in other.items()}
    parts = {"own": (figures, other), "b": (figures, lower)}
    both = [
        Comparison("own", "b", f"fake_contrast_{text}", figures, other, True, parts, None, text, (name,))
        for text, name in (("matched", "own"), ("foreign", "b"))
    ]
    whole, by_part = contrast_tables(
        {"contrasts": judge(HEADLINES["fakes"], both), "texts": {"matched": ["own"], "foreign": ["b"]}}
    )
    assert "matched text is that of own, foreign text is that of b" in whole.title
    assert [row[:2] for row in whole.rows] == [("own − b", "matched"), ("own − b", "foreign")]
    assert by_part.title.startswith("fake_contrast: the same one by one") and len(by_part.rows) == 2, "each part once"
    assert by_part.rows[1][:3] == ("own − b", "b", "+0.3030") and by_part.rows[1][-1] == "differs"


def test_what_cannot_be_reported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="There is no run"):
        write_report(ReportConfig(tmp_path / "none"))
    with pytest.raises(FaithfulError, match="no corpora, SAEs or studies"):
        write_report(ReportConfig(tmp_path))
    write_study(tmp_path, "seeds", {})
    (tmp_path / "studies" / "seeds" / "summary.json").write_text("{")
    with pytest.raises(FaithfulError, match=r"Cannot read .*summary\.json"):
        write_report(ReportConfig(tmp_path))
    assert not list(tmp_path.glob("report*"))


def test_a_recipe_that_is_a_link_out_of_the_run_is_not_shown(tmp_path: Path) -> None:
    """The page is sent with the run, and so would be what the link leads to."""
    run = write_run(tmp_path / "run")
    (tmp_path / "key").write_text("secret")
    (run / "recipe.toml").unlink(missing_ok=True)
    (run / "recipe.toml").symlink_to(tmp_path / "key")
    with pytest.raises(FaithfulError, match="is a link out of"):
        write_report(ReportConfig(run=run))

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from faithful.store.corpus import Document, Manifest, to_table, write_manifest, write_shard
from studies.common.tables import contrast_tables
from studies.probes.study import AT_CEILING
from studies.report.answer import answer
from studies.report.draft_figures import draft_runs, drafts_like, reference_tables
from studies.report.figures import position_counts
from studies.report.found import RunFound, SaeFound, StudyFound, read_run
from studies.report.parts import CHECKS, notes, position_notes
from studies.report.reproduce import sizes_table, study_command
from studies.report.svg import inline_svg
from studies.report.write import ReportConfig, write_report
from studies.seeds.chance import floor_notes
from studies.statistics.verdicts import Comparison, judge, summarise
from tests.studies.headlines import HEADLINES

SHAPE = "resid_pre.3-f8-k2"
MODEL = {"name": "tiny", "revision": "sha256:" + "a1" * 32, "dtype": "float32"}
EVIL = "<script>alert('x')</script> & <b onclick=y>"
SVG = (
    '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="90pt"'
    ' height="45pt" viewBox="0 0 90 45" onload="go()"><style>*{x:y}</style><script>go()</script><defs>'
    '<path id="m" d="M 0 0"/>'
    '<clipPath id="c"><rect width="1" height="1"/></clipPath></defs><g clip-path="url(#c)"><use xlink:href="#m" x="1"/></g>'
    '<image xlink:href="data:image/png;base64,AAAA"/><image xlink:href="https://example.org/a.png"/>'
    '<rect style="fill: url(https://example.org/b)"/><text onclick="go()">a &lt; b</text></svg>'
)


class Page(HTMLParser):
    """Elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def write_corpus(folder: Path, kind: str, texts: list[str], lengths: list[int]) -> None:
    documents = [Document(i, 0, [1] * n, "length") for i, n in enumerate(lengths)]
    counts = {str(n): lengths.count(n) for n in sorted(set(lengths))}
    shard = write_shard(folder, "train", 0, to_table(documents, texts, 64), {"lengths": counts})
    edges = [0.0, 0.01, 0.5, 0.99, 1.0]
    certificate = {
        "verdict": "consistent with the declared sampling", "surprise_gap": -0.01, "ci95": [-0.02, 0.01], "p_holm": 0.4,
        "tokens_scored": 1000, "pit_edges": edges, "pit_counts": [10, 490, 490, 10],
    }  # fmt: skip
    manifest = Manifest(folder.name, kind, {"model": MODEL}, {"model": MODEL}, {"train": sum(lengths), "test": 0})
    manifest.shards["train"] = [shard]
    manifest.certificate = certificate if kind == "own" else None
    write_manifest(folder, manifest)
    command = "faithful generate --model tiny" if kind == "own" else f"faithful corpus add {folder.name} --for tiny"
    card = f"```bash\nfaithful corpus export {folder.name}\n```\n\n```bash\n{command}\n```\n"
    (folder / "README.md").write_text(card, encoding="utf-8")


def write_sae(folder: Path, corpus: str, seed: int) -> None:
    folder.mkdir(parents=True)
    identity = {
        "model": "tiny", "corpus": corpus, "hook": "resid_pre.3", "init_seed": seed, "context": 9, "layout": "aligned",
        "tokens": 1234, "batch": 16, "d_sae": 8, "k": 2, "lr": 1e-3,
    }  # fmt: skip
    record = {
        "version": "0.1.0",
        "identity": identity,
        "evaluation": {"fvu": 0.25, "tokens": 345},
        "torch": "2.9",
        "seconds": 3.0,
    }
    config = {"d_sae": 8, "k": 2, "metadata": {"dataset_path": corpus, "faithful": record}}
    (folder / "cfg.json").write_text(json.dumps(config))
    lines = [json.dumps({"step": step, "fvu": 1 / step, "dead_in_training": step}) for step in range(1, 700)]
    (folder / "train.jsonl").write_text("\n".join(lines) + '\n{"step": 700, "fv')


def pairs(base: float, step: float, seeds: int) -> dict[Any, float]:
    return {(i, j): base + step * (i + 2 * j) for i in range(seeds) for j in range(i + 1, seeds)}


def seeds_summary(seeds: int = 6) -> dict[str, Any]:
    figures = {
        "shared_feature_ratio": {
            "own": pairs(0.5, 0.002, seeds), "prose": pairs(0.4, 0.003, seeds), "stdlib": pairs(0.5, 0.0021, seeds),
        },
        "pw_mcc": {"own": pairs(0.6, 0.001, seeds), "prose": pairs(0.5, 0.001, seeds)},
    }  # fmt: skip
    positions = {"own": np.array([5, 5, 5]), "prose": np.array([9, 1, 1]), "stdlib": np.array([5, 5, 5])}
    statistics = summarise(HEADLINES["seeds"], figures, "own", positions=positions)
    for name in statistics["corpora"]:
        statistics["corpora"][name]["floor_random"] = 0.01
    example = {"title": f"own: {EVIL}", "rows": [
        {"corpus": "prose", "tokens": ["a", EVIL, "\n"], "values": [0.0, 2.0, 0.5], "note": "latent 7 <i>"},
    ]}  # fmt: skip
    other = {"corpora": {"own": {"pw_mcc": {"value": 0.125, "ci95": None, "seeds": 2}}}, "contrasts": []}
    return {
        "study": "seeds", "model": MODEL, "hook": "resid_pre.3", "own": "own", "shape": SHAPE, "seed": 3,
        "sizes": {"saes": 18, "panel_tokens": {"own": 2724, "prose": 2689}}, **statistics, "across": {},
        "floors": {"own": {"floor_random": {"pairs": 3}, "floor_init": {"pairs": 1}}}, "not_compared": [[SHAPE, "f16"]],
        "between_shapes": {"own a × own b": {"shared_feature_ratio": 0.1, "pw_mcc": 0.2, "floor_random": 0.0, "pairs": 36}},
        "shapes": {SHAPE: {}, "resid_pre.3-f16-k2": other}, "examples": [example],
    }  # fmt: skip


def write_study(run: Path, name: str, summary: dict[str, Any], figures: tuple[str, ...] = ()) -> None:
    folder = run / "studies" / name
    (folder / "figures").mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    for figure in figures:
        (folder / "figures" / f"{figure}.svg").write_text(SVG, encoding="utf-8")


def write_run(run: Path, seeds: int = 6) -> Path:
    write_corpus(run / "corpora" / "own", "own", [EVIL, "two", "three"], [2, 4, 8])
    write_corpus(run / "corpora" / "prose", "external", ["Emma felt", "x", "y"], [8, 8, 8])
    for corpus in ("own", "prose"):
        for seed in range(2):
            write_sae(run / "saes" / corpus / SHAPE / f"seed-{seed}", corpus, seed)
    write_study(run, "seeds", seeds_summary(seeds), ("sfr_curves", "a <odd> name"))
    extra = {"study": "extra", "corpora": {"own": {"height": {"value": 1.5, "ci95": [1.0, 2.0]}}}, "contrasts": []}
    write_study(run, "extra", extra)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    path = write_report(ReportConfig(run))
    assert path == run / "report.html"
    return path.read_text(encoding="utf-8")


def entry(verdict: str, b: str = "prose", **more: Any) -> dict[str, Any]:
    return {
        "a": "own",
        "b": b,
        "metric": "m",
        "headline": True,
        "verdict": verdict,
        "sentence": f"{verdict} {b}",
    } | more


def part(difference: float, verdict: str = "differs") -> dict[str, Any]:
    return {"difference": difference, "ci95": [difference - 0.01, difference + 0.01], "verdict": verdict}


TURNED = {"own": part(0.263), "prose": part(-0.052), "web": part(0.002, "cannot tell")}


def run_of(**studies: list[dict[str, Any]]) -> RunFound:
    found = {name: StudyFound(name, Path(name), {"contrasts": c, "corpora": {}}) for name, c in studies.items()}
    return RunFound(Path("demo"), [], [], found)


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


def test_the_answer_stands_before_everything_and_verdicts_before_tables(html: str) -> None:
    text = Page(html).text
    order = [
        "Does the text that a sparse autoencoder is trained on decide what it finds?", "In part: of 2 comparisons 1 differs",
        "Own-corpus SAEs share", "Verdicts", "Not done: faithful study fakes", "Within a corpus", "Sizes", "Reproduce it",
    ]  # fmt: skip
    place = 0
    for one in order:
        assert one in text[place:], one
        place = text.index(one, place)
    assert "Not studied in this run: corpora, fakes, probes, reconstruction." in text


def test_data_is_shown_as_it_is_and_never_as_markup(html: str) -> None:
    assert "<script" not in html and "<b onclick" not in html and "<odd>" not in html
    text = Page(html).text
    assert text.count(EVIL) == 3
    assert "latent 7 <i>" in text and "A <odd> name" in text


def test_what_a_reader_needs_is_there(html: str) -> None:
    text = Page(html).text
    for wanted in (
        *CHECKS, "exploratory contrast", "SAEs of resid_pre.3-f16-k2", "0.125", "own 2,724 · prose 2,689", "1,234",
        "3 samples of own", "faithful generate --model tiny", "faithful corpus add prose --for tiny", "a1" * 32,
        "consistent with the declared sampling", "faithful study seeds --run demo", "1.5 (1 to 2)", "height",
        "learning rate0.001", "init seeds0, 1", "latents8", "held-out tokens of the evaluation345", "degrees of freedom",
        "A floor is the mean over 1 or 3 pairs of decoders", "between shapes are means over 36 pairs of SAEs",
        f"Not compared with each other, since each has pairs of its own: {SHAPE} and f16.",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert "faithful corpus export" not in text
    assert "Warning: own and prose fill different positions" in text
    top = next(attributes for tag, attributes in Page(html).elements if tag == "b" and attributes.get("class") == "top")
    assert top["title"] == "2"


def test_the_same_run_gives_the_same_bytes(run: Path, html: str, tmp_path: Path) -> None:
    again = write_report(ReportConfig(run, out=tmp_path / "other.html"))
    assert again == tmp_path / "other.html" and again.read_text(encoding="utf-8") == html


def test_markdown_links_figures_that_exist(run: Path) -> None:
    path = write_report(ReportConfig(run, markdown=True))
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert len(links) == 5 and all((run / unquote(link)).is_file() for link in links)
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert "<" not in outside and "In part: of 2 comparisons 1 differs" in outside
    tables = re.findall(r"(?:^\|.*\n)+", outside, re.MULTILINE)
    assert len(tables) > 6
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert f"⟦{EVIL}⟧" in text


def test_a_recipe_is_the_way_to_make_the_run_again(tmp_path: Path) -> None:
    run = write_run(tmp_path / "other")
    (run / "recipe.toml").write_text('model = "tiny"\nseeds = "0,1"\n')
    (run / "steps.json").write_text(json.dumps({"train": {"key": "k", "seconds": 61.25}, "report": {"seconds": 1}}))
    text = write_report(ReportConfig(run, markdown=True)).read_text(encoding="utf-8")
    generated = "faithful generate --model tiny --out runs/other/corpora/own\n"
    assert f"faithful run recipe.toml --run other\n\n# which is, step by step:\n{generated}" in text
    assert 'seeds = "0,1"' in text
    assert "| train | 61.2 |" in text and "| all | 62.2 |" in text


def test_a_study_s_command_states_all_that_it_was_told(tmp_path: Path) -> None:
    write_study(tmp_path, "seeds", seeds_summary())
    folder = tmp_path / "studies" / "seeds"
    study = StudyFound("seeds", folder, {})
    assert study_command(study, "demo") == "faithful study seeds --run demo"
    told = {
        "saes": ["/home/me/runs/demo/saes"], "out": "/home/me/runs/demo/studies/seeds", "own": None, "examples": 5,
        "corpora": ["/home/me/runs/demo/corpora/own", "/home/me/my prose"], "model": "tiny", "tokens": 8000, "context": 64,
        "seed": 3, "device": None, "gaussian_steps": 150,
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(told))
    assert study_command(study, "demo") == (
        "faithful study seeds --run demo --corpus runs/demo/corpora/own --corpus 'my prose' --model tiny --tokens 8000"
        " --set context=64 --seed 3 --set gaussian_steps=150"
    )
    (folder / "settings.json").write_text(json.dumps({"saes": ["USER/REPO", "runs/demo/saes/own"]}))
    assert study_command(study, "demo") == "faithful study seeds USER/REPO runs/demo/saes/own --run demo"


def test_lists_and_the_study_of_corpora_have_options_of_their_own(tmp_path: Path) -> None:
    for name in ("probes", "corpora"):
        write_study(tmp_path, name, {})
    probes, corpora = (StudyFound(name, tmp_path / "studies" / name, {}) for name in ("probes", "corpora"))
    (probes.folder / "settings.json").write_text(json.dumps({"ks": [1, 10], "tasks": ["sst2", "a b.csv:text:label"]}))
    assert study_command(probes, "demo") == (
        "faithful study probes --run demo --set tasks='sst2,a b.csv:text:label' --set ks=1,10"
    )
    told = {
        "folders": ["runs/demo/corpora/own"],
        "own": "runs/demo/corpora/own",
        "top_ps": [0.9, 1.0],
        "budget": 100000,
    }
    (corpora.folder / "settings.json").write_text(json.dumps(told))
    assert study_command(corpora, "demo") == (
        "faithful study corpora runs/demo/corpora/own --run demo --own runs/demo/corpora/own --budget 100000 --top-ps 0.9,1.0"
    )


def test_what_a_study_was_told_stands_beside_what_it_is_otherwise(tmp_path: Path) -> None:
    run = write_run(tmp_path / "small")
    told = {"tokens": 8000, "gaussian_steps": 150, "gaussian_seeds": 2, "seed": 3, "out": "/home/me"}
    (run / "studies" / "seeds" / "settings.json").write_text(json.dumps(told))
    stated = [row[1:] for row in sizes_table(read_run(run)).rows if row[1].startswith("stated")]
    assert stated == [
        ("stated: tokens", "8,000", "30,000 on a CPU, 200,000 on a GPU"), ("stated: gaussian steps", "150", "–"),
    ]  # fmt: skip


def test_figures_without_an_interval_say_what_they_are_of() -> None:
    assert "of one corpus each" in notes("corpora", {})[0]
    assert "accuracy_h, macro_f1_h and majority are single values" in notes("probes", {})[0]
    assert (
        "Matched text is held-out text of the own corpus"
        in notes("fakes", {"contrasts": [entry("x", text="matched")]})[0]
    )
    assert "holds no foreign text" in notes("fakes", {"contrasts": [entry("x", text="matched")], "texts": {}})[1]
    assert notes("fakes", {}) == notes("seeds", {"floors": {}, "between_shapes": {}, "not_compared": []}) == []


def test_a_run_with_nothing_but_text_that_is_elsewhere(tmp_path: Path) -> None:
    write_corpus(tmp_path / "run" / "corpora" / "own", "own", ["gone"], [3])
    (tmp_path / "run" / "corpora" / "own" / "data" / "part-00000.parquet").unlink()
    text = Page(write_report(ReportConfig(tmp_path / "run")).read_text(encoding="utf-8")).text
    assert "No answer yet: no study of SAEs is finished." in text and "samples of own" not in text
    assert "No SAEs in this run." in text and "PIT histograms" in text


@pytest.mark.parametrize(
    ("found", "short"),
    [
        ([entry("differs"), entry("differs", "c")], "Yes, in everything that was compared."),
        ([entry("differs"), entry("cannot tell", "c")], "In part: of 2 comparisons 1 differs."),
        ([entry("depends on the text", parts=TURNED)], "It depends: which SAEs do better changes with the text"),
        (
            [entry("differs"), entry("depends on the text", "c", parts=TURNED), entry("cannot tell", "d")],
            "In part: of 3 comparisons 1 differs and 1 depends on the text.",
        ),
        ([entry("no relevant difference")], "No: no relevant difference in anything that was compared."),
        ([entry("differs by less than the margin"), entry("no relevant difference", "c")], "Hardly: what differs"),
        ([entry("cannot tell"), entry("no relevant difference", "c")], "Not shown: nothing differs"),
        ([entry("cannot be decided: 4 seeds", seeds=4)], "It cannot be decided."),
        ([entry("exploratory", headline=False)], "No answer: no SAEs of the model's own text"),
    ],
)  # fmt: skip
def test_the_short_answer_follows_the_verdicts(found: list[dict[str, Any]], short: str) -> None:
    given = answer(run_of(seeds=[one | {"seeds": one.get("seeds", 6)} for one in found]))
    assert given.short.startswith(short)


def test_the_paragraph_counts_quotes_and_groups() -> None:
    fakes = [entry("no relevant difference", b, seeds=6) for b in ("c", "d")]
    fakes[1] |= {"text": "foreign", "texts": ["c", "d"]}
    given = answer(run_of(seeds=[entry("differs", seeds=6), entry("cannot tell", "c", seeds=6)], fakes=fakes)).paragraph
    assert given.startswith(
        "Of 4 headline comparisons of SAEs trained on own with SAEs trained on prose, c and d, 1 differs,"
    )
    assert "2 show no relevant difference and 1 cannot tell." in given and "Differs prose." in given
    assert "No relevant difference: fake features (own against c and d on foreign text)." in given
    assert "Cannot tell: features shared across seeds (own against c)." in given


def test_fewer_than_six_seeds_cannot_be_decided() -> None:
    few = judge(
        HEADLINES["seeds"],
        [Comparison("own", "b", "shared_feature_ratio", pairs(0.9, 0, 4), pairs(0.1, 0.001, 4), True)],
    )
    given = answer(run_of(seeds=few))
    assert (
        given.short == "It cannot be decided." and "needs at least 6 init seeds; here some have 4." in given.paragraph
    )


def test_a_control_is_told_but_not_counted() -> None:
    """Own text of other lengths that gives what own text gives does not turn a Yes into an In part."""
    found = run_of(seeds=[entry("differs", seeds=6), entry("no relevant difference", "own-like-prose", seeds=6)])
    assert answer(found).short.startswith("In part")
    found.studies["seeds"].summary["controls"] = {"own-like-prose": "prose"}
    given = answer(found)
    assert given.short == "Yes, in everything that was compared."
    assert "Of 1 headline comparison of SAEs trained on own with SAEs trained on prose, 1 differs." in given.paragraph
    assert (
        "Controls, which the answer does not count: features shared across seeds: no relevant difference (own against"
        " own-like-prose)." in given.paragraph
    )


def test_tasks_at_their_ceiling_are_the_reason_and_not_the_seeds() -> None:
    nothing = dict.fromkeys(range(6), None)
    figures = {"accuracy": {"own": nothing, "prose": nothing}}
    few = judge(
        HEADLINES["seeds"],
        [Comparison("own", "b", "shared_feature_ratio", pairs(0.9, 0, 4), pairs(0.1, 0.001, 4), True)],
    )
    probes = summarise(HEADLINES["probes"], figures, "own", undefined=AT_CEILING)["contrasts"]
    given = answer(run_of(probes=probes))
    assert given.short == "It cannot be decided." and "init seeds; here" not in given.paragraph
    assert "Why else nothing can be decided: probes: on every task the activations alone" in given.paragraph
    assert "here some have 4." in answer(run_of(seeds=few, probes=probes)).paragraph


def test_corpora_whose_text_is_gone_are_named() -> None:
    found = run_of(seeds=[entry("differs", seeds=6)])
    found.studies["seeds"].summary["missing_corpora"] = ["prose"]
    assert "Not in the panel, since their text was not where it had been: prose." in answer(found).remarks


def test_partners_stand_beside_their_latents(tmp_path: Path) -> None:
    summary = seeds_summary()
    (row,) = summary["examples"][0]["rows"]
    row |= {
        "partner_corpus": "own", "partner_seed": 4, "partner_latent": 31, "partner_cosine": 0.875, "partner_text": "stdlib",
        "partner_tokens": ["def", " twin"], "partner_values": [0.0, 3.0],
    }  # fmt: skip
    write_study(tmp_path, "seeds", summary)
    text = write_report(ReportConfig(tmp_path, markdown=True)).read_text(encoding="utf-8")
    assert "its partner in the SAE of own, seed 4: latent 31, cosine 0.88 · text from stdlib" in text
    assert "def⟦ twin⟧" in text


def test_saes_from_elsewhere_leave_the_training_command_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "mixed")
    folder = run / "saes" / "elsewhere"
    folder.mkdir()
    (folder / "cfg.json").write_text(json.dumps({"d_sae": 8, "k": 2, "architecture": "topk", "metadata": {}}))
    text = write_report(ReportConfig(run, markdown=True)).read_text(encoding="utf-8")
    assert "faithful generate --model tiny" in text and "faithful train" not in text.split("## Reproduce it")[1]


def test_shared_features_no_better_than_chance_are_said_to_be_so() -> None:
    ratio = {"value": 0.02, "ci95": [0.005, 0.03], "seeds": 6}
    corpora = {"own": {"shared_feature_ratio": ratio, "floor_init": 0.01}, "b": {"shared_feature_ratio": ratio}}
    said = floor_notes({"corpora": corpora})[0]
    assert said.startswith("The shared feature ratio of own (0.0200, by chance 0.0100) is not above what chance gives")
    assert "a comparison says little" in said, "b has no floor"
    corpora["own"]["floor_init"] = 0.001
    assert floor_notes({"corpora": corpora}) == []


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


def test_a_reversal_is_told_once_with_direction_and_size() -> None:
    """Both headlines of two corpora depend on the text; the paragraph counts both and states each text once."""
    both = [
        entry("depends on the text", text=text, texts=[name], parts=TURNED, seeds=6)
        for text, name in (("matched", "own"), ("foreign", "prose"))
    ]
    given = answer(run_of(reconstruction=both)).paragraph
    assert given.startswith(
        "Of 2 headline comparisons of SAEs trained on own with SAEs trained on prose, 2 depend on the"
    )
    told = (
        "Depends on the text: of the cross-entropy, own-corpus SAEs recover 0.263 more on own (0.253 to 0.273), 0.052 less on"
        " prose (0.042 to 0.062) and 0.002 more on web (−0.008 to 0.012; not significant) than prose-corpus SAEs."
    )
    assert given.count(told) == 1 and given.count("0.263") == 1


def test_svg_keeps_what_draws_and_drops_what_runs(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text(SVG)
    one = inline_svg(tmp_path / "a.svg", "f1-", 'a "title"')
    assert 'id="f1-m"' in one and 'href="#f1-m"' in one and "url(#f1-c)" in one and "a &lt; b" in one
    assert "data:image/png;base64,AAAA" in one and 'aria-label="a &quot;title&quot;"' in one
    for gone in ("script", "onload", "onclick", "example.org", "<style", "xmlns", 'width="90pt"'):
        assert gone not in one
    (tmp_path / "b.svg").write_text("<svg><g></svg>")
    with pytest.raises(FaithfulError, match="run the study again"):
        inline_svg(tmp_path / "b.svg", "", "")
    (tmp_path / "c.svg").write_text("<html/>")
    with pytest.raises(FaithfulError, match="no SVG"):
        inline_svg(tmp_path / "c.svg", "", "")


@pytest.mark.parametrize(
    "box", ["0 0 nan 9", "0 0 inf 9", "0 0 x 9", "0 0 1e300 9", "0 0 -5 9", "0 0 0 9", "0 0 9", "0 0 9 9 9", "1e999"]
)
def test_figures_of_no_size_are_a_sentence(tmp_path: Path, box: str) -> None:
    (tmp_path / "a.svg").write_text(f'<svg viewBox="{box}"><g/></svg>')
    with pytest.raises(FaithfulError, match="states no size") as caught:
        inline_svg(tmp_path / "a.svg", "", "")
    assert "\n" not in str(caught.value)


def test_figures_with_commas_without_a_box_or_nested_without_end(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text('<svg viewBox="0,0, 90,45"/>')
    assert "width:120px" in inline_svg(tmp_path / "a.svg", "", "")
    (tmp_path / "b.svg").write_text("<svg/>")
    assert "width" not in inline_svg(tmp_path / "b.svg", "", "")
    (tmp_path / "c.svg").write_text("<svg>" + "<g>" * 3000 + "</g>" * 3000 + "</svg>")
    with pytest.raises(FaithfulError, match="nested too deeply"):
        inline_svg(tmp_path / "c.svg", "", "")


def test_draft_figures_stand_beside_ours_where_model_and_setting_agree() -> None:
    assert len(draft_runs()) == 29
    shape = "resid_pre.8-f12288-k16"
    assert [run.corpus for run in drafts_like("openai-community/gpt2", shape)] == [
        "faithful-gpt2-small", "fineweb", "pile-uncopyrighted",
    ]  # fmt: skip
    corpora = {"mine": {"fake_contrast": {"value": 0.004}, "fake_density_1": 0.2, "fake_density_1_of_bound": 0.3}}
    summary = {"model": {"name": "gpt2"}, "own": "mine", "shape": shape, "corpora": corpora}
    table = reference_tables("fakes", summary, {})[0]
    title, header, rows = table.title, table.header, table.rows
    assert title.endswith("(draft: lr 0.0003, context 128, 24,413 steps, seeds 42 and 49; ours: not recorded)")
    assert header == ("corpus in the draft", "draft count", "draft share", "our fake_contrast", "our fake_density_1")
    assert rows[0] == ("faithful-gpt2-small", "36, 38", "0.301%", "0.400%", "20.000%")
    assert rows[1] == ("fineweb", "34, 33", "0.273%", "–", "–")
    score = {name: [{"size": 9, "value": 0.1}, {"size": 99, "value": 0.75}] for name in ("accuracy", "macro_f1")}
    probes = summary | {
        "by_task": {"sst2": {"mine": {"f": score, "h_hat": score}}},
        "tasks": {"sst2": {"baseline": {"accuracy": 0.8, "macro_f1": 0.7}}},
    }
    assert reference_tables("probes", probes, {})[0].rows[:2] == [
        ("faithful-gpt2-small", "sst2", "accuracy", "76.0%", "63.8%", "58.2%", "80.0%", "75.0%", "75.0%"),
        ("faithful-gpt2-small", "sst2", "macro-F1", "74.4%", "63.2%", "50.5%", "70.0%", "75.0%", "75.0%"),
    ]
    assert reference_tables("fakes", summary | {"shape": "resid_pre.8-f12288-k32"}, {}) == []
    assert reference_tables("fakes", summary | {"model": {"name": "pythia-1.4b"}}, {}) == []
    assert reference_tables("seeds", summary, {}) == []


def test_where_our_settings_differ_from_the_draft_s_is_said() -> None:
    shape = "resid_pre.8-f12288-k16"
    corpora = {"mine": {"fake_contrast": {"value": 0.004}}}
    summary = {"model": {"name": "gpt2"}, "own": "mine", "shape": shape, "corpora": corpora}
    same = {"lr": 0.0003 * (1 + 1e-12), "context": 128, "tokens": 100_000_000, "steps": 24_413}
    ours = [same | {"init_seed": seed} for seed in (42, 49, 0)]
    title = reference_tables("fakes", summary, {shape: ours})[0].title
    assert title.endswith("ours: lr 0.0003, context 128, 100,000,000 tokens in 24,413 steps, seeds 42, 49 and 0)")
    other = [one | {"lr": 0.001, "steps": 999} for one in ours]
    title = reference_tables("fakes", summary, {shape: other})[0].title
    assert "ours: lr 0.001, context 128" in title and title.endswith("; differs in lr and steps)")


def test_positions_are_counted_as_aligned_contexts_fill_them(run: Path) -> None:
    corpora = {corpus.name: corpus.manifest for corpus in read_run(run).corpora}
    assert position_counts(corpora["own"], 6).tolist() == [3, 3, 2, 2, 1]
    assert position_counts(corpora["prose"], 6).tolist() == [3] * 5
    assert position_notes(read_run(run))[0] == "Contexts for training are aligned, with 9 tokens."


def test_training_logs_are_thinned_and_torn_lines_left_out(run: Path) -> None:
    steps = [point["step"] for point in read_run(run).saes[0].log()]
    assert steps[0] == 1 and 300 < len(steps) <= 352 and steps == sorted(steps)
    assert SaeFound("x", run / "nowhere", {}).log() == []


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

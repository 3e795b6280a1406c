"""docs/variants-models.md is made of a run alone."""

from pathlib import Path

from benchmarks.variants_models_page import page_of
from studies.report.found import read_run
from tests.studies.variants.known import studied


def test_the_page_has_what_differs_every_figure_and_no_other_corpus(by_hand: Path) -> None:
    done = studied(by_hand)
    page = page_of([read_run(by_hand)])
    led = [one for one in done.summary["contrasts"] if one["headline"]]
    told = [one for one in led if one["verdict"] in ("differs", "differs by less than the margin")]
    assert f"Of {len(led)} comparisons with TopK on own, {len(told)} differ:" in page
    assert all(f"- {one['sentence']}" in page for one in told)
    assert "| anneal-s2 |" in page and "Exploratory: other corpora" not in page


def test_a_model_that_is_not_made_again_keeps_its_section(by_hand: Path) -> None:
    studied(by_hand)
    run = read_run(by_hand)
    name, once = run.model["name"], page_of([run])
    other = f"{once.rstrip()}\n\n## Another\n\n### As it was\n\n- a | b\n"
    again = page_of([run], other.replace("comparisons with TopK", "stale"))
    assert again == other and again.count(f"\n## {name}\n") == 1
    assert page_of([run], once) == once

"""Headlines, their margins and the texts they are on."""

from dataclasses import replace

from studies.statistics.headlines import Wording
from studies.statistics.parts import Parts
from studies.statistics.verdicts import summarise
from tests.studies.headlines import HEADLINES
from tests.studies.statistics.drawn import ON_OWN, noisy


def test_margins_are_those_of_metrics() -> None:
    assert {study: (one.metrics, one.margin) for study, one in HEADLINES.items()} == {
        "seeds": (("shared_feature_ratio",), 0.01),
        "fakes": (("fake_contrast_matched", "fake_contrast_foreign"), 0.001),
        "probes": (("accuracy",), 0.01),
        "reconstruction": (("ce_recovered_matched", "ce_recovered_foreign"), 0.005),
    }


def test_a_listing_is_the_claim_part_by_part_where_none_is_stated() -> None:
    plain = Wording("{a} finds {amount} {more} than {b}", "finds", ("more", "less"))
    assert plain.by_parts == "{a} finds {parts} than {b}"
    assert replace(plain, listing="of finds, {a} has {parts}").by_parts == "of finds, {a} has {parts}"


def test_a_mean_of_nothing_never_hides_what_each_part_shows() -> None:
    """+5 points on one task and −5 on another are no 'no relevant difference'."""
    tasks = {"a": {"own": noisy(0.85, 0.002, 1), "b": noisy(0.8, 0.002, 2)}}
    tasks["b"] = {"own": noisy(0.8, 0.002, 3), "b": noisy(0.85, 0.002, 4)}
    whole = {"accuracy": {"own": noisy(0.825, 0.001, 5), "b": noisy(0.825, 0.001, 6)}}
    assert summarise(HEADLINES["probes"], whole, "own")["contrasts"][0]["verdict"] == "no relevant difference"
    (entry,) = summarise(HEADLINES["probes"], whole, "own", Parts(tasks))["contrasts"]
    assert entry["verdict"] == "depends on the task"
    assert "reach 5.0 points more on a (" in entry["sentence"] and "5.0 points less on b (" in entry["sentence"]


def test_a_panel_of_own_text_alone_has_no_headline_on_foreign_text() -> None:
    summary = summarise(HEADLINES["fakes"], {}, "own", Parts({"own": ON_OWN}, matched=("own",)))
    assert {one["metric"] for one in summary["contrasts"]} == {"fake_contrast_matched"}
    assert "one by one" not in summary["contrasts"][0]["sentence"]

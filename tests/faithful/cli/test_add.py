"""`faithful corpus add` and `faithful corpus list` as typed."""

import json
from pathlib import Path

from generation.sources.resolve import catalog
from tests.faithful.cli.called import call, refused

TYPED = ("corpus", "add", "noise", "--tokens", "2k", "--held-out", "500", "--context", "32", "--out", "noise")


def test_a_corpus_is_planned_made_and_then_found_whole() -> None:
    plan = json.loads(call(*TYPED, "--dry-run", "--json").stdout)
    assert (plan["folder"], plan["tokens"], plan["there"]) == (
        "noise", {"train": 2000, "test": 500}, {"train": 0, "test": 0},
    )  # fmt: skip
    shown = call(*TYPED, "--dry-run")
    assert "train tokens\t2,000, 0 of them there" in shown.stdout
    assert "Nothing was written. Next: the same command without --dry-run" in shown.stderr
    assert list(Path().iterdir()) == []
    made = call(*TYPED)
    assert made.exit_code == 0, made.output
    for title in ("# Documents", "# Source", "# Statistics"):
        assert title in made.stdout
    assert made.stderr.endswith("Card: noise/README.md\nNext: faithful corpus stats noise\n")
    again = json.loads(call(*TYPED, "--json").stdout)
    assert again["changed"] is False and again["identity"] == plan["identity"]
    assert again["tokens"]["train"] >= 2000 and again["statistics"]["documents"] == again["documents"]["train"]


def test_an_unknown_source_is_one_sentence() -> None:
    assert "proze" in refused("corpus", "add", "proze", "--tokens", "2k")
    assert list(Path().iterdir()) == []


def test_the_list_says_where_each_set_is_read_from() -> None:
    shown = call("corpus", "list")
    assert shown.exit_code == 0
    words = shown.stdout.split()
    for word in (
        "HuggingFaceFW/fineweb",
        "sample-10BT/train",
        "en/train",
        "EleutherAI/the_pile_deduplicated",
        "embedded",
    ):
        assert word in words


def test_the_list_as_json_has_what_the_catalog_states_and_nothing_that_only_resolving_finds() -> None:
    found = json.loads(call("corpus", "list", "--json").stdout)
    assert list(found) == [source.name for source in catalog()]
    assert all("sha256" not in facts and "data_files" in facts for facts in found.values())

"""`faithful publish …` as typed: what is said of a plan and of what was done; the Hub itself is another's test."""

import json
from pathlib import Path
from typing import Any

import pytest

from faithful.hub.card_file import make_card
from faithful.hub.local_files import LocalFile
from faithful.hub.plan import Bundle, Condition, make_plan
from faithful.hub.publish import Publication
from faithful.hub.repository import Remote
from faithful.hub.send import Published
from studies.runs.neuronpedia.export import Export
from studies.runs.neuronpedia.send import Sending, SetState
from tests.faithful.cli.called import call

NAME = "me/it"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The configurations that publishing is told, which finds two files to send and says that it sent them."""
    found: list[Any] = []
    bundle = Bundle(
        NAME, "model", "saes", "tiny", (LocalFile.of("a.bin", b"abc"),), make_card({}, "A card."),
        conditions=(Condition("web", "a web", "cc-by-4.0", "Name it."),), notes=("A note.",),
    )  # fmt: skip
    plan = make_plan(bundle, Remote())

    def publish(config: Any, report: Any, dry_run: bool) -> Publication:
        found.append(config)
        done = Published(NAME, "model", f"https://hub/{NAME}", "c0", plan.revision, 2, 2048, True, not config.public)
        return Publication((plan,), (), unread="no network") if dry_run else Publication((plan,), (done,))

    for what in ("corpus", "saes", "run"):
        monkeypatch.setattr(f"studies.runs.publish.publish_{what}", publish)
    return found


def test_a_plan_lists_files_the_card_and_what_it_needs(told: list[Any]) -> None:
    shown = call("publish", "saes", "somewhere", NAME, "--dry-run")
    assert shown.exit_code == 0, shown.output
    for row in ("a.bin\t3 B", "files to send\t3 of 3", "visibility\tprivate", "commits\t1", "tag\tv1", "A card."):
        assert row in shown.stdout
    for said in (
        "What is on the Hub is not known, so everything counts as new: no network",
        "A note.",
        "Needs --accept-licence: web: a web, licence cc-by-4.0. Name it.",
        "Nothing was sent. Next: the same command without --dry-run",
    ):
        assert said in shown.stderr
    plan = json.loads(call("publish", "saes", "somewhere", NAME, "--dry-run", "--json").stdout)
    assert plan["published"] == [] and plan["unread"] == "no network"
    assert [(one["name"], one["revision"], one["files"]["a.bin"]) for one in plan["repositories"]] == [(NAME, "v1", 3)]
    assert "A card." in plan["repositories"][0]["card"]


def test_what_was_published_is_said_with_who_sees_it_and_what_comes_next(told: list[Any]) -> None:
    for what, public, seen, following in (
        ("corpus", False, "It is private", f'load_dataset("{NAME}"), or faithful corpus add {NAME}'),
        ("saes", True, "Everybody can see it.", f"faithful study seeds {NAME}"),
    ):
        done = call("publish", what, "somewhere", NAME, *(["--public"] if public else []))
        assert done.exit_code == 0 and done.stdout == ""
        assert f"Published https://hub/{NAME} at v1: 2 files, 2.0 KiB; checksums agree. {seen}" in done.stderr
        assert f"Next: {following}\n" in done.stderr
        assert (told[-1].path, bool(told[-1].public)) == (Path("somewhere"), public)
    done = json.loads(call("publish", "saes", "somewhere", NAME, "--json").stdout)
    assert done["published"][0]["address"] == f"https://hub/{NAME}" and "card" not in done["repositories"][0]


def test_a_run_goes_by_its_name_or_by_its_folder(told: list[Any]) -> None:
    Path("elsewhere").mkdir()
    for typed, folder in (("tiny", "runs/tiny"), ("elsewhere", "elsewhere")):
        assert call("publish", "run", typed, NAME).exit_code == 0
        assert told[-1].path == Path(folder)


def test_records_of_neuronpedia_are_counted_and_sent_next(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("runs/tried").mkdir(parents=True)
    done = Export(
        Path("runs/tried/neuronpedia"), "tiny", ["a", "b"], 1024, 8, 2**20, 7, 30, 2, 1, ("The pages show some.",)
    )
    monkeypatch.setattr("studies.runs.neuronpedia.export.export_neuronpedia", lambda config, report: done)
    shown = call("export", "neuronpedia", "tried")
    assert shown.exit_code == 0 and shown.stdout == ""
    assert "1,024 latents in 8 requests, 1.0 MiB: runs/tried/neuronpedia" in shown.stderr
    assert "7 latents are left out" in shown.stderr and "The pages show some.\n" in shown.stderr
    assert (
        "30 latents have an explanation; those of 2 are left out (export --explanations all sends them)."
        in shown.stderr
    )
    assert "The model is called tiny there; state --model-id" in shown.stderr
    assert shown.stderr.endswith("Next: faithful publish neuronpedia runs/tried --dry-run\n")
    assert json.loads(call("export", "neuronpedia", "tried", "--json").stdout)["requests"] == 8


def test_what_neuronpedia_was_sent_is_said_with_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("runs/tried").mkdir(parents=True)
    terms: Any = {"corpus": "web", "origin": "a web", "licence": None, "terms": "Name it."}
    state = SetState("a", "1-a", 512, 4, 2**20, 7, 3, 0, 1, True, 3, "http://x/tiny/1-a")
    monkeypatch.setattr(
        "studies.runs.neuronpedia.send.publish_neuronpedia",
        lambda config, report, dry_run: Sending("tiny", [state], [terms]),
    )
    plan = call("publish", "neuronpedia", "tried", "--dry-run")
    assert "1-a\t512\t4\t1.0 MiB\t1" in plan.stdout
    assert "7 latents are left out" in plan.stderr and "Makes the source set a, where it is" in plan.stderr
    assert "3 latents have an explanation.\n" in plan.stderr
    assert "Needs --accept-licence: web: a web, licence unknown. Name it." in plan.stderr
    assert call("publish", "neuronpedia", "tried").stderr == "3 requests sent, 1 were there: http://x/tiny/1-a\n"
    assert json.loads(call("publish", "neuronpedia", "tried", "--json").stdout)["sets"][0]["sent"] == 3

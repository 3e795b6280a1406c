"""What the Hub refuses is refused before it is asked; cards that people edited keep what they wrote, or are refused."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.cli import app
from faithful.hub.card_metadata import split_card
from faithful.hub.config import PublishConfig
from generation.cards.card import write_card
from studies.runs.publish import publish_corpus, publish_run
from tests.faithful.hub.state import Hub

NAME = "user/things"
OWN = "citation: Letters from a mill, 2024\nmaintainers:\n- someone\n"


def edited(corpus: Path, what: str) -> str:
    """A card as people edit it: text of README.md."""
    front, body = re.fullmatch(r"---\n(.*?)\n---\n(.*)", (corpus / "README.md").read_text(), re.DOTALL).groups()  # type: ignore[union-attr]
    body += "\nWritten by hand: ask before use.\n"
    return {
        "blank": f"---\n{front}\n{OWN}--- \n{body}",
        "blank above": f"--- \n{OWN}{front}\n---\t\n{body}",
        "crlf": f"---\n{front}\n{OWN}---\n{body}".replace("\n", "\r\n"),
        "mark": f"\ufeff---\n{front}\n{OWN}---\n{body}",
        "lines above": f"\n\n---\n{front}\n{OWN}---\n{body}",
        "colon": f"---\npretty_name: Letters: from a mill\n{front}\n---\n{body}",
        "list": f"---\nlicense: [mit, cc-by-4.0]\nlanguage: no\ntags: letters\n---\n{body}",
        "quoted": f"---\nlicense: [mit, cc-by-4.0]\nlanguage: 'no'\ntags: letters\n{OWN}---\n{body}",
        "empty": f"---\n---\n{body}",
    }[what]


class TestEditedCards:
    """Case 15 of the public reports, and its neighbours."""

    @pytest.mark.parametrize("what", ["blank", "blank above", "crlf", "mark", "lines above", "quoted"])
    def test_what_people_wrote_is_kept(self, hub: Hub, corpus: Path, what: str) -> None:
        (corpus / "README.md").write_bytes(edited(corpus, what).encode())
        plan = publish_corpus(PublishConfig(corpus, NAME), dry_run=True).plans[0]
        write_card(corpus)
        for card in (plan.card, (corpus / "README.md").read_text()):
            front = yaml.safe_load(split_card(card)[0])
            assert front["citation"] == "Letters from a mill, 2024"
            assert front["maintainers"] == ["someone"]
            assert "configs" in front
            assert "Written by hand: ask before use." in card
            assert len(re.findall(r"(?m)^---[ \t]*$", card)) == 2
            if what == "quoted":
                assert (front["license"], front["language"]) == (["mit", "cc-by-4.0"], "no")
                assert front["tags"][0] == "letters"
        publish_corpus(PublishConfig(corpus, NAME))
        (corpus / "README.md").write_bytes(edited(corpus, "blank").encode())
        assert b"ask before use" in hub.repositories["dataset", NAME].files["README.md"]

    def test_an_empty_head_is_filled(self, hub: Hub, corpus: Path) -> None:
        (corpus / "README.md").write_text(edited(corpus, "empty"))
        card = publish_corpus(PublishConfig(corpus, NAME), dry_run=True).plans[0].card
        assert len(re.findall(r"(?m)^---[ \t]*$", card)) == 2
        assert "configs" in yaml.safe_load(split_card(card)[0])

    @pytest.mark.parametrize(
        ("what", "said"),
        [
            ("colon", r"README.md, line 2: the metadata are no valid YAML"),
            ("list", r"README.md, line 3: YAML reads 'no' as false"),
        ],
    )
    def test_what_yaml_would_change_is_refused_with_its_line(
        self, hub: Hub, corpus: Path, what: str, said: str
    ) -> None:
        before = edited(corpus, what)
        (corpus / "README.md").write_text(before)
        for dry_run in (True, False):
            with pytest.raises(FaithfulError, match=said):
                publish_corpus(PublishConfig(corpus, NAME), dry_run=dry_run)
        assert not hub.log
        with pytest.raises(FaithfulError, match=said):
            write_card(corpus)
        assert (corpus / "README.md").read_text() == before

    def test_a_card_on_the_hub_that_is_not_rewritten_is_left_alone(self, hub: Hub, corpus: Path) -> None:
        publish_corpus(PublishConfig(corpus, NAME))
        card = hub.repositories["dataset", NAME].files["README.md"].decode()
        hub.edit("dataset", NAME, "README.md", card.replace("---\n", "---\nlanguage_bcp47: no\n", 1).encode())
        assert not publish_corpus(PublishConfig(corpus, NAME)).published[0].changed
        shutil.rmtree(corpus / "data")
        from tests.faithful.hub.things import own_corpus

        own_corpus(corpus, shards=5)
        said: Any = None
        try:
            publish_corpus(PublishConfig(corpus, NAME, yes=True))
        except FaithfulError as error:
            said = str(error)
        kept = hub.repositories["dataset", NAME].files["README.md"].decode()
        assert "language_bcp47: no\n" in kept
        assert said is None or "README.md on the Hub, line 2: YAML reads 'no' as false" in said


class TestDryRunWords:
    def test_not_asked_and_answers_are_never_said_together(self, hub: Hub, corpus: Path, pauses: list[float]) -> None:
        for fault in (403, 404, 500):
            from tests.faithful.hub.state import Fault

            hub.faults[:] = [Fault("GET /api/datasets", fault, times=50)]
            done = CliRunner().invoke(app, ["publish", "corpus", str(corpus), NAME, "--dry-run"])
            assert done.exit_code == 0, done.stderr
            assert "was not asked" not in done.stderr
            if fault != 404:
                assert "What is on the Hub is not known, so everything counts as new: " in done.stderr
            assert "visibility\tprivate" in done.stdout

    def test_public_is_said(self, hub: Hub, corpus: Path) -> None:
        done = CliRunner().invoke(app, ["publish", "corpus", str(corpus), NAME, "--dry-run", "--public"])
        assert "visibility\tpublic" in done.stdout
        done = CliRunner().invoke(app, ["publish", "corpus", str(corpus), NAME])
        assert "It is private" in done.stderr, done.stderr


def test_a_recipe_for_a_gpu_is_published_from_a_machine_without_one(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faithful.store.places import STATE
    from studies.runs.recipe import steps_of
    from studies.runs.recipe_file import load_recipe, to_toml
    from tests.faithful.hub.things import whole_run

    run = whole_run(tmp_path / "run")
    recipe = load_recipe("demo", {"train.device": "cuda"})
    (run / "recipe.toml").write_text(to_toml(recipe))
    names = [step.name for step in steps_of(recipe, run)]
    (run / STATE).write_text("{" + ", ".join(f'"{name}": {{}}' for name in names) + "}")
    plans = publish_run(PublishConfig(run, NAME), dry_run=True).plans
    assert len(plans) == 2

"""What publishing and the way back must not do: leak, mislead, overwrite, hang, or lose what people wrote."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.records import sealed
from faithful.hub.card_file import END, merge_cards, metadata_of, parse_card
from faithful.hub.config import PublishConfig
from faithful.store.corpus import read_manifest, write_manifest
from generation.cards.card import card_is_current
from generation.external.fetch_published import find_published
from studies.runs.publish import publish_corpus, publish_run, publish_saes
from tests.faithful.hub import things
from tests.faithful.hub.named import NAME, adopted, card_of, publish, write_below
from tests.faithful.hub.state import Blob, Fault, Hub
from tests.faithful.hub.things import grid, own_corpus, whole_run


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


class TestPrivate:
    def test_nothing_goes_into_a_repository_that_has_just_been_made_public(self, hub: Hub, corpus: Path) -> None:
        hub.faults.append(Fault("POST /api/repos/create", lambda: hub.create("dataset", NAME) and None))
        with pytest.raises(FaithfulError, match="user/things is public, somebody else has just made it"):
            publish(corpus)
        assert not hub.received["PUT"]
        assert not hub.repositories["dataset", NAME].objects

    def test_the_missing_half_of_a_private_run_is_private(self, hub: Hub, tmp_path: Path) -> None:
        run = whole_run(tmp_path / "run")
        publish_run(PublishConfig(run, NAME, accept_licence=True))
        del hub.repositories["model", NAME]
        publish_run(PublishConfig(run, NAME, accept_licence=True))
        assert hub.repositories["model", NAME].private


class TestHumanText:
    def test_snippets_outside_the_generated_part_stay(self, hub: Hub, corpus: Path) -> None:
        snippets = '`load_dataset("org/other", split="train")`, `faithful corpus export other --context 64`'
        write_below(corpus, snippets)
        publish(corpus)
        assert snippets in card_of(hub)

    def test_samples_stay(self, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        text = 'load_dataset("org/other") and `faithful corpus export mine --context 3'
        monkeypatch.setattr("generation.cards.own.sample_texts", lambda corpus, count: [text])
        card = publish_corpus(PublishConfig(corpus, NAME), dry_run=True).plans[0].card
        assert f"```text\n{text}\n```" in card

    def test_a_folder_with_a_space(self, tmp_path: Path) -> None:
        folder = own_corpus(tmp_path / "my own")
        card = publish_corpus(PublishConfig(folder, NAME), dry_run=True).plans[0].card
        assert f"faithful corpus add {NAME} --out 'my own'\nfaithful corpus export 'my own' --context 32" in card
        assert "export my own" not in card
        assert "faithful corpus export 'my own' --context 32" in (folder / "README.md").read_text()
        own_corpus(tmp_path / "run" / "corpora" / "my own")
        card = publish_run(PublishConfig(tmp_path / "run", NAME), dry_run=True).plans[0].card
        assert f"faithful corpus add {NAME} --config 'my own'" in card

    def test_a_missing_marker_is_a_sentence(self, hub: Hub, corpus: Path) -> None:
        publish(corpus)
        whole = (corpus / "README.md").read_text()
        (corpus / "README.md").write_text(whole.replace(END, ""))
        assert not card_is_current(corpus)
        with pytest.raises(FaithfulError, match="lacks one of its two marker lines"):
            publish(corpus)
        (corpus / "README.md").write_text(whole)
        hub.edit("dataset", NAME, "README.md", card_of(hub).replace(END, "").encode())
        with pytest.raises(FaithfulError, match=r"README\.md on the Hub lacks one of its two marker lines"):
            publish(corpus)

    def test_a_tag_that_was_removed_on_the_hub_stays_away(self, hub: Hub, corpus: Path) -> None:
        publish(corpus)
        hub.edit("dataset", NAME, "README.md", card_of(hub).replace("- sparse-autoencoder\n", "- mine\n").encode())
        own_corpus(corpus, shards=4)
        publish(corpus)
        assert "sparse-autoencoder" not in metadata_of(card_of(hub))["tags"]
        assert {"mine", "faithful"} <= set(metadata_of(card_of(hub))["tags"])

    def test_a_paragraph_that_was_changed_on_the_hub_does_not_come_back(self, hub: Hub, corpus: Path) -> None:
        write_below(corpus, "First wording.")
        publish(corpus)
        hub.edit("dataset", NAME, "README.md", card_of(hub).replace("First wording.", "Second wording.").encode())
        own_corpus(corpus, shards=4)
        write_below(corpus, "A new paragraph.")
        publish(corpus)
        after = parse_card(card_of(hub), "card").after
        assert "First wording." not in after
        assert after.count("Second wording.") == after.count("A new paragraph.") == 1

    def test_what_is_reworded_or_taken_away_here_goes_there_too(self, hub: Hub, corpus: Path) -> None:
        for text in ("First, worng.", "To go.", "Stays."):
            write_below(corpus, text)
        publish(corpus)
        hub.edit("dataset", NAME, "README.md", f"{card_of(hub)}\nFrom the Hub.\n".encode())
        readme = corpus / "README.md"
        readme.write_text(readme.read_text().replace("worng", "right").replace("\nTo go.\n", ""))
        publish(corpus)
        after = parse_card(card_of(hub), "card").after
        assert after == "\n\nFirst, right.\n\nStays.\n\nFrom the Hub.\n"
        assert not publish(corpus).changed

    def test_paragraphs_are_compared_whole_and_code_is_one(self, hub: Hub, corpus: Path) -> None:
        write_below(corpus, "See below, and more.\n\n```text\none\n\ntwo\n```")
        publish(corpus)
        code = "```text\none\n\ntwo\n\nthree\n```"
        write_below(corpus, f"See below\n\n{code}")
        publish(corpus)
        after = parse_card(card_of(hub), "card").after
        assert after.count("\n\nSee below\n\n") == 1
        assert after.count(code) == 1

    def test_dates_and_numbers_in_the_metadata(self, hub: Hub, corpus: Path) -> None:
        readme = corpus / "README.md"
        stated = "date: 2025-01-01\nmore:\n  1: one\n  2025-02-03: .nan\n"
        readme.write_text(readme.read_text().replace("pretty_name:", f"{stated}pretty_name:", 1))
        publish(corpus)
        assert not publish(corpus).changed
        assert hub.repositories["dataset", NAME].tags.keys() == {"v1"}
        assert stated in card_of(hub)
        readme.write_text(readme.read_text().replace("2025-01-01", "2026-01-01"))
        publish(corpus)
        assert "date: 2026-01-01\n" in card_of(hub)
        readme.write_text(readme.read_text().replace("date:", "1:"))
        with pytest.raises(FaithfulError, match=r"README.md, line 2: the key 1 is no text; put it in quotes"):
            publish(corpus)

    def test_a_card_without_a_generated_part_gets_one(self) -> None:
        merged = merge_cards(f"---\na: 1\n---\n\n<!-- faithful: begin -->\nours\n{END}\n", "# By hand\n", None)
        assert merged.index("ours") < merged.index("# By hand")

    def test_dry_run_changes_nothing_here(self, corpus: Path) -> None:
        (corpus / ".lock").unlink()
        readme = corpus / "README.md"
        readme.write_text(readme.read_text().replace("faithful: begin ", "faithful: begin 0"))
        before = state(corpus)
        card = publish_corpus(PublishConfig(corpus, NAME), dry_run=True).plans[0].card
        assert state(corpus) == before
        assert "**consistent**" in card


class TestWhatIsThere:
    def test_saes_of_another_grid_want_a_yes(self, hub: Hub, tmp_path: Path) -> None:
        publish_saes(PublishConfig(grid(tmp_path / "a"), NAME))
        other = grid(tmp_path / "b", lr=0.5)
        with pytest.raises(FaithfulError, match="2 parts of user/things would be replaced by others of the same name"):
            publish_saes(PublishConfig(other, NAME))
        publish_saes(PublishConfig(other, NAME, yes=True))

    def test_another_corpus_in_a_run_wants_a_yes(self, hub: Hub, tmp_path: Path) -> None:
        run = tmp_path / "run"
        own_corpus(run / "corpora" / "own")
        publish_run(PublishConfig(run, NAME))
        manifest = read_manifest(run / "corpora" / "own")
        manifest.identity["seed"] = 8
        write_manifest(run / "corpora" / "own", manifest)
        with pytest.raises(FaithfulError, match=r"1 parts of .* \(own\)"):
            publish_run(PublishConfig(run, NAME))

    def test_a_copy_under_another_name_is_not_ours(self, hub: Hub, corpus: Path) -> None:
        publish(corpus)
        hub.repositories["dataset", "user/copy"] = hub.repositories["dataset", NAME]
        own_corpus(corpus, shards=4)
        with pytest.raises(FaithfulError, match="user/copy is a copy of user/things"):
            publish_corpus(PublishConfig(corpus, "user/copy"))

    @pytest.mark.parametrize("name", ["main", "HEAD", "a b", "v1..2", "v1.lock", "-v", "v/1", "", "a" * 40, "v:1"])
    def test_odd_tags_are_refused_before_anything_is_sent(self, hub: Hub, corpus: Path, name: str) -> None:
        with pytest.raises(FaithfulError, match="choose another --revision"):
            publish(corpus, revision=name)
        assert not hub.log
        assert not hub.repositories


class TestTheWayBack:
    @pytest.mark.parametrize("name", ["../../../evil", "/etc/evil", "..", ".hidden"])
    def test_a_name_that_leaves_the_run_is_refused(
        self, hub: Hub, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        manifest = read_manifest(corpus)
        manifest.name = name
        write_manifest(corpus, manifest)
        publish(corpus)
        with pytest.raises(FaithfulError, match="cannot be a folder here; choose one with --out"):
            adopted(None)

    @pytest.mark.parametrize("path", ["data/../../evil", "/etc/evil", "data//evil", "data/..", "../corpus.json"])
    def test_a_record_of_odd_paths_is_not_followed(self, hub: Hub, corpus: Path, path: str) -> None:
        publish(corpus)
        record = json.loads(hub.repositories["dataset", NAME].files["faithful.json"])
        record["files"][path] = {"bytes": 3, "sha256": hashlib.sha256(b"bad").hexdigest()}
        hub.edit("dataset", NAME, "faithful.json", json.dumps(sealed(record)).encode())
        with pytest.raises(FaithfulError, match="is not a file that `faithful publish` made"):
            find_published(NAME)

    def test_a_manifest_with_shards_that_are_not_listed_is_refused(
        self, hub: Hub, corpus: Path, tmp_path: Path
    ) -> None:
        publish(corpus)
        repository = hub.repositories["dataset", NAME]
        record = json.loads(repository.files["faithful.json"])
        for odd in ("lost", "other"):
            changed = json.loads(json.dumps(record))
            facts = changed["files"].pop("data/part-00001.parquet")
            if odd == "other":
                changed["files"]["data/part-00001.parquet"] = facts | {"sha256": "0" * 64}
            repository.head.tree["faithful.json"] = Blob(json.dumps(sealed(changed)).encode(), False)
            shutil.rmtree(tmp_path / "cache", ignore_errors=True)
            with pytest.raises(FaithfulError, match=r"is not whole: its manifest names data/part-00001\.parquet"):
                adopted(tmp_path / "back")
        assert not (tmp_path / "back").exists()

    def test_notes_in_the_card_here_stay(self, hub: Hub, corpus: Path, tmp_path: Path) -> None:
        publish(corpus)
        adopted(tmp_path / "back")
        write_below(tmp_path / "back", "My note.")
        own_corpus(corpus, shards=4)
        publish(corpus)
        assert adopted(tmp_path / "back").changed
        card = (tmp_path / "back" / "README.md").read_text()
        assert card.count("My note.") == 1
        assert parse_card(card, "card").text == parse_card(card_of(hub), "card").text
        assert card_is_current(tmp_path / "back")

    def test_a_certificate_that_came_later_is_fetched(self, hub: Hub, corpus: Path, tmp_path: Path) -> None:
        manifest = read_manifest(corpus)
        certificate, manifest.certificate = manifest.certificate, None
        write_manifest(corpus, manifest)
        publish(corpus)
        adopted(tmp_path / "back")
        manifest.certificate = certificate
        write_manifest(corpus, manifest)
        publish(corpus)
        assert adopted(tmp_path / "back").changed
        assert read_manifest(tmp_path / "back").certificate == certificate
        assert not adopted(tmp_path / "back").changed

    def test_growth_here_is_not_dropped(self, hub: Hub, corpus: Path, tmp_path: Path) -> None:
        publish(corpus)
        back = tmp_path / "back"
        adopted(back)
        own_corpus(back, shards=6)
        assert not adopted(back).changed
        manifest = read_manifest(corpus)
        manifest.shards["test"].append(things._shard(corpus, "test", 1))
        write_manifest(corpus, manifest)
        publish(corpus)
        before = state(back)
        with pytest.raises(
            FaithfulError, match=r"has grown beyond user/things and lacks some .*; choose another --out"
        ):
            adopted(back)
        assert {path: found for path, found in state(back).items() if not path.endswith(".lock")} == {
            path: found for path, found in before.items() if not path.endswith(".lock")
        }

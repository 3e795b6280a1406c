"""Publishing to a server that speaks the Hub's protocol: what arrives, what is survived, what is refused."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.cli import app
from faithful.hub.card_file import metadata_of
from faithful.hub.config import PublishConfig
from faithful.store.corpus import Corpus
from studies.runs.publish import publish_corpus
from tests.faithful.hub.state import Blob, Fault, Hub, User
from tests.faithful.hub.things import REQUESTS, external_corpus, own_corpus, spec

NAME = "user/corpus"


def config(path: Path, **stated: object) -> PublishConfig:
    return PublishConfig(path, NAME, **stated)  # type: ignore[arg-type]


def check_complete(hub: Hub, folder: Path, commits: int = 1, tag: str = "v1") -> None:
    """One whole revision, tagged, nothing twice, nothing else."""
    repository = hub.repositories["dataset", NAME]
    assert len(repository.commits) == 1 + commits
    assert repository.tags[tag] == repository.head.sha
    shards = [shard.file for shards in Corpus(folder).manifest.shards.values() for shard in shards]
    expected = {"README.md", "corpus.json", "faithful.json", ".gitattributes", *shards}
    assert set(repository.files) == expected
    for name in ("corpus.json", *shards):
        assert repository.files[name] == (folder / name).read_bytes()


class TestCorpus:
    def test_one_commit_a_tag_and_then_nothing(self, hub: Hub, corpus: Path) -> None:
        first = publish_corpus(config(corpus)).published[0]
        check_complete(hub, corpus)
        assert (first.files, first.revision, first.changed) == (7, "v1", True)
        assert first.address.endswith(f"/datasets/{NAME}")
        sent = dict(hub.received)
        again = publish_corpus(config(corpus)).published[0]
        check_complete(hub, corpus)
        assert (again.files, again.size, again.changed, again.revision) == (0, 0, False, "v1")
        assert hub.received["PUT"] == sent["PUT"]
        assert hub.received["POST"] == sent["POST"]

    def test_a_grown_corpus_sends_what_is_new(self, hub: Hub, corpus: Path) -> None:
        publish_corpus(config(corpus))
        sent = hub.received["PUT"]
        own_corpus(corpus, shards=4)
        publish_corpus(config(corpus))
        check_complete(hub, corpus, commits=2, tag="v2")
        assert hub.received["PUT"] - sent == (corpus / "data/part-00003.parquet").stat().st_size

    def test_the_card_is_valid_and_names_the_repository(self, hub: Hub, corpus: Path) -> None:
        plan = publish_corpus(config(corpus), dry_run=True).plans[0]
        assert f'load_dataset("{NAME}")' in plan.card
        assert f'load_dataset("{NAME}", split="train", streaming=True)' in plan.card
        assert f'scan_parquet("hf://datasets/{NAME}/data/*.parquet")' in plan.card
        assert f"faithful corpus add {NAME} --out own" in plan.card
        assert "**consistent**" in plan.card
        assert str(corpus.parent) not in plan.card

    def test_edits_on_the_hub_and_here_survive(self, hub: Hub, corpus: Path) -> None:
        publish_corpus(config(corpus))
        card = hub.repositories["dataset", NAME].files["README.md"].decode()
        card = (
            card.replace("pretty_name: Faithful corpus of tiny (own)", "pretty_name: By hand")
            + "\nWritten on the Hub.\n"
        )
        hub.edit("dataset", NAME, "README.md", card.encode())
        assert not publish_corpus(config(corpus)).published[0].changed
        readme = corpus / "README.md"
        readme.write_text(readme.read_text() + "\nWritten here.\n")
        own_corpus_grown = own_corpus(corpus, shards=4)
        for _ in range(2):
            publish_corpus(config(own_corpus_grown))
        text = hub.repositories["dataset", NAME].files["README.md"].decode()
        assert text.count("Written on the Hub.") == 1
        assert text.count("Written here.") == 1
        assert "pretty_name: By hand" in text
        assert text.count("<!-- faithful: begin") == 1
        assert hub.repositories["dataset", NAME].tags.keys() == {"v1", "v2"}

    def test_a_tag_that_is_missing_is_made(self, hub: Hub, corpus: Path) -> None:
        publish_corpus(config(corpus))
        hub.repositories["dataset", NAME].tags.clear()
        assert publish_corpus(config(corpus)).published[0].changed
        check_complete(hub, corpus)
        publish_corpus(config(corpus, revision="paper"))
        check_complete(hub, corpus, tag="paper")

    def test_a_tag_that_names_something_else_is_refused(self, hub: Hub, corpus: Path) -> None:
        publish_corpus(config(corpus))
        own_corpus(corpus, shards=4)
        with pytest.raises(FaithfulError, match="has a revision v1 already"):
            publish_corpus(config(corpus, revision="v1"))
        assert len(hub.repositories["dataset", NAME].commits) == 2

    def test_private_unless_told_otherwise(self, hub: Hub, corpus: Path) -> None:
        assert publish_corpus(config(corpus)).published[0].private
        assert hub.repositories["dataset", NAME].private
        with pytest.raises(FaithfulError, match="is private already"):
            publish_corpus(config(corpus, public=True))
        hub.repositories["dataset", NAME].private = False
        assert not publish_corpus(config(corpus)).published[0].private
        with pytest.raises(FaithfulError, match="is public already"):
            publish_corpus(config(corpus, public=False))

    def test_public_when_told(self, hub: Hub, corpus: Path) -> None:
        assert not publish_corpus(config(corpus, public=True)).published[0].private
        assert not hub.repositories["dataset", NAME].private

    def test_into_a_public_repository_of_somebody_else_only_when_told(self, hub: Hub, corpus: Path) -> None:
        """It may be empty, as one that was just made on a page."""
        hub.create("dataset", NAME)
        with pytest.raises(FaithfulError, match="is public, and `faithful publish` did not make it; add --public"):
            publish_corpus(config(corpus, yes=True))
        assert not hub.received["PUT"]
        publish_corpus(config(corpus, public=True))
        check_complete(hub, corpus)

    def test_many_files_in_one_commit(self, hub: Hub, tmp_path: Path) -> None:
        publish_corpus(config(own_corpus(tmp_path / "own", shards=100)))
        check_complete(hub, tmp_path / "own")
        assert hub.count("/commit/main") == 1


class TestDryRun:
    def test_says_what_would_be_sent_and_sends_nothing(self, hub: Hub, corpus: Path) -> None:
        plan = publish_corpus(config(corpus), dry_run=True).plans[0]
        assert (len(plan.send), plan.commits, plan.revision) == (7, 1, "v1")
        assert plan.size == sum(file.size for file in plan.files)
        assert not hub.repositories
        assert not [request for request in hub.log if not request.startswith(("GET", "HEAD"))]
        publish_corpus(config(corpus))
        again = publish_corpus(config(corpus), dry_run=True).plans[0]
        assert (again.send, again.commits, again.wants_tag) == ((), 0, False)

    def test_the_command_lists_every_file(self, hub: Hub, tmp_path: Path) -> None:
        folder = own_corpus(tmp_path / "own", shards=45)
        shown = CliRunner().invoke(app, ["publish", "corpus", str(folder), NAME, "--dry-run"]).stdout
        assert all(f"data/part-{number:05d}.parquet" in shown for number in range(45))

    def test_without_a_hub_everything_counts_as_new(
        self, hub: Hub, corpus: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        found = publish_corpus(config(corpus), dry_run=True)
        assert "Offline mode is on" in str(found.unread)
        assert len(found.plans[0].send) == 7
        assert not hub.log


class TestFaults:
    """After each: a rerun completes, one revision, nothing twice, the checksums equal."""

    @pytest.mark.parametrize("where", REQUESTS)
    @pytest.mark.parametrize("fault", [429, 503, "reset", "lost"])
    def test_passing_trouble_at_every_request(
        self, hub: Hub, corpus: Path, pauses: list[float], where: str, fault: int | str
    ) -> None:
        headers = {"Retry-After": "7"} if fault == 429 else {}
        hub.faults.append(Fault(where, fault, headers=headers))
        publish_corpus(config(corpus))
        assert not hub.faults, "the request was never made"
        check_complete(hub, corpus)
        if fault == 429:
            assert pauses[0] in (7, 8)  # the client adds a second of its own
        assert not publish_corpus(config(corpus)).published[0].changed

    def test_500_in_the_commit_for_ever(self, hub: Hub, corpus: Path, pauses: list[float]) -> None:
        hub.faults.append(Fault("/commit/main", 500, times=1000))
        with pytest.raises(FaithfulError, match="run the same command again, and it goes on"):
            publish_corpus(config(corpus))
        assert set(hub.repositories["dataset", NAME].files) == {".gitattributes"}
        assert not hub.repositories["dataset", NAME].tags
        sent, hub.faults[:] = hub.received["PUT"], []
        publish_corpus(config(corpus))
        check_complete(hub, corpus)
        assert hub.received["PUT"] == sent

    def test_a_hub_without_xet_storage(
        self, hub: Hub, corpus: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
        with pytest.raises(
            FaithfulError, match="This Hub has no Xet storage; set HF_HUB_DISABLE_XET=1 and run the same"
        ):
            publish_corpus(config(corpus))
        assert set(hub.repositories["dataset", NAME].files) == {".gitattributes"}
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        publish_corpus(config(corpus))
        check_complete(hub, corpus)

    def test_the_quota_is_respected(self, hub: Hub, corpus: Path, pauses: list[float]) -> None:
        hub.commit_quota = 0
        with pytest.raises(FaithfulError, match="quota is used up for 1"):
            publish_corpus(config(corpus))
        assert pauses == []
        hub.commit_quota = 128
        publish_corpus(config(corpus))
        check_complete(hub, corpus)

    def test_somebody_else_commits_meanwhile(self, hub: Hub, corpus: Path) -> None:
        def other() -> None:
            hub.edit("dataset", NAME, "notes.md", b"mine")

        hub.faults.append(Fault("/commit/main", other))
        with pytest.raises(
            FaithfulError, match=r"Somebody else changed .* run the same command with --yes to publish on top"
        ):
            publish_corpus(config(corpus))
        repository = hub.repositories["dataset", NAME]
        assert set(repository.files) == {".gitattributes", "notes.md"}
        with pytest.raises(FaithfulError, match=r"was not made by `faithful publish` and holds 1 files; .* add --yes"):
            publish_corpus(config(corpus))
        publish_corpus(config(corpus, yes=True))
        assert repository.files["notes.md"] == b"mine"
        assert repository.tags["v1"] == repository.head.sha

    def test_somebody_else_commits_between_two_publications(self, hub: Hub, corpus: Path) -> None:
        publish_corpus(config(corpus))
        hub.faults.append(Fault("/commit/main", lambda: hub.edit("dataset", NAME, "notes.md", b"mine") and None))
        own_corpus(corpus, shards=4)
        with pytest.raises(
            FaithfulError, match=r"Somebody else changed .* run the same command again to publish on top"
        ):
            publish_corpus(config(corpus))
        publish_corpus(config(corpus))
        repository = hub.repositories["dataset", NAME]
        assert repository.files["notes.md"] == b"mine"
        assert repository.tags["v2"] == repository.head.sha
        assert "data/part-00003.parquet" in repository.files

    def test_a_hub_that_says_nothing(
        self, hub: Hub, corpus: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("faithful.hub.errors.SILENCE_SECONDS", 0.3)
        hub.faults += [Fault("/commit/main", "hang"), Fault("/tag/", "hang")]
        publish_corpus(config(corpus))
        check_complete(hub, corpus)

    def test_a_file_that_arrived_damaged_is_noticed(self, hub: Hub, corpus: Path) -> None:
        def damage() -> None:
            repository, broken = hub.repositories["dataset", NAME], {"data/part-00000.parquet": Blob(b"broken", True)}
            hub.faults.append(Fault("/tree/", lambda: repository.head.tree.update(broken)))

        hub.faults.append(Fault("/commit/main", damage))
        with pytest.raises(FaithfulError, match="does not hold what was sent: data/part-00000"):
            publish_corpus(config(corpus))
        assert not hub.repositories["dataset", NAME].tags
        publish_corpus(config(corpus))
        check_complete(hub, corpus, commits=2)


class TestRefusals:
    def refused(self, hub: Hub, path: Path, match: str, **stated: object) -> None:
        before = {key: len(repository.commits) for key, repository in hub.repositories.items()}
        with pytest.raises(FaithfulError, match=match) as raised:
            publish_corpus(config(path, **stated))
        assert "\n" not in str(raised.value)
        assert {key: len(repository.commits) for key, repository in hub.repositories.items()} == before
        assert not hub.received["PUT"]

    def test_no_token(self, hub: Hub, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HF_TOKEN")
        self.refused(hub, corpus, "There is no Hub token here, so nothing was sent")

    def test_no_right_to_write(self, hub: Hub, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", "wrong")
        self.refused(hub, corpus, "does not accept the token")
        hub.users |= {"reader": User("user", role="read"), "other": User("other", ("guild",))}
        monkeypatch.setenv("HF_TOKEN", "reader")
        self.refused(hub, corpus, "for reading only")
        monkeypatch.setenv("HF_TOKEN", "other")
        self.refused(hub, corpus, "other may not write to user, so nothing was sent; publish to one of: other, guild")
        publish_corpus(PublishConfig(corpus, "guild/corpus"))

    def test_a_repository_of_others_wants_a_yes(self, hub: Hub, corpus: Path) -> None:
        hub.create("dataset", NAME, private=True)
        hub.edit("dataset", NAME, "README.md", b"---\nlicense: mit\n---\n# By hand\n")
        hub.edit("dataset", NAME, "data/mine.parquet", b"mine")
        self.refused(hub, corpus, "was not made by `faithful publish` and holds 2 files; 1 files")
        publish_corpus(config(corpus, yes=True))
        files = hub.repositories["dataset", NAME].files
        assert "data/mine.parquet" not in files
        assert b"# By hand" in files["README.md"]
        assert b"license: mit" in files["README.md"]

    def test_another_corpus_wants_a_yes(self, hub: Hub, corpus: Path, tmp_path: Path) -> None:
        publish_corpus(config(corpus))
        hub.received.clear()
        other = own_corpus(tmp_path / "other", model=spec("gpt2", "openai-community/gpt2", "mit"))
        self.refused(hub, other, "holds another publication")

    def test_a_licence_without_a_tag_is_named_as_the_hub_asks(self, hub: Hub, tmp_path: Path) -> None:
        publish_corpus(config(external_corpus(tmp_path / "web", licence="other"), accept_licence=True))
        found = metadata_of(hub.repositories["dataset", NAME].files["README.md"].decode())
        assert (found["license"], found["license_name"]) == ("other", "as-the-source-states")

    def test_terms_are_shown_and_accepted(self, hub: Hub, tmp_path: Path) -> None:
        web = external_corpus(tmp_path / "web")
        self.refused(
            hub, web, r"under conditions\. \[web: web, licence odc-by\] .* publishing them is publishing the text"
        )
        assert not hub.log
        publish_corpus(config(web, accept_licence=True))
        assert "data/part-00000.parquet" in hub.repositories["dataset", NAME].files
        for licence in ("llama3.2", None):
            model = spec("org/model", "org/model", licence)
            path = own_corpus(tmp_path / str(licence), model=model)
            clause = (
                'must carry a name that begins with "Llama"' if licence else "The licence of the model is not known"
            )
            with pytest.raises(FaithfulError, match=f"licence {licence or 'unknown'}.*{clause}"):
                publish_corpus(PublishConfig(path, "user/terms"))

    def test_what_is_not_whole(self, hub: Hub, corpus: Path, tmp_path: Path) -> None:
        from faithful.store.corpus import read_manifest, write_manifest

        shard = corpus / "data/part-00001.parquet"
        content = shard.read_bytes()
        shard.write_bytes(content[:-1] + b"?")
        self.refused(hub, corpus, "is missing or damaged")
        shard.write_bytes(content)
        manifest = read_manifest(corpus)
        manifest.requested["train"] = 10**6
        write_manifest(corpus, manifest)
        self.refused(hub, corpus, "is not finished")
        self.refused(hub, tmp_path / "nothing", "is not a corpus")

    def test_bad_metadata(self, hub: Hub, corpus: Path) -> None:
        readme = corpus / "README.md"
        text = readme.read_text()
        readme.write_text(text.replace("tags:\n", "tags: 3\nmore:\n", 1))
        self.refused(
            hub, corpus, r"refuses the card's metadata \(.tags. must be a list or a string\), so nothing was sent"
        )
        readme.write_text(text.replace("tags:\n", "tags: [\n", 1))
        self.refused(hub, corpus, "no valid YAML")

    def test_names(self, hub: Hub, corpus: Path) -> None:
        for name in ("corpus", "a/b/c", "/x", "user/"):
            with pytest.raises(FaithfulError, match="write USER/REPO"):
                publish_corpus(PublishConfig(corpus, name))

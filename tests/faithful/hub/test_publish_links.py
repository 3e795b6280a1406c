"""Nothing is sent that does not lie in the folder: links, links in links, folders that are links, hidden files."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.hub.config import PublishConfig
from faithful.store.corpus import read_manifest, write_manifest
from generation.cards.card import write_card
from generation.configs.add import AddConfig
from generation.external.add import add
from studies.runs.publish import publish_corpus, publish_run, publish_saes
from tests.faithful.hub.named import NAME, SAE, SECRET, in_place_of, refused, run_with_a_study
from tests.faithful.hub.state import Hub
from tests.faithful.hub.things import CERTIFICATE, grid

CORPUS_FILES = ("README.md", "pit.png", "corpus.json", "data/part-00000.parquet")
SAE_FILES = (
    "README.md",
    *(f"{SAE}/{name}" for name in ("cfg.json", "sae_weights.safetensors", "sparsity.safetensors", "train.jsonl")),
)
RUN_FILES = (
    "report.html", "recipe.toml", "studies/seeds/summary.json", "studies/seeds/figures/a.svg",
    "studies/seeds/results.parquet", "corpora/own/README.md", "corpora/own/corpus.json",
    "corpora/own/test/part-00000.parquet",
    f"saes/{SAE}/train.jsonl", f"saes/{SAE}/cfg.json",
)  # fmt: skip


class TestEveryFile:
    """Every file that is sent, replaced by a link to a private key."""

    @pytest.mark.parametrize("name", CORPUS_FILES)
    def test_of_a_corpus(self, hub: Hub, corpus: Path, secret: Path, name: str) -> None:
        certificate = {**CERTIFICATE, "pit_counts": [45] * 20, "pit_edges": [n / 20 for n in range(21)]}
        write_manifest(corpus, replace(read_manifest(corpus), certificate=certificate))
        write_card(corpus)
        kept = secret.with_suffix(".kept")
        shutil.copy(corpus / name, kept)
        for target in (secret, kept):  # the content that belongs there is refused as well: it may be another one soon
            in_place_of(corpus / name, target)
            refused(hub, lambda **kw: publish_corpus(PublishConfig(corpus, NAME), **kw), corpus / name)

    @pytest.mark.parametrize("name", SAE_FILES)
    def test_of_saes(self, hub: Hub, tmp_path: Path, secret: Path, name: str) -> None:
        saes = grid(tmp_path / "saes")
        kept = secret.with_suffix(".kept")
        kept.write_bytes((saes / name).read_bytes() if (saes / name).exists() else b"# card\n")
        in_place_of(saes / name, kept)
        refused(hub, lambda **kw: publish_saes(PublishConfig(saes, NAME), **kw), saes / name)

    @pytest.mark.parametrize("name", RUN_FILES)
    def test_of_a_run(self, hub: Hub, tmp_path: Path, secret: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        run = run_with_a_study(tmp_path / "run")
        monkeypatch.setattr("studies.runs.bundles.refuse_unfinished_run", lambda _: None)
        monkeypatch.setattr("studies.runs.unfinished._steps_left", lambda _: [])
        monkeypatch.setattr("studies.runs.card_parts._tables", lambda *_: [])
        kept = secret.with_suffix(".kept")
        shutil.copy(run / name, kept)
        in_place_of(run / name, kept)
        config = PublishConfig(run, NAME, accept_licence=True)
        refused(hub, lambda **kw: publish_run(config, **kw), run / name)


class TestWriting:
    """What is written here never takes text from elsewhere into the folder, where it would be published."""

    def test_a_card_that_is_a_link_is_not_copied(self, corpus: Path, secret: Path) -> None:
        in_place_of(corpus / "README.md", secret)
        with pytest.raises(FaithfulError, match="is a link"):
            write_card(corpus)
        assert secret.read_text() == SECRET

    def test_what_arrives_from_the_hub_follows_no_link(
        self, hub: Hub, corpus: Path, tmp_path: Path, secret: Path
    ) -> None:
        publish_corpus(PublishConfig(corpus, NAME))
        out = tmp_path / "there"
        out.mkdir()
        (out / ".arriving").symlink_to(secret.parent)
        add(AddConfig(NAME, out=out, model="tiny"))
        assert secret.read_text() == SECRET
        assert [path.name for path in secret.parent.iterdir()] == [secret.name]

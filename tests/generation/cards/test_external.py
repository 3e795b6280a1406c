"""Cards of corpora that were brought in, or derived from others: what is known of them, and how they were made."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from faithful.store.corpus import Corpus, read_manifest
from generation.cards.external import external_metadata
from generation.cards.origins import Origin, origins
from generation.cards.parts import licence_tags
from generation.configs.add import AddConfig
from generation.configs.derive import ShuffleConfig
from generation.derived.shuffle import shuffle
from generation.external.add import add
from tests.generation.external import test_add as made

corpus, source, wish = made.corpus, made.source, made.wish
Folder = Callable[[str], Path]


def front_of(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)[1])


def test_the_card_says_what_is_known_and_nothing_else(corpus: Path) -> None:
    from huggingface_hub import DatasetCard

    front = front_of(corpus)
    assert DatasetCard.load(corpus / "README.md").data.to_dict() == front
    assert front["language_creators"] == ["found"]
    assert front["tags"] == ["faithful", "sparse-autoencoder", "tiny-gpt2"]
    assert not {"license", "license_name", "language", "source_datasets"} & set(front)
    assert [entry["split"] for entry in front["configs"][0]["data_files"]] == ["train", "test"]
    body = (corpus / "README.md").read_text()
    assert "No licence is known" in body
    assert "| seed | 3 |" in body
    assert "{{" not in body


def test_the_command_on_the_card_makes_the_same_bytes(corpus: Path, source: Path, tmp_path: Path) -> None:
    line = (corpus / "README.md").read_text().split("```bash\n")[1].split("\n```")[0]
    words = shlex.split(line.replace("\\\n", ""))[3:]
    assert words[0] == source.name
    done = made.command([str(source), *words[1:], "--out", str(tmp_path / "words"), "--json"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["tokens"]["train"] == read_manifest(corpus).tokens()
    assert made.contents(tmp_path / "words") == made.contents(corpus)


def test_a_template_with_a_bar_stays_in_its_cell(tmp_path: Path, family_folder: Folder) -> None:
    rows = [json.dumps({"q": f"Why is it {place}?", "a": "So it is."}) for place in range(200)]
    (tmp_path / "qa.jsonl").write_text("\n".join(rows))
    model, out = str(family_folder("gpt2")), tmp_path / "qa"
    add(AddConfig(str(tmp_path / "qa.jsonl"), model=model, template="{q} | {a}", out=out, tokens=500, held_out=100))
    assert "| text | `q`, `a`: format string '{q} \\| {a}' |\n" in (out / "README.md").read_text()


def test_cards_of_noise_and_of_derived_corpora(corpus: Path, tmp_path: Path, family_folder: Folder) -> None:
    noise = add(AddConfig("noise", model=str(family_folder("gpt2")), tokens=500, held_out=100, out=tmp_path / "noise"))
    front = front_of(noise.folder)
    assert front["language_creators"] == ["machine-generated"]
    assert "synthetic" in front["tags"]
    assert "license" not in front
    derived = shuffle(ShuffleConfig(corpus, seed=9, out=tmp_path / "mixed up")).folder
    body = (derived / "README.md").read_text()
    assert "faithful corpus shuffle words --seed 9 --out 'mixed up'" in body
    assert "| operation | shuffle |" in body
    assert read_manifest(corpus).identity["source"]["kind"] == "files"
    assert front_of(derived)["language_creators"] == ["found"]


def test_licences_are_those_of_the_texts(corpus: Path) -> None:
    own = {"kind": "own", "model": {"name": "gpt2", "licence": "mit"}, "identity": {}, "provenance": {}, "name": "own"}
    fineweb = {
        "name": "web",
        "kind": "external",
        "model": {"name": "gpt2"},
        "identity": {"source": {"kind": "hub", "repo": "HuggingFaceFW/fineweb"}},
        "provenance": {"source": {"name": "fineweb", "licence": "odc-by", "about": "English web pages"}},
    }
    books = json.loads(json.dumps(fineweb))
    books["name"], books["provenance"]["source"]["licence"] = "books", None
    entries = {"own": own, "web": fineweb, "books": books}

    def derived(*names: str) -> tuple[dict[str, Any], list[Origin]]:
        copy = Corpus(corpus)
        inputs = [{"name": name, "identity_sha256": "0" * 64} for name in names]
        copy.manifest.kind = "derived"
        copy.manifest.identity |= {"derivation": {"operation": "mix", "inputs": inputs}}
        copy.manifest.provenance["inputs"] = [entries[name] for name in entries]
        return external_metadata(copy), origins(copy.manifest)

    front, texts = derived("own", "web")
    assert front["license"] == ["mit", "odc-by"]
    assert front["language_creators"] == ["machine-generated", "found"]
    assert "ODC-By" in texts[1].terms
    assert "check what it says of the model's outputs" in texts[0].terms
    front, texts = derived("web")
    assert (front["license"], front["source_datasets"]) == ("odc-by", ["extended|HuggingFaceFW/fineweb"])
    assert "synthetic" not in front["tags"]
    assert "license" not in derived("web", "books")[0]
    assert licence_tags("public domain") == {"license": "other", "license_name": "public-domain"}
    assert licence_tags("cc-by-sa-3.0 + gfdl") == {"license": ["cc-by-sa-3.0", "gfdl"]}

"""The dataset card: valid metadata, true tables, a command that gives the same bytes, and human edits that stay."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from typer.testing import CliRunner

from faithful.cli import app
from faithful.options.line import folded
from faithful.store.corpus import Corpus, Shard, read_manifest, write_manifest
from generation.cards.card import metadata, write_card
from generation.cards.made_by import made_by
from generation.cards.parts import SIZES
from tests.faithful.hub.things import unfilled
from tests.generation.cards.conftest import parts

Folder = Callable[[str], Path]
LADDER = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B")


def change_model(folder: Path, **values: Any) -> str:
    """Rewrite the card with other knowledge of the model; the body."""
    manifest = read_manifest(folder)
    manifest.provenance["model"] |= values
    write_manifest(folder, manifest)
    (folder / "README.md").unlink()
    write_card(folder)
    return parts(folder)[1]


def test_metadata_says_what_is_known_and_nothing_else(corpus: Path) -> None:
    front, _ = parts(corpus)
    assert front["annotations_creators"] == ["no-annotation"]
    assert front["language_creators"] == ["machine-generated"]
    assert front["source_datasets"] == ["original"]
    assert front["task_categories"] == ["text-generation"]
    assert front["task_ids"] == ["language-modeling"]
    assert front["tags"] == ["synthetic", "faithful", "sparse-autoencoder", "tiny-gpt2"]
    assert front["size_categories"] == ["n<1K"]
    assert "own" in front["pretty_name"]
    assert not {"language", "license", "license_name"} & set(front)


def test_the_hub_reads_the_metadata(corpus: Path) -> None:
    from huggingface_hub import DatasetCard

    assert DatasetCard.load(corpus / "README.md").data.to_dict() == parts(corpus)[0]


@pytest.mark.parametrize(
    ("rows", "size"), [(0, 0), (999, 0), (1000, 1), (9_999, 1), (10_000, 2), (10**8, 6), (10**9, 7), (10**12, 7)]
)
def test_sizes_are_those_of_the_official_ladder(copy: Path, rows: int, size: int) -> None:
    assert SIZES == LADDER
    corpus = Corpus(copy)
    corpus.manifest.shards = {"train": [Shard("x", 0, rows, 1, 1, "", {})], "test": []}
    assert metadata(corpus)["size_categories"] == [LADDER[size]]


@pytest.mark.parametrize(
    ("known", "language", "licence", "name"),
    [
        ({"licence": "apache-2.0", "language": "en"}, ["en"], "apache-2.0", None),
        ({"licence": "llama3.1"}, None, "llama3.1", None),
        ({"licence": "my-own-licence"}, None, "other", "my-own-licence"),
        ({"licence": "other"}, None, "other", "as-the-source-states"),
        ({"licence": "llama4"}, None, "llama4", None),
    ],
)
def test_language_and_licence_where_they_are_known(
    copy: Path, known: dict[str, str], language: Any, licence: str, name: str | None
) -> None:
    change_model(copy, **known)
    front, _ = parts(copy)
    assert (front.get("language"), front["license"], front.get("license_name")) == (language, licence, name)


def test_both_splits_load_as_the_card_says(corpus: Path, tmp_path: Path) -> None:
    data = load_dataset(str(corpus), cache_dir=str(tmp_path))
    assert set(data) == {"train", "test"}
    for split in ("train", "test"):
        assert data[split]["token_ids"][:] == [ids.tolist() for ids in Corpus(corpus).documents(split)]


def test_no_placeholder_is_left(corpus: Path) -> None:
    assert not unfilled((corpus / "README.md").read_text(encoding="utf-8"))


def test_the_picture_is_there(corpus: Path) -> None:
    assert (corpus / "pit.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "](pit.png)" in parts(corpus)[1]


def test_a_certificate_without_the_pictures_counts_links_none(copy: Path) -> None:
    manifest = read_manifest(copy)
    assert manifest.certificate
    del manifest.certificate["pit_counts"]
    write_manifest(copy, manifest)
    write_card(copy)
    body = parts(copy)[1]
    assert manifest.certificate["verdict"] in body
    assert "pit.png" not in body


def test_it_says_how_to_cite_it(copy: Path) -> None:
    manifest = read_manifest(copy)
    manifest.name = "t_0.7"
    write_manifest(copy, manifest)
    write_card(copy)
    entry = parts(copy)[1].split("```bibtex\n")[1].split("```")[0]
    assert entry.startswith("@misc{faithful-corpus-of-tiny-gpt2-t-0.7,\n")
    assert "  title = {Faithful corpus of tiny-gpt2 (t\\_0.7)},\n" in entry
    assert manifest.identity["model"]["revision"] in entry
    assert entry.count("{") == entry.count("}")


def test_without_certificate_the_card_says_so(copy: Path) -> None:
    manifest = read_manifest(copy)
    manifest.certificate = None
    write_manifest(copy, manifest)
    write_card(copy)
    body = parts(copy)[1]
    assert "Not certified yet: run `faithful corpus certify`." in body
    assert "pit.png" not in body


def test_the_tables_hold_the_manifests_numbers(corpus: Path) -> None:
    _, body = parts(corpus)
    manifest = read_manifest(corpus)
    certificate, statistics = manifest.certificate, manifest.statistics
    assert certificate is not None
    assert statistics is not None
    assert f"**{certificate['verdict']}**: {certificate['reason']}" in body
    low, high = certificate["ci95"]
    gap = f"{certificate['surprise_gap']:+.4f} nats/token ({low:+.4f} to {high:+.4f})"
    assert f"| surprise gap | {gap} |" in body
    assert f"Scored: {certificate['tokens_scored']:,} of {manifest.tokens():,} training tokens" in body
    for name, test in certificate["tests"].items():
        row = next(line for line in body.splitlines() if line.startswith(f"| {name} |"))
        assert (f"| {test['p']:.3g} | {test['p_holm']:.3g} |" if test["p"] is not None else "left out") in row
    assert f"| documents | {manifest.rows():,} |" in body
    assert f"| tokens | {manifest.tokens():,} |" in body
    assert f"| eos rate | {statistics['eos_rate']:.2%} |" in body
    assert f"| length mean | {statistics['length_mean']:.4g} |" in body
    assert "| top-p / top-k / min-p | 0.9 / off / 0 |" in body
    assert f"`{manifest.identity['model']['revision']}`" in body


@pytest.mark.slow
def test_the_command_on_the_card_gives_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    _, body = parts(corpus)
    command = re.search(r"```bash\n(faithful generate.*?)\n```", body, re.DOTALL)
    assert command is not None
    words = shlex.split(command[1].replace("\\\n", ""))
    assert words[:2] == ["faithful", "generate"]
    more = ["--out", str(tmp_path / "own"), "--workers", "1", "--certify-tokens", "0", "--device", "cpu"]
    result = CliRunner().invoke(app, [*words[1:], *more])
    assert result.exit_code == 0, result.output
    for split in ("data", "test"):
        made = {path.name: path.read_bytes() for path in (tmp_path / "own" / split).iterdir()}
        assert made == {path.name: path.read_bytes() for path in (corpus / split).iterdir()}


def test_the_command_names_what_a_reader_could_not_guess(copy: Path) -> None:
    manifest = read_manifest(copy)
    manifest.provenance["model"] |= {"source": "/models/my model", "bos_from": "--bos"}
    manifest.identity["engine"]["deterministic"] = False
    words = shlex.split(folded(made_by(manifest)).replace("\\\n", ""))
    assert words[words.index("--model") + 1] == "/models/my model"
    assert "--rolling" in words
    manifest.identity["engine"]["deterministic"] = True
    assert "--deterministic" in shlex.split(folded(made_by(manifest)).replace("\\\n", ""))


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("tiny", "str(tiny_path())"),
        ("gpt2", '"openai-community/gpt2"'),
        ("pythia-1.4b", '"EleutherAI/pythia-1.4b"'),
        ("some/model", '"some/model"'),
        ("/models/gpt2", '"/models/gpt2"'),
        ("real:pythia-1.4b", 'faithful.resolve_model("real:pythia-1.4b").weights'),
        ("/models/A.GGUF", 'faithful.resolve_model("/models/A.GGUF").weights'),
    ],
)
def test_other_trainers_are_given_what_transformers_loads(copy: Path, source: str, written: str) -> None:
    assert change_model(copy, source=source).count(f"model_id = {written}\n") == 2


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"family": "llama", "licence": "llama3.1"}, "Built with Llama"),
        ({"family": "gemma", "licence": "gemma"}, "Gemma terms"),
        ({"family": "pythia", "licence": "apache-2.0"}, "the Pile"),
        ({"family": "gpt2", "licence": "mit"}, "Model licence: `mit`"),
        ({"family": "llama", "licence": None}, "not known"),
    ],
)
def test_licence_paragraphs_of_the_families(copy: Path, known: dict[str, Any], said: str) -> None:
    licence = change_model(copy, **known).split("## Licence")[1]
    assert said in licence
    assert ("Llama" in licence) == (known["family"] == "llama" and known["licence"] is not None)


@pytest.mark.parametrize(("rate", "said"), [(0.9, "10.0% of the samples"), (0.0, "100.0% of the samples")])
def test_how_many_samples_a_second_tokenisation_would_change(copy: Path, rate: float, said: str) -> None:
    manifest = read_manifest(copy)
    assert manifest.statistics is not None
    manifest.statistics["round_trip_rate"] = rate
    write_manifest(copy, manifest)
    write_card(copy)
    assert said in parts(copy)[1]


def test_a_card_says_that_the_model_was_quantised(copy: Path) -> None:
    plain = change_model(copy)
    assert "quantised" not in plain and made_by(read_manifest(copy)).load is None
    manifest = read_manifest(copy)
    manifest.identity["model"]["load"] = "8bit"
    write_manifest(copy, manifest)
    body = change_model(copy, load="8bit")
    assert "sampled with its weights quantised to 8bit (bitsandbytes)" in body
    assert "| weights | quantised to 8bit by bitsandbytes (`--load 8bit`) |" in body and "--load 8bit" in folded(
        made_by(manifest)
    )

"""`faithful corpus certify` on a folder: what is scored, what is stored, what is refused."""

import json
import shutil
import weakref
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock, sha256_file
from faithful.base.progress import Progress
from faithful.cli.corpus import app
from faithful.models.spec import ModelSpec
from faithful.store.corpus import Corpus, read_manifest, write_manifest
from generation.cards.card import write_card
from generation.cards.describe import statistics_of
from generation.cards.parts import BESIDE
from generation.certificate.certify import CertifyConfig, certify
from generation.certificate.conclude import NO_CERTIFICATE
from generation.sampling.distribution import Sampling
from generation.scoring import chunks
from generation.scoring.copies import repeated_documents
from generation.scoring.kept_sums import FOLDER
from generation.scoring.scored_part import choose_part
from generation.scoring.scorer import Scorer
from generation.writing.near_duplicates import document_hashes, repeats
from tests.documented import undocumented
from tests.own import write_external, write_own

Model = Callable[[str], tuple[ModelSpec, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> Path:
    spec, model = family_model("gpt2")
    sizes = {"train": 4000, "test": 3000}
    return write_own(tmp_path_factory.mktemp("certify") / "own", spec, model, Sampling(max_tokens=31), sizes)


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "own"))


def test_figures_that_need_the_model_stand_beside_the_certificate(own: Path) -> None:
    result = certify(CertifyConfig(own, everything=True, device="cpu"))
    assert result["stored"] and result["reference"] == "own"
    assert result["tokens_scored"] == Corpus(own).tokens()
    low, high = result["excess_ce_ci95"]
    assert low < 0 < high
    assert result["unigram_js"] < 2 * result["unigram_js_floor_max"]
    assert read_manifest(own).certificate["excess_ce"] == result["excess_ce"]


def test_every_figure_has_its_line_in_the_documentation(own: Path) -> None:
    words = {
        "verdict", "reason", "interval_from", "tests", "split", "split_tokens", "part", "sampling", "as_declared", "seed",
        "dtype", "stored", "reference",
    }  # fmt: skip
    found = certify(CertifyConfig(own, tokens=2000, device="cpu"))
    assert undocumented("Certificate", found["tests"]) == []
    missing = undocumented("Certificate", found.keys() - words)
    assert undocumented("Corpus", missing) == []
    counted = {"curves", "computed_on", "stored"}
    assert undocumented("Corpus", statistics_of(own).keys() - counted) == []


def test_statistics_show_the_figures_that_need_the_model(own: Path) -> None:
    before = statistics_of(own)
    certificate = certify(CertifyConfig(own, device="cpu"))
    shown = statistics_of(own)
    assert {name: shown[name] for name in BESIDE} == {name: certificate[name] for name in BESIDE}
    assert before.keys() <= shown.keys()
    assert "excess_ce" not in before
    assert "| excess ce |" in write_card(own).read_text(encoding="utf-8")


def test_a_smaller_certificate_does_not_replace_a_larger_one(own: Path) -> None:
    assert certify(CertifyConfig(own, everything=True, device="cpu"))["stored"]
    small = certify(CertifyConfig(own, tokens=1000, device="cpu"))
    assert not small["stored"] and "larger part" in small["not_stored"]
    assert read_manifest(own).certificate["tokens_scored"] > small["tokens_scored"]


def test_another_declaration_is_not_stored(own: Path) -> None:
    result = certify(CertifyConfig(own, tokens=1000, as_temperature=0.8, device="cpu"))
    assert "stored" not in result and read_manifest(own).certificate is None


def test_a_corpus_that_changed_meanwhile_keeps_no_certificate(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from generation.certificate import certify as module

    real = module.score_part

    def grow(*args: Any, **kwargs: Any) -> Any:
        manifest = read_manifest(own)
        manifest.shards["train"] = [replace(shard, statistics={}) for shard in manifest.shards["train"]]
        module.write_manifest(own, manifest)
        return real(*args, **kwargs)

    monkeypatch.setattr(module, "score_part", grow)
    assert not certify(CertifyConfig(own, tokens=1000, device="cpu"))["stored"]
    assert read_manifest(own).certificate is None


def test_a_folder_that_another_process_holds_gets_figures_that_are_not_stored(own: Path) -> None:
    with folder_lock(own):
        done = CliRunner().invoke(app, ["certify", str(own), "--tokens", "1000", "--device", "cpu", "--json"])
    assert done.exit_code == 0, done.output
    assert f"Not stored in {own}: another process is writing" in done.stderr
    assert json.loads(done.stdout)["stored"] is False
    assert read_manifest(own).certificate is None


@pytest.mark.parametrize("options", [{"as_top_k": 1}, {"as_temperature": 0.0}, {"as_top_p": 1e-7}])
def test_declarations_without_randomness_have_no_certificate(own: Path, options: dict[str, Any]) -> None:
    result = certify(CertifyConfig(own, **options))
    assert result["verdict"] == NO_CERTIFICATE and result["tests"] == {} and "stored" not in result


def test_the_declared_sampling_stated_again_is_stored(own: Path) -> None:
    result = certify(CertifyConfig(own, tokens=1000, as_temperature=1.0, device="cpu"))
    assert result["stored"] and result["as_declared"] and not result["sampling"]["greedy"]


@pytest.mark.parametrize(("option", "message"), [("device", "not a device"), ("dtype", "not a dtype")])
def test_unknown_devices_and_dtypes_are_refused(own: Path, option: str, message: str) -> None:
    with pytest.raises(FaithfulError, match=f"'foo' is {message}"):
        certify(CertifyConfig(own, **{option: "foo"}))


def test_an_empty_corpus_names_what_fills_it(own: Path) -> None:
    manifest = read_manifest(own)
    manifest.shards["train"] = []
    write_manifest(own, manifest)
    with pytest.raises(FaithfulError, match="run the command that makes it again"):
        certify(CertifyConfig(own, device="cpu"))


def test_damaged_shards_are_refused_before_the_model_is_loaded(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = own / Corpus(own).manifest.shards["train"][0].file
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    monkeypatch.setattr("generation.certificate.certify.load_model", lambda *_: pytest.fail("a model was loaded"))
    with pytest.raises(FaithfulError, match="missing or damaged"):
        certify(CertifyConfig(own, device="cpu"))


def test_external_text_gets_no_declared_verdict_but_is_stored(own: Path, family_model: Model) -> None:
    spec = family_model("gpt2")[0]
    documents = list(Corpus(own).documents())
    generator = np.random.default_rng(0)
    shuffled = write_external(own.parent / "shuffled", spec, {"train": [generator.permutation(d) for d in documents]})
    result = certify(CertifyConfig(shuffled, everything=True, device="cpu"))
    assert not result["as_declared"] and result["verdict"] == "not from this distribution"
    assert result["reference"] == "own" and result["excess_ce_ci95"][0] > 0
    assert read_manifest(shuffled).certificate["interval_from"].startswith("bootstrap over documents")


def test_copies_are_found_even_when_only_one_of_them_is_scored(own: Path, family_model: Model) -> None:
    spec = family_model("gpt2")[0]
    documents = [d for d in Corpus(own).documents() if len(d) > 20]
    twice = write_external(own.parent / "twice", spec, {"train": documents * 2})
    part = choose_part(Corpus(twice), "train", Corpus(twice).tokens() // 8)
    assert len(part.documents) < len(documents) / 2
    late = part.indices >= len(documents)
    assert part.repeated is not None and (part.repeated == late).all() and late.any() and not late.all()
    assert part.population == 2 * len(documents)
    tokens = Corpus(twice).tokens() // 8
    result = certify(CertifyConfig(twice, tokens=tokens, device="cpu"))
    assert result["tests"]["copy"]["p_holm"] < 1e-6


def test_a_tenth_scored_finds_passages_copied_from_text_that_is_not(own: Path, family_model: Model) -> None:
    """No document stands twice; half of them hold a run of 16 tokens from another one."""
    spec = family_model("gpt2")[0]
    documents = [document for document in Corpus(own).documents() if len(document) > 28]
    copied = [np.concatenate([one[:6], other[4:20], one[-3:]]) for one, other in pairwise(documents)]
    folder = write_external(own.parent / "copied", spec, {"train": documents + copied})
    corpus = Corpus(folder)
    everything = certify(CertifyConfig(folder, everything=True, device="cpu"))["tests"]["copy"]
    tenth = certify(CertifyConfig(folder, tokens=corpus.tokens() // 10, device="cpu"))["tests"]["copy"]
    part = choose_part(corpus, "train", corpus.tokens() // 10)
    expected = sum(index >= len(documents) for index in part.indices) * 8
    assert tenth["duplicates"] == everything["duplicates"] == 0
    assert tenth["count"] >= 0.9 * expected > 20
    assert tenth["p_holm"] < 1e-6 and everything["p_holm"] < 1e-6
    own_alone = certify(CertifyConfig(own, tokens=corpus.tokens() // 10, device="cpu"))["tests"]["copy"]
    assert own_alone["p"] > 0.001


def test_a_part_holds_its_own_documents_and_not_the_batches_they_were_read_in(own: Path) -> None:
    part = choose_part(Corpus(own), "train", Corpus(own).tokens() // 8)
    assert part.log_p is not None
    assert all(array.base is None for array in (*part.documents, *part.log_p))


@pytest.mark.parametrize("odd", [float("nan"), float("-inf")])
def test_stored_log_probabilities_that_are_no_numbers_are_refused(own: Path, odd: float) -> None:
    """No difference to NaN is above a cap: it would pass."""
    manifest = read_manifest(own)
    shard = manifest.shards["train"][0]
    table = pq.read_table(own / shard.file)
    log_p = table.column("logprob_p").to_pylist()
    log_p[0][0] = odd
    place = table.schema.get_field_index("logprob_p")
    pq.write_table(
        table.set_column(place, table.schema[place], pa.array(log_p, table.schema[place].type)), own / shard.file
    )
    manifest.shards["train"][0] = replace(
        shard, sha256=sha256_file(own / shard.file), bytes=(own / shard.file).stat().st_size
    )
    write_manifest(own, manifest)
    with pytest.raises(FaithfulError, match="log-probabilities that are no numbers"):
        certify(CertifyConfig(own, everything=True, device="cpu"))


def test_kept_sums_are_held_until_they_are_taken_and_no_longer() -> None:
    class Sums(dict[str, np.ndarray]):
        pass

    made = [Sums() for _ in range(3)]
    held = [weakref.ref(one) for one in made]
    scorer: Any = SimpleNamespace(device=torch.device("cpu"), in_order=lambda *_: iter(()))
    kept: Any = SimpleNamespace(load=lambda _: made.pop())
    documents = [np.zeros(chunks.CHUNK_TOKENS["cpu"], np.int64)] * 3
    found = chunks.chunk_sums(scorer, documents, None, lambda: None, kept)  # type: ignore[arg-type, return-value]
    alive = []
    for _ in range(3):
        next(found)
        alive.append(sum(one() is not None for one in held))
    assert alive == [2, 1, 0]


class Stopped(BaseException):
    """Stands for Ctrl-C."""


def scored_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of each batch that is scored from now on."""
    real, found = Scorer.score, []

    def score(self: Scorer, documents: list[np.ndarray], predictions: np.ndarray) -> Any:
        found.append(len(predictions))
        return real(self, documents, predictions)

    monkeypatch.setattr(Scorer, "score", score)
    return found


@pytest.mark.parametrize("step", ["scoring", "reference"])
def test_a_scoring_that_was_stopped_goes_on_and_gives_the_same(
    own: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 16)
    config, found = CertifyConfig(own, everything=True, device="cpu"), scored_batches(monkeypatch)
    undisturbed = certify(config)
    whole = sum(found)
    for stops in range(1, 4):
        calls = 0

        def stop(point: Progress, at: int = stops) -> None:
            nonlocal calls
            calls += point.step == step
            if calls == 2 * at:
                raise Stopped

        found.clear()
        with pytest.raises(Stopped):
            certify(config, stop)
        assert sum(found) < whole
        assert list((own / FOLDER).rglob("*.npz"))
    victim = sorted((own / FOLDER).rglob("*.npz"))[0]
    victim.write_bytes(victim.read_bytes()[:50])
    found.clear()
    points: list[Progress] = []
    again = certify(config, points.append)
    assert again == undisturbed
    assert 0 < sum(found) < whole * (0.8 if step == "scoring" else 0.5)
    assert not (own / FOLDER).exists()
    assert [point.done for point in points if point.step == step] == sorted(
        {point.done for point in points if point.step == step}
    )


def test_kept_sums_are_of_one_corpus_declaration_and_seed_alone(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 16)
    config, found = CertifyConfig(own, everything=True, device="cpu"), scored_batches(monkeypatch)
    certify(config)
    whole = sum(found)

    def stop(point: Progress) -> None:
        if point.step == "reference":
            raise Stopped

    with pytest.raises(Stopped):
        certify(config, stop)
    for other in (replace(config, seed=1), replace(config, as_temperature=0.9), replace(config, split="test")):
        found.clear()
        with pytest.raises(Stopped):
            certify(other, stop)
        assert sum(found) > (0.2 if other.split == "test" else 0.5) * whole
    found.clear()
    with pytest.raises(Stopped):
        certify(config, stop)
    assert not found
    monkeypatch.setattr(chunks, "CHUNK", 17)
    with pytest.raises(Stopped):
        certify(config, stop)
    assert sum(found) > 0.5 * whole, "sums of chunks cut otherwise are others"


def test_where_nothing_can_be_kept_it_is_scored_all_the_same(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own / FOLDER).write_text("a file in the way")
    assert certify(CertifyConfig(own, tokens=1000, device="cpu"))["stored"]
    (own / FOLDER).unlink()
    elsewhere = own.parent / "elsewhere"
    elsewhere.mkdir()
    (own / FOLDER).symlink_to(elsewhere)
    certify(CertifyConfig(own, tokens=1000, device="cpu"))
    assert not list(elsewhere.iterdir())


def test_repeats_equal_a_set_of_what_was_seen() -> None:
    generator = np.random.default_rng(1)
    documents = [generator.integers(0, 3, generator.integers(1, 4)) for _ in range(300)]
    offsets = np.concatenate([[0], np.cumsum([len(d) for d in documents])])
    found = repeats(document_hashes(np.concatenate(documents), offsets))
    assert (found == repeated_documents(documents)).all()

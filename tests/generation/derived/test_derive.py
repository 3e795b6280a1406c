"""Derived corpora: what each operation keeps, exactly; what makes it the same; what it refuses and survives."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner, Result

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.cli.derive import register
from faithful.models.spec import ModelSpec, resolve_model
from faithful.models.tokenizer import load_tokenizer
from faithful.options.line import command_line
from faithful.store.corpus import SPLITS, Document, from_table, read_manifest, write_manifest
from generation.cards.made_by import made_by
from generation.configs.derive import DedupConfig, MixConfig, ShuffleConfig, SubsampleConfig
from generation.derived import derive as derive_module
from generation.derived.dedup import dedup
from generation.derived.mix import mix
from generation.derived.shuffle import shuffle
from generation.derived.subsample import subsample
from generation.sampling.distribution import Sampling
from generation.writing.identity import model_identity, model_provenance, tokenizer_identity
from generation.writing.job import CorpusResult
from generation.writing.recorded import open_corpus
from generation.writing.shards import CorpusWriter
from generation.writing.statistics import total_variation

Documents = dict[str, list[Document]]
Derive = Callable[[Path | None], CorpusResult]
ROWS = 16


@dataclass(frozen=True)
class Maker:
    """Writes corpora for one tiny model."""

    spec: ModelSpec
    tokenizer: Any

    def documents(self, seed: int, count: int, longest: int = 20, external: bool = False) -> list[Document]:
        """Random documents: some equal to earlier ones, some closed by end-of-text, some with log q."""
        draw = np.random.default_rng(seed)
        end = self.spec.eos_ids[0]
        found: list[Document] = []
        for index in range(count):
            ids = [int(token) for token in draw.zipf(1.4, draw.integers(1, longest)).clip(1, end) - 1]
            ids += [end] * int(draw.random() < 0.5)
            if found and draw.random() < 0.2:
                ids = found[draw.integers(len(found))].token_ids
            log_p = None if external else (-draw.exponential(3, len(ids))).astype(np.float32).tolist()
            found.append(
                Document(
                    index=index,
                    seed=0 if external else int(draw.integers(2**62)),
                    token_ids=ids,
                    finish_reason="stop" if ids[-1] == end else "length",
                    logprob_p=log_p,
                    logprob_q=[value / 2 for value in log_p] if log_p and draw.random() < 0.3 else None,
                    doc_id=f"page {index}" if external else None,
                    source="web" if external and index % 2 else None,
                )
            )
        return found

    def write(self, folder: Path, documents: Documents, kind: str = "own", spec: ModelSpec | None = None) -> Path:
        """A corpus of these documents; written again with more of them, it has grown."""
        spec = spec or self.spec
        own = {"model": model_identity(spec), "sampling": Sampling(max_tokens=127).to_dict(), "seed": 0}
        external = {"model": tokenizer_identity(spec), "source": {"name": "a web"}}
        provenance = {"model": model_provenance(spec)} | ({} if kind == "own" else {"licence": "cc0-1.0"})
        manifest = open_corpus(folder, kind, own if kind == "own" else external, provenance)
        writer = CorpusWriter(folder, manifest, spec, self.tokenizer, dict.fromkeys(SPLITS), ROWS)
        for split, rows in documents.items():
            for document in rows[writer.next_row(split) :]:
                writer.add(split, document)
        writer.finish()
        write_manifest(folder, manifest)
        return folder


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    from tests.families import build_family

    spec = resolve_model(str(build_family("gpt2", tmp_path_factory.mktemp("derive") / "tiny-gpt2")))
    return Maker(spec, load_tokenizer(spec.source, None))


@pytest.fixture(scope="module")
def corpora(maker: Maker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An own corpus, an external one, and a copy of the own one's documents with others; never change them."""
    root = tmp_path_factory.mktemp("corpora")
    own = {"train": maker.documents(1, 70), "test": maker.documents(2, 30)}
    again = [replace(own["train"][place], index=30 + number) for number, place in enumerate((0, 3, 3, 5))]
    own["test"] += again
    web = {"train": maker.documents(3, 90, 35, external=True), "test": maker.documents(4, 25, 35, external=True)}
    return {"own": maker.write(root / "own", own), "web": maker.write(root / "web", web, "external")}


def read(folder: Path, split: str = "train") -> list[Document]:
    shards = read_manifest(folder).shards[split]
    return [document for shard in shards for document in from_table(pq.read_table(folder / shard.file))]


def ids(folder: Path, split: str = "train") -> list[tuple[int, ...]]:
    return [tuple(document.token_ids) for document in read(folder, split)]


def places(folder: Path, split: str = "train") -> list[int]:
    """Where the documents were in their input."""
    return [int(str(document.doc_id).rsplit("/", 1)[1]) for document in read(folder, split)]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the lock and the log, which tells times."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", "log.jsonl")
    }


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def tokens_of(documents: list[Document]) -> int:
    return sum(len(document.token_ids) for document in documents)


def refused(call: Callable[[], Any]) -> str:
    """The sentence of a refusal: one line that ends like a sentence."""
    with pytest.raises(FaithfulError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


OPERATIONS: dict[str, Callable[[dict[str, Path], Path | None], CorpusResult]] = {
    "mix": lambda corpora, out: mix(MixConfig((corpora["own"], corpora["web"]), (2, 1), out=out, shard_rows=ROWS)),
    "shuffle": lambda corpora, out: shuffle(ShuffleConfig(corpora["own"], out=out, shard_rows=ROWS)),
    "dedup": lambda corpora, out: dedup(DedupConfig(corpora["own"], out=out, shard_rows=ROWS)),
    "dedup near": lambda corpora, out: dedup(DedupConfig(corpora["own"], True, out=out, shard_rows=ROWS)),
    "subsample": lambda corpora, out: subsample(SubsampleConfig(corpora["web"], 600, out=out, shard_rows=ROWS)),
    "like": lambda corpora, out: subsample(
        SubsampleConfig(corpora["web"], like=corpora["own"], out=out, shard_rows=ROWS)
    ),
}


# What each operation keeps.


def test_a_clock_that_stands_still_spoils_nothing(
    corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation.writing.job.time.time", lambda: 5.0)
    shuffle(ShuffleConfig(folder=corpora["own"], out=tmp_path / "a"))
    told = json.loads((tmp_path / "a" / "log.jsonl").read_text().splitlines()[0])
    assert told["seconds"] == 0 and told["tokens_per_second"] is None


def test_total_variation() -> None:
    assert total_variation(np.array([0, 2, 2]), np.array([0, 5, 5, 0])) == 0
    assert total_variation(np.array([1]), np.array([0, 0, 7])) == 1
    assert total_variation(np.array([3, 1]), np.array([1, 1])) == 0.25


def test_every_kind_of_corpus_is_an_input(corpora: dict[str, Path], tmp_path: Path) -> None:
    first = mix(MixConfig((corpora["own"], corpora["web"]), out=tmp_path / "both"))
    assert first.manifest.kind == "derived"
    assert [entry["kind"] for entry in first.manifest.provenance["inputs"]] == ["own", "external"]
    assert first.manifest.provenance["inputs"][1]["provenance"] == {"licence": "cc0-1.0"}
    assert first.manifest.provenance["inputs"][0]["identity"]["sampling"]["temperature"] == 1
    assert "dtype" not in first.manifest.identity["model"]
    second = shuffle(ShuffleConfig(first.folder))
    assert second.folder == tmp_path / "both-shuffled"
    assert {document.source for document in read(second.folder)} == {"own", "web"}
    assert [document.doc_id for document in read(second.folder)] == [
        f"both/train/{number}" for number in range(first.manifest.rows())
    ]
    assert second.manifest.identity["derivation"] == {
        "operation": "shuffle",
        "version": 2,
        "inputs": [
            {
                "name": "both",
                "identity_sha256": json.loads((first.folder / "corpus.json").read_text())["identity_sha256"],
                "content_sha256": second.manifest.identity["derivation"]["inputs"][0]["content_sha256"],
            }
        ],
        "seed": 0,
    }
    third = mix(MixConfig((second.folder, corpora["own"])))
    assert third.folder == tmp_path / "mix-both-shuffled-own"
    assert {document.logprob_p is None for document in read(third.folder)} == {True, False}


# What makes a derived corpus the same.


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_same_again_does_nothing_and_says_so(corpora: dict[str, Path], tmp_path: Path, name: str) -> None:
    inputs = {label: times(folder) for label, folder in corpora.items()}
    first = OPERATIONS[name](corpora, tmp_path / "out")
    assert first.changed
    before = times(tmp_path / "out")
    again = OPERATIONS[name](corpora, tmp_path / "out")
    assert not again.changed
    assert "nothing to do" in again.note
    assert times(tmp_path / "out") == before
    assert {label: times(folder) for label, folder in corpora.items()} == inputs
    elsewhere = tmp_path / "elsewhere" / "out"
    OPERATIONS[name](corpora, elsewhere)
    assert contents(elsewhere) == contents(tmp_path / "out")


class Killed(BaseException):
    """What a killed process looks like from inside."""


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Dies at the n-th of the moments around a shard's commit: before its file, before and after the manifest."""
    from generation.writing import shards

    real = {name: getattr(shards, name) for name in ("write_documents", "write_manifest")}
    left = [0]

    def arm(moment: int) -> None:
        left[0] = moment

    def step() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    def write_documents(*arguments: Any) -> Any:
        step()
        return real["write_documents"](*arguments)

    def write(*arguments: Any) -> None:
        step()
        real["write_manifest"](*arguments)
        step()

    monkeypatch.setattr(shards, "write_documents", write_documents)
    monkeypatch.setattr(shards, "write_manifest", write)
    yield arm


@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_at_any_commit_the_same_command_completes_it(
    corpora: dict[str, Path], tmp_path: Path, kill: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Without statistics and card, which come after the last commit."""
    monkeypatch.setattr("generation.derived.derive.describe", lambda folder, report: False)
    whole = contents(OPERATIONS[name](corpora, tmp_path / "whole" / "out").folder)
    out = tmp_path / "out"
    moments = 3 * sum(path.endswith(".parquet") for path in whole)
    assert moments >= 15
    for moment in range(1, moments + 1, 1 if name == "mix" else 4):
        shutil.rmtree(out, ignore_errors=True)
        kill(moment)
        with pytest.raises(Killed):
            OPERATIONS[name](corpora, out)
        kill(0)
        assert OPERATIONS[name](corpora, out).changed == (moment < moments)
        assert contents(out) == whole


def test_killed_again_and_again_it_still_ends_the_same(
    corpora: dict[str, Path], tmp_path: Path, kill: Callable[[int], None]
) -> None:
    whole = contents(OPERATIONS["mix"](corpora, tmp_path / "whole" / "out").folder)
    kills = 0
    while kills < 60:
        kill(4)
        try:
            OPERATIONS["mix"](corpora, tmp_path / "out")
        except Killed:
            kills += 1
        else:
            break
    assert 4 < kills < 60
    assert contents(tmp_path / "out") == whole


@pytest.mark.parametrize("damage", ["missing", "edited", "card"])
def test_a_damaged_result_is_restored(corpora: dict[str, Path], tmp_path: Path, damage: str) -> None:
    out = OPERATIONS["dedup"](corpora, tmp_path / "out").folder
    whole = contents(out)
    victim = out / ("README.md" if damage == "card" else "data/part-00001.parquet")
    if damage == "edited":
        victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    else:
        victim.unlink()
    assert OPERATIONS["dedup"](corpora, out).changed
    assert contents(out) == whole


# What is refused, with nothing changed.


@pytest.mark.parametrize("damage", ["missing", "edited", "truncated"])
@pytest.mark.parametrize("name", ["mix", "like"])
def test_a_damaged_input_is_refused_before_work(
    corpora: dict[str, Path], tmp_path: Path, damage: str, name: str
) -> None:
    own = shutil.copytree(corpora["own"], tmp_path / "own")
    victim = own / "test" / "part-00001.parquet"
    content = victim.read_bytes()
    if damage == "missing":
        victim.unlink()
    else:
        victim.write_bytes(content[:-5] if damage == "truncated" else content[:80] + b"!" + content[81:])
    sentence = refused(lambda: OPERATIONS[name](corpora | {"own": own}, tmp_path / "out"))
    assert "part-00001.parquet: it is missing or damaged" in sentence
    assert not (tmp_path / "out").exists()


def test_a_shard_that_is_no_parquet_is_refused_as_it_is_read(corpora: dict[str, Path], tmp_path: Path) -> None:
    from faithful.base.files import sha256_file

    own = shutil.copytree(corpora["own"], tmp_path / "own")
    manifest = read_manifest(own)
    victim = own / manifest.shards["train"][2].file
    victim.write_bytes(b"no parquet")
    manifest.shards["train"][2] = replace(manifest.shards["train"][2], bytes=10, sha256=sha256_file(victim))
    write_manifest(own, manifest)
    sentence = refused(lambda: shuffle(ShuffleConfig(own)))
    assert "part-00002.parquet" in sentence


@pytest.mark.parametrize("name", ["shuffle", "dedup", "dedup near", "like"])
@pytest.mark.parametrize("after", ["refuse_damage", "load_tokenizer", "CorpusWriter"])
def test_an_input_that_grows_meanwhile_is_refused_and_leaves_nothing(
    corpora: dict[str, Path], maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, after: str
) -> None:
    """After the inputs were checked, after documents were chosen, and as they are written."""
    grown = {label: shutil.copytree(corpora[label], tmp_path / label) for label in corpora}
    longer = [*read(grown["own"]), *maker.documents(11, 40)]
    more = {
        "train": [replace(one, index=place) for place, one in enumerate(longer)],
        "test": read(grown["own"], "test"),
    }
    real: Any = getattr(derive_module, after)

    def growing(*arguments: Any) -> Any:
        done = real(*arguments)
        monkeypatch.undo()
        maker.write(grown["own"], more)
        return done

    monkeypatch.setattr(derive_module, after, growing)
    sentence = refused(lambda: OPERATIONS[name](grown, tmp_path / "out"))
    assert sentence == f"{grown['own']} changed while it was read; run the same command again."
    assert not (tmp_path / "out").exists()
    assert OPERATIONS[name](grown, tmp_path / "out").changed


def test_an_input_that_is_not_finished_is_said(corpora: dict[str, Path], tmp_path: Path) -> None:
    own = shutil.copytree(corpora["own"], tmp_path / "own")
    manifest = read_manifest(own)
    manifest.requested = {"train": manifest.tokens() + 1, "test": 0}
    write_manifest(own, manifest)
    note = shuffle(ShuffleConfig(own)).note
    assert note.endswith(
        f"own has reached {manifest.tokens():,} of the {manifest.tokens() + 1:,} train tokens asked for."
    )
    manifest.provenance["exhausted"] = ["train"]
    write_manifest(own, manifest)
    assert "asked for" not in shuffle(ShuffleConfig(own, seed=1)).note


def test_weights_on_the_card_are_exact(corpora: dict[str, Path], tmp_path: Path) -> None:
    weights = (0.123456789, 3)
    manifest = mix(MixConfig((corpora["own"], corpora["web"]), weights, out=tmp_path / "mix")).manifest
    assert "--weights 0.123456789,3 " in command_line(made_by(manifest))


def test_other_parameters_and_changed_inputs_are_named(corpora: dict[str, Path], maker: Maker, tmp_path: Path) -> None:
    own, web = (shutil.copytree(corpora[name], tmp_path / name) for name in ("own", "web"))
    out = tmp_path / "out"
    mix(MixConfig((own, web), out=out))
    before = times(out)
    assert "tokens 50 asked for, None in the corpus" in refused(lambda: mix(MixConfig((own, web), None, 50, out)))
    assert "weights [3.0, 1.0] asked for, [1.0, 1.0] in" in refused(lambda: mix(MixConfig((own, web), (3, 1), out=out)))
    assert "inputs web, own asked for, own, web in" in refused(lambda: mix(MixConfig((web, own), out=out)))
    assert "operation shuffle asked for, mix in" in refused(lambda: shuffle(ShuffleConfig(own, out=out)))
    assert "shard rows 8 asked for" in refused(lambda: mix(MixConfig((own, web), out=out, shard_rows=8)))
    more = maker.documents(3, 95, 35, external=True)
    maker.write(web, {"train": more, "test": read(web, "test")}, "external")
    assert "web has changed since" in refused(lambda: mix(MixConfig((own, web), out=out)))
    assert times(out) == before
    like = subsample(SubsampleConfig(own, like=web))
    maker.write(web, {"train": maker.documents(3, 99, 35, external=True), "test": read(web, "test")}, "external")
    assert "web has changed since" in refused(lambda: subsample(SubsampleConfig(own, like=web)))
    assert like.folder == tmp_path / "own-like-web"
    assert "the corpus there is own" in refused(lambda: shuffle(ShuffleConfig(web, out=own)))


def test_places_that_cannot_be_written_are_refused(corpora: dict[str, Path], tmp_path: Path) -> None:
    own = shutil.copytree(corpora["own"], tmp_path / "own")
    before = times(own)
    assert "is the input" in refused(lambda: shuffle(ShuffleConfig(own, out=tmp_path / "x" / ".." / "own")))
    assert "lies inside the input" in refused(lambda: shuffle(ShuffleConfig(own, out=own / "shuffled")))
    assert "lies inside the input" in refused(
        lambda: subsample(SubsampleConfig(corpora["web"], like=own, out=own / "x"))
    )
    (tmp_path / "link").symlink_to(own)
    assert "is the input" in refused(lambda: dedup(DedupConfig(own, out=tmp_path / "link")))
    assert times(own) == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    assert "holds no corpus" in refused(lambda: dedup(DedupConfig(own, out=tmp_path / "full")))
    with folder_lock(tmp_path / "busy"):
        assert "Another process" in refused(lambda: dedup(DedupConfig(own, out=tmp_path / "busy")))


def test_inputs_that_do_not_go_together_are_refused(corpora: dict[str, Path], maker: Maker, tmp_path: Path) -> None:
    own, web = corpora["own"], corpora["web"]
    documents = {"train": maker.documents(9, 5), "test": maker.documents(8, 5)}
    spec = maker.spec
    for change, said in (
        ({"tokenizer_sha256": "0" * 64}, "another tokenizer"),
        ({"bos_id": 3}, "another start token"),
        ({"eos_ids": (3, 4)}, "other end-of-text ids"),
    ):
        other = maker.write(tmp_path / said.split()[-1], documents, spec=replace(spec, **change))
        assert said in refused(lambda other=other: mix(MixConfig((own, other), out=tmp_path / "out")))
        assert said in refused(lambda other=other: subsample(SubsampleConfig(own, like=other, out=tmp_path / "out")))
    copy = shutil.copytree(own, tmp_path / "copy")
    assert "same documents" in refused(lambda: mix(MixConfig((own, copy), out=tmp_path / "out")))
    assert "same documents" in refused(lambda: mix(MixConfig((own, own), out=tmp_path / "out")))
    empty = maker.write(tmp_path / "empty", {"train": [], "test": documents["test"]})
    assert "no training tokens yet" in refused(lambda: shuffle(ShuffleConfig(empty)))
    assert "is not a corpus" in refused(lambda: shuffle(ShuffleConfig(tmp_path / "nowhere")))
    assert "two corpora or more" in refused(lambda: mix(MixConfig((own,))))
    assert "one for each" in refused(lambda: mix(MixConfig((own, web), (1, 2, 3))))
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        assert "above 0" in refused(lambda bad=bad: mix(MixConfig((own, web), (1.0, bad))))
    assert "since own runs out" in refused(lambda: mix(MixConfig((own, web), (9, 1), 10**6)))
    assert "fewer than 1,000,000" in refused(lambda: subsample(SubsampleConfig(own, 10**6)))
    assert "how much to take" in refused(lambda: subsample(SubsampleConfig(own)))
    assert "at least 1" in refused(lambda: subsample(SubsampleConfig(own, 0)))
    assert not (tmp_path / "out").exists()


def test_a_larger_vocabulary_must_come_first(corpora: dict[str, Path], maker: Maker, tmp_path: Path) -> None:
    padded = replace(maker.spec, vocab_size=maker.spec.vocab_size + 30)
    rows = [Document(index, 0, [maker.spec.vocab_size + 2] * 9, "length") for index in range(9)]
    other = maker.write(tmp_path / "padded", {"train": rows, "test": rows}, spec=padded)
    assert "name padded first" in refused(lambda: mix(MixConfig((corpora["own"], other), out=tmp_path / "out")))
    assert not (tmp_path / "out").exists()
    assert mix(MixConfig((other, corpora["own"]))).manifest.identity["model"]["vocab_size"] == padded.vocab_size


def test_two_inputs_of_one_name_are_told_apart(corpora: dict[str, Path], maker: Maker, tmp_path: Path) -> None:
    other = maker.write(tmp_path / "own", {"train": maker.documents(9, 30), "test": maker.documents(8, 20)})
    result = mix(MixConfig((corpora["own"], other), out=tmp_path / "out"))
    assert {str(document.doc_id).split("/")[0] for document in read(result.folder)} == {"own", "own#2"}
    assert len({document.doc_id for document in read(result.folder)}) == result.manifest.rows()


# The command line.


def call(*arguments: Any) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_commands_as_typed(corpora: dict[str, Path], tmp_path: Path) -> None:
    own, web = (shutil.copytree(corpora[name], tmp_path / name) for name in ("own", "web"))
    for arguments, name in (
        (("mix", own, web), "mix-own-web"),
        (("mix", own, web, "--weights", "3,1", "--tokens", "0.2k"), "mix-own-web-3-1-200"),
        (("shuffle", own), "own-shuffled"),
        (("shuffle", own, "--seed", 5), "own-shuffled-s5"),
        (("dedup", own), "own-dedup"),
        (("subsample", web, "--tokens", "0.5k"), "web-sub-500"),
        (("subsample", web, "--like", own), "web-like-own"),
    ):
        result = call(*arguments)
        assert result.exit_code == 0, result.stderr
        assert result.stderr.splitlines()[-1] == f"Next: faithful corpus stats {tmp_path / name}"
        assert "train" in result.stdout
        assert "Next:" not in result.stdout
        assert read_manifest(tmp_path / name).kind == "derived"
    weighed = read_manifest(tmp_path / "mix-own-web-3-1-200")
    assert weighed.identity["derivation"]["weights"] == [3.0, 1.0]
    answer = json.loads(call("shuffle", own, "--json").stdout)
    assert answer["folder"] == str(tmp_path / "own-shuffled")
    assert answer["changed"] is False
    assert answer["tokens"] == {split: read_manifest(own).tokens(split) for split in SPLITS}
    wrong = call("subsample", own, "--tokens", "many")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("Error: 'many' is not a positive whole number")


def test_without_a_folder_the_run_s_corpora_are_meant(
    corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "runs" / "r" / "corpora"
    shutil.copytree(corpora["own"], home / "own")
    assert call("shuffle", "--run", "r").exit_code == 0
    assert (home / "own-shuffled" / "corpus.json").exists()
    assert call("dedup", "--run", "r").exit_code == 0
    assert call("mix", "--run", "r").exit_code == 2
    shutil.copytree(corpora["web"], home / "web")
    several = call("shuffle", "--run", "r")
    assert several.exit_code == 2
    assert "own, web" in several.stderr
    mixed = call("mix", "--run", "r")
    assert mixed.exit_code == 0
    assert mixed.stderr.splitlines()[0] == f"Corpora: {Path('runs/r/corpora/own')}, {Path('runs/r/corpora/web')}"
    assert (home / "mix-own-web" / "corpus.json").exists()

"""Parts, joined: the bytes of one run, or a sentence that names what is wrong."""

import math
import random
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.cli import app
from faithful.store.corpus import Shard, read_manifest, write_manifest
from faithful.store.corpus_part import read_part
from generation.configs.generate import JoinConfig
from generation.own import generate as generating
from generation.own.generate import generate
from generation.own.join import _Join, join
from tests.command import lasting_bytes
from tests.generation.own.parts import config, draw_here, make_part

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generating, "draw_all", draw_here)


def joined(out: Path, *parts: Path) -> Path:
    return join(JoinConfig(parts, out, certify_tokens=300)).folder


def what_is_lacking(out: Path, *parts: Path) -> str:
    with pytest.raises(FaithfulError, match="lack the shards") as caught:
        joined(out, *parts)
    assert not out.exists(), "before work"
    return str(caught.value)


def may_lack(out: Path, *parts: Path) -> str:
    """Join them; what is lacking, or '' where nothing is."""
    try:
        joined(out, *parts)
    except FaithfulError as error:
        assert "lack the shards" in str(error)
        return str(error)
    return ""


def do_what_is_printed(sentence: str) -> None:
    """Run the commands that a refusal prints."""
    for line in re.findall("`(faithful .*?)`", sentence):
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, done.output


def join_many(tmp_path: Path, of: int, tokens: int, seed: int) -> None:
    whole = generate(config(tmp_path / "one" / "own", tokens)).folder
    draw, parts = random.Random(seed), []
    order = draw.sample(range(of), of)
    for number in order[:-1]:
        parts.append(make_part(tmp_path / "parts" / str(number), f"{number}/{of}", tokens=tokens))
    for number in order[:2]:
        parts.append(Path(shutil.copytree(tmp_path / "parts" / str(number), tmp_path / "again" / str(number))))
    draw.shuffle(parts)
    out = tmp_path / "joined" / "own"
    sentence = what_is_lacking(out, *parts)
    assert f"--part {order[-1]}/{of}" in sentence, sentence
    do_what_is_printed(sentence)
    beside = parts[0].parent / f"own-{order[-1]}-of-{of}"
    while sentence := may_lack(
        out, *parts, beside
    ):  # a part of few samples may judge wrongly: it makes what is printed
        do_what_is_printed(sentence)
    assert lasting_bytes(out) == lasting_bytes(whole), "certificate, card and manifest too"
    assert not join(JoinConfig((*parts, beside), out)).changed


def test_parts_in_any_order_give_the_bytes_of_one_run(tmp_path: Path) -> None:
    join_many(tmp_path, 4, 700, 1)


@pytest.mark.slow
def test_sixteen_parts_give_the_bytes_of_one_run(tmp_path: Path) -> None:
    join_many(tmp_path, 16, 4000, 2)


@pytest.mark.slow
def test_a_part_that_made_too_few_makes_what_is_printed(tmp_path: Path) -> None:
    whole = generate(config(tmp_path / "one" / "own")).folder
    few = [make_part(tmp_path / str(number), f"{number}/2", (5, 1)) for number in (0, 1)]
    sentence = what_is_lacking(tmp_path / "joined" / "own", *few)
    assert sentence.count("--part") == 2
    do_what_is_printed(sentence)
    made = {shard.file for folder in few for shard in read_part(folder).shards["train"]}
    out = joined(tmp_path / "joined" / "own", *few)
    needed = {shard.file for shard in read_manifest(whole).shards["train"]}
    assert needed <= made and len(made) <= len(needed) + 2
    assert lasting_bytes(out) == lasting_bytes(whole)
    grown = [make_part(folder, f"{number}/2", tokens=1400) for number, folder in enumerate(few)]
    larger = generate(config(whole, 1400)).folder
    joined(out, *grown)
    assert lasting_bytes(out) == lasting_bytes(larger), "a joined corpus grows"


@pytest.mark.parametrize("wanted", [300, 10**6])
def test_how_many_shards_there_are_is_said_whatever_the_lengths_are(wanted: int) -> None:
    skewed = Shard("data/part-00000.parquet", 0, 50, 1170, 1, "s", {"lengths": {"3": 49, "1023": 1}})
    job = SimpleNamespace(first=SimpleNamespace(identity={"engine": {"shard_rows": 50}}))
    found = {0: [(Path(), skewed)]}
    assert _Join._size(job, found, found, wanted) == math.ceil(wanted / 1170)  # type: ignore[arg-type]


@pytest.mark.slow
def test_what_is_damaged_beyond_the_parts_is_refused(tmp_path: Path) -> None:
    few = [make_part(tmp_path / f"few-{number}-of-2", f"{number}/2") for number in (0, 1)]
    many = [make_part(tmp_path / f"many-{number}-of-2", f"{number}/2", tokens=1400) for number in (0, 1)]
    assert "many-1-of-2 " in what_is_lacking(tmp_path / "own", many[0]), "named as its sibling is"
    out = joined(tmp_path / "own", *many)
    (out / read_manifest(out).shards["train"][-1].file).write_bytes(b"")
    with pytest.raises(
        FaithfulError, match=r"part-\d+.parquet is missing or damaged, and these parts were asked for fewer"
    ):
        joined(out, *few)
    assert join(JoinConfig(tuple(many), out, certify_tokens=300)).changed
    assert not join(JoinConfig(tuple(few), out, certify_tokens=300)).changed


@pytest.mark.slow
def test_bad_parts_are_refused_by_name(tmp_path: Path) -> None:
    parts = [make_part(tmp_path / str(number), f"{number}/2") for number in (0, 1)]
    out = tmp_path / "own"
    other = make_part(tmp_path / "other", "1/2", seed=8)
    with pytest.raises(FaithfulError, match=r"other is a part of another corpus than .*0: seed 8, not 7"):
        joined(out, parts[0], other)
    with pytest.raises(FaithfulError, match="no part of a corpus"):
        joined(out, *parts, tmp_path / "nowhere")
    twin = Path(shutil.copytree(parts[1], tmp_path / "twin"))
    manifest = read_part(twin)
    manifest.shards["train"][0] = replace(manifest.shards["train"][0], sha256="0" * 64)
    write_manifest(twin, manifest)
    with pytest.raises(FaithfulError, match=r"1 and .*twin hold different samples in shard 1 of `train`"):
        joined(out, *parts, twin)
    shutil.rmtree(twin)
    shutil.copytree(parts[1], twin)
    shard = twin / read_part(twin).shards["train"][0].file
    shard.write_bytes(b"")
    joined(tmp_path / "with a twin", *parts, twin)
    with pytest.raises(FaithfulError, match="missing or damaged"):
        joined(out, parts[0], twin)
    assert not out.exists()
    with pytest.raises(FaithfulError, match="holds a part"):
        joined(parts[0], *parts)

"""A flipped bit in a shard that Parquet's readers take for other tokens is noticed wherever shards are read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faithful.base.errors import FaithfulError
from faithful.store.corpus import Corpus, read_manifest
from faithful.store.token_rows import TokenRows
from generation.cards.parts import sample_texts
from generation.configs.derive import ShuffleConfig, SubsampleConfig
from generation.configs.export import ExportConfig
from generation.derived.shuffle import shuffle
from generation.derived.subsample import subsample
from generation.writing.export import export
from generation.writing.train_test_duplicates import train_test_duplicates
from studies.probes.overlap import overlaps
from studies.runs.bundles import corpus_files, open_finished
from tests.faithful.hub.things import own_corpus, spec

READERS: dict[str, Callable[[Path, Path], Any]] = {
    "export": lambda corpus, out: export(ExportConfig(corpus, 32, out=out / "export")),
    "train and study": lambda corpus, out: TokenRows(Corpus(corpus), spec(), 32, "packed", "train"),
    "shuffle": lambda corpus, out: shuffle(ShuffleConfig(corpus, out=out / "shuffled")),
    "subsample": lambda corpus, out: subsample(SubsampleConfig(folder=corpus, tokens=300, out=out / "part")),
    "near duplicates": lambda corpus, out: train_test_duplicates(Corpus(corpus)),
    "card": lambda corpus, out: sample_texts(Corpus(corpus), 2),
    "overlap": lambda corpus, out: overlaps(Corpus(corpus), [([], [])]),
    "publish": lambda corpus, out: corpus_files(open_finished(corpus), "", corpus),
}


@pytest.fixture(scope="module")
def flipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus one bit of whose first shard is flipped, so that pyarrow reads other tokens from it and sees nothing."""
    folder = own_corpus(tmp_path_factory.mktemp("flipped") / "own", shards=2)
    path = folder / read_manifest(folder).shards["train"][0].file
    content, expected = path.read_bytes(), pq.read_table(path)["token_ids"]
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            if not pq.read_table(path)["token_ids"].equals(expected):
                return folder
        except (OSError, pa.ArrowException):
            continue
    raise AssertionError("no such bit")


@pytest.mark.parametrize("name", READERS)
def test_other_tokens_are_never_read_in_silence(flipped: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(FaithfulError, match=r"part-00000\.parquet.* is missing or damaged") as caught:
        READERS[name](flipped, tmp_path)
    assert "\n" not in str(caught.value)

"""Which engine drew which rows: the last segment that begins at or before them, repairs aside."""

from typing import Any

from faithful.store.corpus import Manifest, Shard
from generation.own.segments import note_repair, open_segment


def manifest(*segments: dict[str, Any], rows: int = 0) -> Manifest:
    shard = Shard("data/part-00000.parquet", 0, rows, 5 * rows, 1, "0" * 64, {})
    made = Manifest("own", "own", {}, {}, {"train": 0, "test": 0}, segments=list(segments))
    made.shards = {"train": [shard] if rows else [], "test": []}
    return made


def test_a_segment_begins_behind_what_is_there() -> None:
    made = manifest({"train": 0, "test": 0, "engine": {"name": "a"}}, rows=30)
    open_segment(made, {"name": "b"})
    assert made.segments[-1] == {"train": 30, "test": 0, "engine": {"name": "b"}}


def test_rows_drawn_again_before_the_segment_are_named_once_and_no_others() -> None:
    made = manifest({"train": 0, "test": 0, "engine": {}}, {"train": 25, "test": 0, "engine": {}})

    def shard(first: int) -> Shard:
        return Shard("data/x.parquet", first, 10, 1, 1, "0" * 64, {})

    for first in (0, 20, 0, 30):
        note_repair(made, "train", shard(first))
    assert made.segments[-1]["repaired"] == {"train": [[0, 10], [20, 25]]}
    assert "repaired" not in made.segments[0]

"""Which shards a part makes, and what is no part."""

import math
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.quantities import Part
from faithful.store.corpus import PART, Shard
from faithful.store.corpus_part import read_part
from faithful.store.shard_files import EncodedShard
from generation.own import generate as generating
from generation.own.generate import generate
from generation.own.part import Lengths, PartSchedule, PartWish
from generation.sampling.engine import EngineSettings
from tests.generation.own.parts import config, draw_here, make_part
from tests.generation.own.test_schedule import ROWS, length, prefix

SETTINGS = EngineSettings("transformers", "cpu", 1, 8, ROWS, True)


def shard_of(number: int) -> Shard:
    lengths = [length(index) for index in range(number * ROWS, (number + 1) * ROWS)]
    counts = {str(one): lengths.count(one) for one in lengths}
    return Shard(f"data/part-{number:05d}.parquet", number * ROWS, ROWS, sum(lengths), 1, "s", {"lengths": counts})


def drawn(place: Part, wanted: int, shards: int | None = None, seen: tuple[Shard, ...] = ()) -> list[int]:
    """Numbers of the shards that a part makes."""
    schedule = PartSchedule("train", PartWish(place), wanted, shards, seen, "train", 7, SETTINGS, [], [], [], 6.0)
    while not schedule.done:
        if work := schedule.next_range():
            assert [request.index // ROWS for request in work.requests] == [schedule.shard_number(work.shard)] * ROWS
            schedule.add(work.shard, {request.index: length(request.index) for request in work.requests})
        while told := schedule.to_make():
            assert told[1] == ROWS, "shards of parts are not cut"
            schedule.take(told[0], EncodedShard(shard_of(schedule.shard_number(told[0])), b""))
        while whole := schedule.whole():
            assert whole[2] == ROWS, "shards of parts are not cut"
            schedule.commit(whole[0], whole[1].shard)
    return [shard.first // ROWS for shard in schedule.shards]


@pytest.mark.parametrize(("of", "wanted"), [(1, 900), (2, 3000), (5, 5000), (16, 20_000), (16, 100)])
def test_parts_make_all_that_the_corpus_needs_and_little_more(of: int, wanted: int) -> None:
    needed = math.ceil(len(prefix(wanted)) / ROWS)
    made = [drawn(Part(number, of), wanted) for number in range(of)]
    assert all(shards == list(range(number, number + of * len(shards), of)) for number, shards in enumerate(made))
    assert set(range(needed)) <= set().union(*made)
    spare = [sum(number >= needed for number in shards) for shards in made]
    assert max(spare) <= max(2, 0.6 * needed / of), spare


def test_parts_that_are_told_the_number_of_shards_make_exactly_these() -> None:
    assert [drawn(Part(number, 3), 10**9, 7) for number in range(3)] == [[0, 3, 6], [1, 4], [2, 5]]
    assert drawn(Part(2, 3), 10**9, 2) == []


def test_held_out_samples_are_judged_by_those_of_the_training_split() -> None:
    seen = tuple(shard_of(number) for number in range(40))
    assert [drawn(Part(number, 4), 60, None, seen) for number in range(4)] == [[0], [1], [2], []]


SKEWED = Shard("data/part-00000.parquet", 0, 50, 49 * 3 + 1023, 1, "s", {"lengths": {"3": 49, "1023": 1}})
"""Of samples so different that 50 of them say nothing of many others for certain."""


@pytest.mark.parametrize("of", [1, 4])
def test_a_part_ends_whatever_the_lengths_are(of: int) -> None:
    settings = replace(SETTINGS, shard_rows=50)
    schedule = PartSchedule("test", PartWish(Part(0, of)), 5000, None, [SKEWED], "eval", 7, settings, [], [], [], 23.4)
    while not schedule.done and len(schedule.shards) < 1000:
        schedule.shards.append(SKEWED)
    assert len(schedule.shards) * of * SKEWED.tokens >= 5000 and len(schedule.shards) < 100


def test_no_more_shards_are_open_than_the_mean_says() -> None:
    for seen in ([], [SKEWED]):
        settings = replace(SETTINGS, shard_rows=50)
        schedule = PartSchedule("train", PartWish(Part(0, 4)), 9000, None, seen, "train", 7, settings, [], [], [], 23.4)
        assert sum(schedule.next_range() is not None for _ in range(50)) == 2, "0 and 4 of 8 shards"


def test_the_estimate_holds_but_for_four_standard_deviations() -> None:
    draw = random.Random(3)
    low = 0
    for _ in range(400):
        some = [shard_of(draw.randrange(10**6)) for _ in range(4)]
        others = sum(shard_of(draw.randrange(10**6)).tokens for _ in range(6))
        seen = Lengths.of(some)
        low += seen is None or others < seen.at_least(6 * ROWS)
    assert low == 0


def test_lengths_are_counted_once_for_each_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not again each time that someone asks what is to be drawn."""
    counted, of = [], Lengths.of
    monkeypatch.setattr(Lengths, "of", lambda shards: counted.append(len(shards)) or of(shards))
    settings = replace(SETTINGS, shard_rows=50)
    schedule = PartSchedule("train", PartWish(Part(0, 4)), 9000, None, [SKEWED], "train", 7, settings, [], [], [], 23.4)
    for _ in range(5):
        assert [schedule.done for _ in range(9)] == [False] * 9
        schedule.shards.append(SKEWED)
    assert counted == [1, 2, 3, 4, 5]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generating, "draw_all", draw_here)


@pytest.mark.usefixtures("here")
def test_a_part_is_resumed_grown_and_repaired_as_a_corpus_is(tmp_path: Path) -> None:
    folder = make_part(tmp_path / "part", "1/3")
    files = {path: path.read_bytes() for path in folder.rglob("*.parquet")}
    assert not generate(config(folder), part=PartWish(Part(1, 3))).changed, "nothing to do"
    (folder / read_part(folder).shards["train"][1].file).write_bytes(b"")
    shutil.copytree(folder, tmp_path / "damaged")
    assert generate(config(folder), part=PartWish(Part(1, 3))).changed
    assert {path: path.read_bytes() for path in folder.rglob("*.parquet")} == files
    grown = make_part(folder, "1/3", tokens=1400)
    fresh = make_part(tmp_path / "fresh", "1/3", tokens=1400)
    assert read_part(grown).shards == read_part(fresh).shards
    assert len(read_part(grown).shards["train"]) > len(list((tmp_path / "damaged" / "data").iterdir()))


@pytest.mark.usefixtures("here")
def test_what_is_no_part_is_refused_before_work(tmp_path: Path) -> None:
    folder = make_part(tmp_path / "part", "1/3", shards=(2, 0))
    with pytest.raises(FaithfulError, match="holds part 1/3, not 0/3"):
        make_part(folder, "0/3")
    with pytest.raises(FaithfulError, match="holds a part of a corpus"):
        generate(config(folder))
    with pytest.raises(FaithfulError, match="temperature"):
        make_part(folder, "1/3", temperature=0.5)
    with pytest.raises(FaithfulError, match="one engine"):
        make_part(folder, "1/3", accept_engine_change=True)
    (folder / PART).rename(folder / "corpus.json")
    with pytest.raises(FaithfulError):
        make_part(folder, "1/3")

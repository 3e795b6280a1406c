"""Which texts are held out when a source is cut into passages."""

import hashlib

import numpy as np
import pytest

from generation.sources.held_out import choose_held_out, side_of_text


def known(sizes: list[int], *, equal: tuple[int, ...] = ()) -> dict[str, tuple[str, int]]:
    """Texts by name; those in `equal` have one content."""
    hashes = ["same" if place in equal else str(place) for place in range(len(sizes))]
    return {f"t{place}": (hashlib.sha256(hashes[place].encode()).hexdigest(), size) for place, size in enumerate(sizes)}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("share", [1 / 8, 1 / 4])
def test_some_of_two_and_never_all_and_no_more_than_the_share_where_that_is_possible(seed: int, share: float) -> None:
    draw = np.random.default_rng(seed)
    sizes = (10 ** draw.uniform(1, 6, draw.integers(2, 60))).astype(int).tolist()
    texts = known(sizes)
    chosen = choose_held_out(texts, share)
    held = sum(texts[name][1] for name in chosen)
    assert 0 < len(chosen) < len(texts)
    assert chosen == tuple(sorted(chosen))
    assert held <= share * sum(sizes) or chosen == (min(texts, key=lambda name: texts[name][1]),)
    names = list(texts)
    draw.shuffle(names)
    assert choose_held_out({name: texts[name] for name in names}, share) == chosen
    renamed = choose_held_out({f"x{name}": texts[name] for name in texts}, share)
    assert renamed == tuple(f"x{name}" for name in chosen), "what a file is called does not matter"


def test_equal_texts_go_together_and_empty_ones_count_for_nothing() -> None:
    for size in range(1, 40):
        chosen = set(choose_held_out(known([size] * 10, equal=(2, 5, 7))))
        assert not chosen & {"t2", "t5", "t7"} or chosen >= {"t2", "t5", "t7"}
    assert choose_held_out(known([100])) == choose_held_out(known([100, 0])) == choose_held_out({}) == ()
    assert choose_held_out(known([50, 50], equal=(0, 1))) == ()
    assert choose_held_out(known([100, 3, 0])) == ("t1",)


def test_an_eighth_of_many_texts_falls_on_the_side_of_the_tests_by_what_they_say() -> None:
    sides = [side_of_text(f"text {number}", f"name {number}", ()) for number in range(8000)]
    assert abs(sides.count("test") - 1000) < 120
    assert sides == [side_of_text(f"text {number}", "another name", ()) for number in range(8000)]
    assert side_of_text("anything", "a", ("a", "b")) == "test"
    assert side_of_text("anything", "c", ("a", "b")) == "train"

"""The look of figures."""

from studies.common.drawing import FIXED, PALETTE, colours


def test_a_corpus_has_one_colour_in_every_figure() -> None:
    """Whatever stands beside it, and in whatever order."""
    whole = colours(["own", "stdlib", "prose", "letters"])
    for names in (["prose", "own"], ["letters", "stdlib"], ["stdlib"], ["own", "letters", "prose"]):
        assert {name: whole[name] for name in names} == colours(names)


def test_no_two_of_a_figure_are_alike_while_there_are_colours() -> None:
    names = [f"corpus {place}" for place in range(len(PALETTE))]
    assert len(set(colours(names).values())) == len(PALETTE)
    assert len(set(colours(["own", *names[:9]]).values())) == 10
    assert len(colours([f"corpus {place}" for place in range(30)])) == 30, (
        "more corpora than colours still get one each"
    )


def test_recipes_corpora_differ_where_they_meet() -> None:
    for together in (("own", "stdlib", "prose", "noise"), ("own", "fineweb", "pile", "flan")):
        assert len({FIXED[name] for name in together}) == 4

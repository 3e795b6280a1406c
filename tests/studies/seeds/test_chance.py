"""Whether SAEs share more than chance gives."""

from studies.report.answer import verdicts
from studies.report.readable import in_words
from studies.seeds.chance import at_chance, floor_notes


def test_shared_features_no_better_than_chance_are_said_to_be_so() -> None:
    ratio = {"value": 0.02, "ci95": [0.005, 0.03], "seeds": 6}
    corpora = {"own": {"shared_feature_ratio": ratio, "floor_init": 0.01}, "b": {"shared_feature_ratio": ratio}}
    said = floor_notes({"corpora": corpora})[0]
    assert said.startswith("The shared feature ratio of own (0.0200; floor_init 0.0100) is not above what chance gives")
    assert "a comparison says little" in said, "b has no floor"
    corpora["own"]["floor_init"] = 0.001
    assert floor_notes({"corpora": corpora}) == []


def test_the_first_thing_said_is_that_chance_gives_as_much() -> None:
    ratio = {"value": 0.0, "ci95": [0.0, 0.0], "seeds": 6}
    corpora = {name: {"shared_feature_ratio": ratio, "floor_random": 0.0, "floor_init": 0.002} for name in ("own", "b")}
    (said,) = floor_notes({"corpora": corpora})
    assert said.startswith(
        "The shared feature ratio of own (0.0000; floor_init 0.0020) and b (0.0000; floor_init 0.0020) is not above what"
        " chance gives"
    )
    assert "nothing to compare" in said and "hardly trained" in said
    assert verdicts("seeds", {"corpora": corpora, "contrasts": []})[0].sentence == in_words(said)
    corpora["b"] = corpora["b"] | {"shared_feature_ratio": {"value": 0.4, "ci95": [0.3, 0.5], "seeds": 6}}
    assert at_chance(corpora) == ["own"] and "a comparison says little" in floor_notes({"corpora": corpora})[0]
    two_seeds = {"own": {"shared_feature_ratio": {"value": 0.001, "ci95": None, "seeds": 2}, "floor_random": 0.0015}}
    assert at_chance(two_seeds) == ["own"] and at_chance({"own": {"shared_feature_ratio": ratio}}) == []


def test_a_floor_of_few_directions_is_explained() -> None:
    ratio = {"value": 0.013, "ci95": [0.007, 0.019], "seeds": 6}
    own = {"shared_feature_ratio": ratio, "floor_covariance": 0.76, "floor_init": 0.0}
    said = floor_notes({"corpora": {"own": own, "b": own | {"floor_covariance": 0.014}}})
    assert "floor_covariance 0.7600" in said[0] and len(said) == 2
    assert "the activations of own share so much since few directions hold most of the variance" in said[1]

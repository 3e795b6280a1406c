"""Whether SAEs share more than chance gives."""

from studies.seeds.chance import floor_notes


def test_shared_features_no_better_than_chance_are_said_to_be_so() -> None:
    ratio = {"value": 0.02, "ci95": [0.005, 0.03], "seeds": 6}
    corpora = {"own": {"shared_feature_ratio": ratio, "floor_init": 0.01}, "b": {"shared_feature_ratio": ratio}}
    said = floor_notes({"corpora": corpora})[0]
    assert said.startswith("The shared feature ratio of own (0.0200, by chance 0.0100) is not above what chance gives")
    assert "a comparison says little" in said, "b has no floor"
    corpora["own"]["floor_init"] = 0.001
    assert floor_notes({"corpora": corpora}) == []

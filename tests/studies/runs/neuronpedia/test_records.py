"""Names at Neuronpedia."""

from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.hooks.hook import Hook
from faithful.store.saes import TrainedSae, read_sae
from studies.browse.reading import Pages, Shown
from studies.runs.neuronpedia.records import (
    check_model_id,
    check_set_name,
    explanations,
    feature,
    is_silent,
    model_id,
    set_names,
    slug,
)
from tests.studies.random_saes import write_recorded


def recorded(saes: Path, corpus: str, seed: int, **more: Any) -> TrainedSae:
    return read_sae(write_recorded(saes, corpus, seed, 16, 32, **more), saes)


class TwoTokens(Pages):
    """Pages of one context of two tokens, of which the server takes neither as it is."""

    def __init__(self) -> None:
        self.strings = {0: "a\0b", 1: ""}

    def shown(self, context: Any, largest: float) -> Shown:
        return Shown(0, ["a\0b", ""], [1.0, 0.0])


def test_tokens_that_the_server_does_not_take_are_replaced() -> None:
    record = {"max": 1.0, "top": [(0, 1, "")], "fifths": [], "up": [[0, 1], [0.5, 0.25]], "down": [[1], [-1.0]]}
    made = feature(TwoTokens(), 3, record, 0.1, None)
    assert made["explanations"] == []
    assert made["activations"][0]["tokens"] == ["a␀b", "∅"]
    assert made["topLogits"] == [{"token": "a␀b", "value": 0.5}, {"token": "∅", "value": 0.25}]
    assert made["bottomLogits"] == [{"token": "∅", "value": -1.0}]


def test_explanations_are_as_the_server_takes_them() -> None:
    said = {"3": " names\n of  towns\0", "4": " \n", "5": "🌊" * 300, "6": "x" * 512}
    made = explanations(said, "by hand")
    assert made.keys() == {3, 5, 6} and made[6]["text"] == said["6"]
    assert made[3] == {"text": "names of towns␀", "methodName": "by hand", "modelName": None}
    assert made[5]["text"] == "🌊" * 255 + "…", "as the server counts, 511 characters"


def test_a_latent_without_contexts_is_silent() -> None:
    assert is_silent({"top": [], "fifths": [[], []]}) and not is_silent({"top": [(0, 1, "")], "fifths": []})


def test_sets_are_called_by_run_corpus_hook_width_and_seed(tmp_path: Path) -> None:
    saes = [recorded(tmp_path, "own", 0), recorded(tmp_path, "The web_2", 3)]
    assert set_names(saes, "demo") == ["demo-own-res-32-s0", "demo-the-web-2-res-32-s3"]


def test_where_that_is_not_enough_their_shape_tells_them_apart(tmp_path: Path) -> None:
    saes = [recorded(tmp_path, "own", 0, k=k) for k in (4, 8)]
    names = set_names([*saes, recorded(tmp_path, "own", 1)], "demo")
    assert names == ["demo-own-resid-pre-1-f32-k4-s0", "demo-own-resid-pre-1-f32-k8-s0", "demo-own-res-32-s1"]
    with pytest.raises(FaithfulError, match="Two SAEs would both be called demo-own-resid"):
        set_names([saes[0], saes[0]], "demo")


def test_an_sae_of_no_known_layer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sae = recorded(tmp_path, "own", 0)
    monkeypatch.setattr(TrainedSae, "hook", property(lambda self: None))
    with pytest.raises(FaithfulError, match=r"layer that .* reads is not known"):
        set_names([sae], "demo")
    monkeypatch.setattr(TrainedSae, "hook", property(lambda self: Hook(3, "mlp_out")))
    assert set_names([sae], "demo") == ["demo-own-mlp-32-s0"]


def test_names_are_of_small_letters_digits_and_hyphens() -> None:
    assert [slug(text) for text in ("A  b_c", "-é-x.", "")] == ["a-b-c", "x", ""]
    assert [model_id(name) for name in ("google/Gemma-2-2b", "models/x.1/", "?")] == ["gemma-2-2b", "x.1", "model"]
    assert slug("a..b") == "a.b"


def test_names_keep_the_servers_rules(tmp_path: Path) -> None:
    assert set_names([recorded(tmp_path, "own", 0)], "x. y") == ["x-y-own-res-32-s0"]
    for name in ("gpt2-small", "x.1"):
        check_model_id(name)
    for name in ("GPT2", "2-b", "x", "a--b", "a..b", "a" * 33, "a-"):
        with pytest.raises(FaithfulError, match="state --model-id"):
            check_model_id(name)
    with pytest.raises(FaithfulError, match="begins with a letter; state --name"):
        check_set_name("2026-try-own")

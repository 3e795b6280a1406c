"""Presets hold the paper's settings, and a model is found under every name it goes by."""

import math

import pytest

from faithful.models.presets import DEFAULT_CONTEXT, called, find_preset, presets, sae_defaults, tiny_path

# The design's table: model, layer, d_sae, k, lr, context, tokens (gemma: the upper end of its range).
PAPER = [
    ("gpt2", 8, 12_288, 16, 3e-4, 128, 100_000_000),
    ("pythia-1.4b", 18, 14_336, 48, 2e-4, 512, 72_000_000),
    ("pythia-2.8b", 24, 15_360, 64, 1e-4, 512, 80_000_000),
    ("gemma-2-2b", 20, 18_432, 64, 3e-4, 1024, 40_000_000),
    ("Llama-3.2-1B", 12, 14_336, 48, 2e-4, 512, 100_000_000),
    ("Llama-3.2-3B", 21, 18_432, 64, 1e-4, 512, 100_000_000),
    ("Llama-3.1-8B", 24, 16_384, 80, 6e-5, 512, 150_000_000),
]
BY_RULE = {
    "70m": (6, 512),
    "160m": (12, 768),
    "410m": (24, 1024),
    "1b": (16, 2048),
    "6.9b": (32, 4096),
    "12b": (36, 5120),
}
PYTHIAS = ["70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b"]


@pytest.mark.parametrize("row", PAPER, ids=lambda row: row[0])
def test_the_papers_settings(row: tuple[str, int, int, int, float, int, int]) -> None:
    preset = find_preset(row[0])
    assert preset is not None
    assert (preset.layer, preset.d_sae, preset.k, preset.lr, preset.context, preset.tokens) == row[1:]


@pytest.mark.parametrize("size", BY_RULE)
def test_the_other_pythias_follow_the_rule(size: str) -> None:
    layers, width = BY_RULE[size]
    preset = presets()[f"pythia-{size}"]
    assert (preset.shape.layers, preset.shape.d_model) == (layers, width)
    assert (preset.layer, preset.d_sae, preset.k, preset.context) == (round(layers * 2 / 3), 8 * width, 32, 512)
    assert preset.lr == pytest.approx(2e-4 / math.sqrt(8 * width / 16384))


def test_every_pythia_is_there_with_its_hub_id() -> None:
    assert [f"pythia-{size}" for size in PYTHIAS if f"pythia-{size}" not in presets()] == []
    for size in PYTHIAS:
        preset = presets()[f"pythia-{size}"]
        assert preset.source == f"EleutherAI/pythia-{size}"
        assert (preset.licence, preset.family, preset.language) == ("apache-2.0", "pythia", None)


def test_the_rule_for_models_without_a_preset() -> None:
    assert sae_defaults(12, 2048) == (8, 16_384, 32, pytest.approx(2e-4))
    assert DEFAULT_CONTEXT == 512


def test_a_preset_is_called_by_its_name_and_any_other_model_as_it_is_given() -> None:
    assert [called(model) for model in ("openai-community/gpt2", "GPT2", "someone/gpt2x")] == [
        "gpt2",
        "gpt2",
        "someone/gpt2x",
    ]


@pytest.mark.parametrize("name", list(presets()))
def test_a_preset_is_found_by_name_hub_id_and_last_part_in_any_case(name: str) -> None:
    preset = presets()[name]
    names = [name, preset.source]
    if name != "tiny":
        names.append(preset.source.split("/")[-1])
    for form in names:
        for cased in (form, form.upper(), form.lower()):
            assert find_preset(cased) is preset


@pytest.mark.parametrize(
    "name", ["", "pythia", "gpt", "gpt2-medium", "someone/pythia-2.8b-tuned", "./gpt2", "model", "EleutherAI"]
)
def test_other_names_are_no_preset(name: str) -> None:
    assert find_preset(name) is None


def test_the_embedded_model_is_there_and_fits_its_preset() -> None:
    import json

    preset = presets()["tiny"]
    config = json.loads((tiny_path() / "config.json").read_text())
    shape = preset.shape
    assert preset.source == str(tiny_path())
    assert (config["n_layer"], config["n_embd"], config["vocab_size"]) == (shape.layers, shape.d_model, shape.vocab)
    assert config["n_embd"] // config["n_head"] == shape.head_dim >= 32
    assert config["n_positions"] == shape.positions == preset.context == 128
    assert (preset.licence, preset.language) == ("apache-2.0", "en")
    assert sum(path.stat().st_size for path in tiny_path().iterdir()) < 10_000_000


@pytest.mark.parametrize("name", list(presets()))
def test_shapes_are_consistent(name: str) -> None:
    preset = presets()[name]
    assert preset.context <= preset.shape.positions
    assert 0 < preset.layer < preset.shape.layers
    assert preset.shape.params > preset.shape.vocab * preset.shape.d_model
    assert preset.dtype in ("float32", "float16", "bfloat16")

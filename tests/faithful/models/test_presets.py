"""Presets hold the paper's settings, and a model is found under every name it goes by."""

import math
from pathlib import Path

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
PYTHIAS = ["14m", "31m", "70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b"]
OF_PAPER = {name.lower() for name, *_ in PAPER} | {"tiny"}
BY_RULE = [name for name in presets() if name not in OF_PAPER]

# What config.json of each model states (no network here: from public copies and from memory, see docs/models.md): kind,
# hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim, vocab_size, tied,
# max_position_embeddings; and the number of parameters that is published. The two hold each other: a wrong width or number
# of layers gives another number.
CONFIGS = {
    "pythia-14m": ("gpt_neox", 128, 512, 6, 4, 4, 32, 50_304, False, 2_048, 14_067_712),
    "pythia-31m": ("gpt_neox", 256, 1_024, 6, 8, 8, 32, 50_304, False, 2_048, 30_494_720),
    "pythia-70m": ("gpt_neox", 512, 2_048, 6, 8, 8, 64, 50_304, False, 2_048, 70_426_624),
    "pythia-160m": ("gpt_neox", 768, 3_072, 12, 12, 12, 64, 50_304, False, 2_048, 162_322_944),
    "pythia-410m": ("gpt_neox", 1_024, 4_096, 24, 16, 16, 64, 50_304, False, 2_048, 405_334_016),
    "pythia-1b": ("gpt_neox", 2_048, 8_192, 16, 8, 8, 256, 50_304, False, 2_048, 1_011_781_632),
    "pythia-1.4b": ("gpt_neox", 2_048, 8_192, 24, 16, 16, 128, 50_304, False, 2_048, 1_414_647_808),
    "pythia-2.8b": ("gpt_neox", 2_560, 10_240, 32, 32, 32, 80, 50_304, False, 2_048, 2_775_208_960),
    "pythia-6.9b": ("gpt_neox", 4_096, 16_384, 32, 32, 32, 128, 50_432, False, 2_048, 6_857_302_016),
    "pythia-12b": ("gpt_neox", 5_120, 20_480, 36, 40, 40, 128, 50_688, False, 2_048, 11_846_072_320),
    "llama-3.2-1b": ("llama", 2_048, 8_192, 16, 32, 8, 64, 128_256, True, 131_072, 1_235_814_400),
    "llama-3.2-3b": ("llama", 3_072, 8_192, 28, 24, 8, 128, 128_256, True, 131_072, 3_212_749_824),
    "llama-3.1-8b": ("llama", 4_096, 14_336, 32, 32, 8, 128, 128_256, False, 131_072, 8_030_261_248),
    "qwen2.5-0.5b": ("qwen2", 896, 4_864, 24, 14, 2, 64, 151_936, True, 32_768, 494_032_768),
    "qwen2.5-1.5b": ("qwen2", 1_536, 8_960, 28, 12, 2, 128, 151_936, True, 131_072, 1_543_714_304),
    "qwen2.5-3b": ("qwen2", 2_048, 11_008, 36, 16, 2, 128, 151_936, True, 32_768, 3_085_938_688),
    "qwen2.5-7b": ("qwen2", 3_584, 18_944, 28, 28, 4, 128, 152_064, False, 131_072, 7_615_616_512),
    "qwen3-0.6b": ("qwen3", 1_024, 3_072, 28, 16, 8, 128, 151_936, True, 40_960, 596_049_920),
    "qwen3-1.7b": ("qwen3", 2_048, 6_144, 28, 16, 8, 128, 151_936, True, 40_960, 1_720_574_976),
    "qwen3-4b": ("qwen3", 2_560, 9_728, 36, 32, 8, 128, 151_936, True, 40_960, 4_022_468_096),
    "qwen3-8b": ("qwen3", 4_096, 12_288, 36, 32, 8, 128, 151_936, False, 40_960, 8_190_735_360),
    "gemma-3-270m": ("gemma3_text", 640, 2_048, 18, 4, 1, 256, 262_144, True, 32_768, 268_098_176),
    "gemma-3-1b": ("gemma3_text", 1_152, 6_912, 26, 4, 1, 256, 262_144, True, 32_768, 999_885_952),
    "gemma-3-4b": ("gemma3_text", 2_560, 10_240, 34, 8, 4, 256, 262_208, True, 131_072, 4_300_079_472),
    "smollm2-135m": ("llama", 576, 1_536, 30, 9, 3, 64, 49_152, True, 8_192, 134_515_008),
    "smollm2-360m": ("llama", 960, 2_560, 32, 15, 5, 64, 49_152, True, 8_192, 361_821_120),
    "smollm2-1.7b": ("llama", 2_048, 8_192, 24, 32, 32, 64, 49_152, True, 8_192, 1_711_376_384),
    "olmo-2-1b": ("olmo2", 2_048, 8_192, 16, 16, 16, 128, 100_352, False, 4_096, 1_484_916_736),
    "olmo-2-7b": ("olmo2", 4_096, 11_008, 32, 32, 32, 128, 100_352, False, 4_096, 7_298_617_344),
    "mistral-7b": ("mistral", 4_096, 14_336, 32, 32, 8, 128, 32_000, False, 32_768, 7_241_732_096),
    "mistral-7b-v0.3": ("mistral", 4_096, 14_336, 32, 32, 8, 128, 32_768, False, 32_768, 7_248_023_552),
}
IMAGES = {"gemma-3-4b": 419_816_304}
"""Parameters of a tower for images and what joins it to the text (SigLIP, 27 layers of width 1,152)."""


@pytest.mark.parametrize("name", [name for name in presets() if name not in ("tiny", "gpt2", "gemma-2-2b")])
def test_shapes_are_those_of_the_configs(name: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    kind, width, inner, layers, heads, kv, head, vocab, tied, positions, params = CONFIGS[name.removesuffix("-base")]
    config = AutoConfig.for_model(
        kind, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv, head_dim=head, vocab_size=vocab, tie_word_embeddings=tied,
    )  # fmt: skip
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert sum(weight.numel() for weight in model.parameters()) + IMAGES.get(name, 0) == params
    shape = presets()[name].shape
    stated = (shape.params, shape.layers, shape.d_model, shape.kv_heads, shape.head_dim, shape.vocab)
    assert stated == (params, layers, width, kv, head, vocab)
    assert shape.positions == (32_768 if name.endswith("-base") else positions)


@pytest.mark.parametrize("row", PAPER, ids=lambda row: row[0])
def test_the_papers_settings(row: tuple[str, int, int, int, float, int, int]) -> None:
    preset = find_preset(row[0])
    assert preset is not None
    assert (preset.layer, preset.d_sae, preset.k, preset.lr, preset.context, preset.tokens) == row[1:]


@pytest.mark.parametrize("name", BY_RULE)
def test_all_others_follow_the_one_rule(name: str) -> None:
    """As docs/models.md states it, computed here anew."""
    preset = presets()[name]
    layers, d_sae = preset.shape.layers, 8 * preset.shape.d_model
    assert (preset.layer, preset.d_sae, preset.k, preset.context) == (round(layers * 2 / 3), d_sae, 32, 512)
    assert preset.lr == pytest.approx(2e-4 / math.sqrt(d_sae / 16384))
    assert preset.tokens == min(max(10_000_000 * round(d_sae * 5_000 / 1e7), 50_000_000), 150_000_000)


@pytest.mark.parametrize(
    ("typed", "hub"),
    [
        ("qwen3-0.6b", "Qwen/Qwen3-0.6B"),
        ("Qwen3-0.6B-Base", "Qwen/Qwen3-0.6B-Base"),
        ("gemma-3-270m", "google/gemma-3-270m"),
        ("google/gemma-3-1b-pt", "google/gemma-3-1b-pt"),
        ("smollm2-135m", "HuggingFaceTB/SmolLM2-135M"),
        ("olmo-2-1b", "allenai/OLMo-2-0425-1B"),
        ("mistral-7b", "mistralai/Mistral-7B-v0.1"),
        ("pythia-14m", "EleutherAI/pythia-14m"),
    ],
)
def test_names_as_people_type_them(typed: str, hub: str) -> None:
    preset = find_preset(typed)
    assert preset is not None and preset.source == hub


def test_the_page_of_models_names_every_start_and_every_preset() -> None:
    page = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
    for preset in presets().values():
        token, number = preset.start.split(",")[0].split()
        assert f"`{token}` {number}" in page, preset.name
        assert f"`{preset.name.removesuffix('-base')}" in page, preset.name


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


def test_quantised_weights_take_less_and_embedding_and_output_as_much() -> None:
    shape = find_preset("pythia-2.8b").shape  # type: ignore[union-attr]
    full, eight, four = (shape.weight_bytes(2, load) for load in (None, "8bit", "4bit"))
    assert full == 2 * shape.params
    kept = 2 * shape.vocab * shape.d_model
    assert eight == shape.params + kept and kept * 2 < four < eight

"""Models loaded: dtype, attention, shape."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from faithful.activations.quality import Splice
from faithful.base.errors import FaithfulError
from faithful.hooks.hook import Hook
from faithful.hooks.truncated import TruncatedModel
from faithful.models import load
from faithful.models.load import load_model, shape_of
from faithful.models.spec import ModelSpec, resolve_model
from tests.families import FAMILIES, copy_family

Folder = Callable[[str], Path]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_loads_in_its_dtype_without_a_bar(family_folder: Folder, dtype: str, capfd: pytest.CaptureFixture[str]) -> None:
    spec = resolve_model(str(family_folder("llama")), dtype=dtype)
    capfd.readouterr()
    model = load_model(spec, "cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, dtype)}
    assert not model.training
    assert capfd.readouterr().err == ""


def test_gemma2_runs_eagerly_and_caps(family_folder: Folder) -> None:
    spec = resolve_model(str(family_folder("gemma2")))
    model = load_model(spec, "cpu")
    assert model.config._attn_implementation == "eager"
    ids = torch.randint(4, spec.vocab_size, (2, 24), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        capped = model(ids).logits
        model.config.attn_logit_softcapping = None
        for layer in model.model.layers:
            layer.self_attn.attn_logit_softcapping = None
        uncapped = model(ids).logits
        uncapped_sdpa = AutoModelForCausalLM.from_pretrained(spec.source, attn_implementation="sdpa")(ids).logits
    assert capped.abs().max() <= model.config.final_logit_softcapping
    assert (capped - uncapped).abs().max() > 0.1  # the cap matters in this model ...
    assert torch.allclose(uncapped, uncapped_sdpa, atol=1e-4)  # ... and SDPA would have left it out


def test_others_run_through_sdpa(family_folder: Folder) -> None:
    for name in set(FAMILIES) - {"gemma2"}:
        assert load_model(resolve_model(str(family_folder(name))), "cpu").config._attn_implementation == "sdpa"


def test_shape(family: str, family_folder: Folder) -> None:
    spec = resolve_model(str(family_folder(family)))
    shape, model = shape_of(spec), load_model(spec, "cpu")
    assert shape.params == sum(parameter.numel() for parameter in model.parameters())
    assert (shape.layers, shape.head_dim, shape.vocab, shape.positions) == (2, 32, spec.vocab_size, 128)
    assert shape.kv_heads == {"gpt2": 2, "gpt_neox": 2, "llama": 2, "gemma2": 2, "mistral": 1}[family]
    assert shape.d_model == model.config.hidden_size


def test_shape_of_a_folder_named_like_a_preset(family_folder: Folder, tmp_path: Path) -> None:
    folder = copy_family(family_folder("gpt2"), tmp_path / "gpt2")
    assert shape_of(resolve_model(str(folder))).layers == 2


def _told(monkeypatch: pytest.MonkeyPatch, spec: ModelSpec, device: str) -> dict[str, Any]:
    """The options of `from_pretrained` that a model is loaded with; the model itself is `spec`'s as it is."""
    told: dict[str, Any] = {}
    plain = load.load_checkpoint

    def watch(source: str, revision: str | None, **options: Any) -> Any:
        told.update(options)
        return plain(source, revision, dtype=torch.float32)

    monkeypatch.setattr(load, "load_checkpoint", watch)
    monkeypatch.setattr(load, "require_quantising", lambda _: None)
    load_model(spec, device)
    return told


@pytest.mark.parametrize("how", ["8bit", "4bit"])
def test_what_quantises_is_told_so_and_takes_each_token_by_itself(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Columns of outliers, found in all that is computed together, would make a token depend on later ones."""
    told = _told(monkeypatch, replace(resolve_model("tiny"), dtype="bfloat16", load=how), "cpu")
    config = told["quantization_config"]
    assert (config.load_in_8bit, config.load_in_4bit) == (how == "8bit", how == "4bit")
    assert told["device_map"] == {"": "cpu"} and told["dtype"] == torch.bfloat16
    if how == "8bit":
        assert config.llm_int8_threshold == 0
    else:
        assert (config.bnb_4bit_quant_type, config.bnb_4bit_compute_dtype) == ("nf4", torch.bfloat16)
    assert load.quantising(how, "float16", "cuda")["device_map"] == {"": 0}


def test_a_model_as_it_is_is_loaded_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _told(monkeypatch, resolve_model("tiny"), "cpu").keys() == {"dtype", "attn_implementation"}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["8bit", "4bit"])
def test_a_quantised_model_is_causal_and_a_row_the_same_in_any_batch(how: str) -> None:
    pytest.importorskip("bitsandbytes", reason="pip install 'faithful-sae[quantised]'")
    spec = resolve_model("tiny", load=how)
    model, plain = load_model(spec, "cpu"), load_model(resolve_model("tiny"), "cpu")
    weights = {parameter.dtype for parameter in model.parameters()}
    assert weights == {torch.float32, torch.int8 if how == "8bit" else torch.uint8}
    ids = torch.randint(4, spec.vocab_size, (4, 32), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits, alone, before = model(ids).logits, model(ids[:1]).logits, model(ids[:, :16]).logits
        away = (logits - plain(ids).logits).abs().mean()
    assert torch.allclose(logits[:1], alone, atol=1e-4) and torch.allclose(logits[:, :16], before, atol=1e-4)
    assert away > 0.01, "another model"
    read = TruncatedModel(model, Hook(2, "mlp_out"))
    assert read(ids).dtype == torch.float32 and read.dtype == torch.float32


@pytest.fixture
def spread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[ModelSpec], Any]:
    """Loads a model spread by accelerate as `--shard-model` spreads it, over what a CPU has: memory and disk."""
    plain = load.load_checkpoint

    def over(spec: ModelSpec) -> Any:
        layers = range(shape_of(spec).layers)
        places = {f"transformer.h.{number}": "disk" if number % 2 else "cpu" for number in layers}
        ends = ("transformer.wte", "transformer.wpe", "transformer.ln_f", "lm_head")
        monkeypatch.setattr(load, "SHARDED", dict.fromkeys(ends, "cpu") | places)
        monkeypatch.setattr(load, "refuse_offloaded", lambda *_: None)
        monkeypatch.setattr(
            load, "load_checkpoint", lambda *given, **told: plain(*given, **told, offload_folder=str(tmp_path))
        )
        return load_model(replace(spec, sharded=True), "cpu")

    return over


def test_a_spread_model_gives_the_same_activations_to_the_bit(spread: Callable[[ModelSpec], Any]) -> None:
    spec = resolve_model("tiny")
    whole, model = load_model(spec, "cpu"), spread(spec)
    assert {"meta", "cpu"} == {parameter.device.type for parameter in model.parameters()}, "it is spread"
    ids = torch.randint(4, spec.vocab_size, (3, 40), generator=torch.Generator().manual_seed(0))
    at = torch.zeros(3, 40, dtype=torch.bool)
    at[:, 1:-1] = True
    for kind in ("resid_pre", "resid_post", "attn_out", "mlp_out"):
        hook = Hook(3, kind)
        mine, theirs = TruncatedModel(model, hook), TruncatedModel(whole, hook)
        for _ in range(2):  # a pass leaves the model as it was
            assert torch.equal(mine(ids), theirs(ids)) and mine.path == theirs.path
        spliced, plain = Splice(model, hook), Splice(whole, hook)
        assert torch.equal(spliced.clean(ids, at), plain.clean(ids, at))
        assert torch.equal(spliced.activations, plain.activations)
        zeros = torch.zeros_like(plain.activations)
        for _ in range(2):
            assert torch.equal(spliced.replaced(ids, at, zeros), plain.replaced(ids, at, zeros))
    with torch.inference_mode():
        assert torch.equal(model(ids).logits, whole(ids).logits)


def test_what_is_told_of_a_spread_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "refuse_offloaded", lambda *_: None)
    spec = replace(resolve_model("tiny"), sharded=True)
    assert _told(monkeypatch, spec, "cuda")["device_map"] == "balanced"
    told = _told(monkeypatch, replace(spec, load="8bit"), "cuda")
    assert told["device_map"] == "balanced" and told["quantization_config"].load_in_8bit


def test_a_model_that_the_gpus_have_no_room_for_is_refused() -> None:
    load.refuse_offloaded(SimpleNamespace(hf_device_map={"h.0": 0, "h.1": 1}), "big")
    with pytest.raises(FaithfulError, match=r"no room for big: 1 of its 2 parts would lie outside them; use --dtype"):
        load.refuse_offloaded(SimpleNamespace(hf_device_map={"h.0": 0, "h.1": "cpu"}), "big")

"""Files: the real loaders of SAELens, sparsify and dictionary_learning read ours, and we read theirs."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.formats.exports import export_dictionary_learning, export_sparsify
from faithful.formats.files import load_sae, outline_sae, save_sae
from faithful.sae.threshold import ThresholdSAE
from faithful.sae.topk import TopKSAE

METADATA = {
    "model_name": "gpt2-small",
    "hook_name": "blocks.8.hook_resid_pre",
    "context_size": 128,
    "faithful_seed": 3,
    "l0": 3.99,
    "faithful": {"identity": {"corpus": "own", "lr": 3e-4}},
}


def test_sae_lens_loads_what_we_write(sae: TopKSAE, x: Tensor, tmp_path: Path) -> None:
    from sae_lens import SAE

    save_sae(tmp_path / "a" / "seed-3", sae, METADATA, torch.linspace(-9, 0, 50))
    theirs = SAE.load_from_disk(tmp_path / "a" / "seed-3")
    ours = load_sae(tmp_path / "a", "seed-3")
    torch.testing.assert_close(theirs(x), ours.reconstruct(x), rtol=0, atol=1e-5)
    torch.testing.assert_close(theirs.encode(x), ours.encode(x), rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.reconstruct(x), sae.reconstruct(x))
    metadata = theirs.cfg.metadata
    assert metadata.hook_name == "blocks.8.hook_resid_pre"
    assert metadata.model_from_pretrained_kwargs == {"center_writing_weights": False}
    assert (metadata.prepend_bos, metadata.l0, metadata.faithful) == (True, 3.99, METADATA["faithful"])
    assert (ours.hook_name, ours.model_name, ours.k) == ("blocks.8.hook_resid_pre", "gpt2-small", 4)
    assert ours.metadata["layer"] == 8
    theirs.save_model(tmp_path / "again")
    again = load_sae(tmp_path / "again")
    torch.testing.assert_close(again.reconstruct(x), sae.reconstruct(x))
    assert again.metadata["faithful_seed"] == 3


@pytest.mark.parametrize(("threshold", "architecture"), [(0.0, "standard"), (0.7, "jumprelu")])
def test_sae_lens_computes_the_same_codes_above_thresholds(
    threshold: float, architecture: str, sae: TopKSAE, x: Tensor, tmp_path: Path
) -> None:
    """Written as SAELens writes its own batchtopk and standard trainings, and known by what it was trained as."""
    from sae_lens import SAE

    jump = ThresholdSAE(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, torch.full((50,), threshold))
    trained = {"training_architecture": "other", "training_architecture_details": {"k": 16, "rate": 0.5}}
    metadata = METADATA | trained | {"faithful": {"identity": {}, "weights_sha256": jump.sha256()}}
    save_sae(tmp_path / "a", jump, metadata)
    config = json.loads((tmp_path / "a" / "cfg.json").read_text())
    assert config["architecture"] == architecture and "k" not in config
    assert ("threshold" in load_file(tmp_path / "a" / "sae_weights.safetensors")) == (architecture == "jumprelu")
    theirs, ours = SAE.load_from_disk(tmp_path / "a"), load_sae(tmp_path / "a")
    torch.testing.assert_close(theirs.encode(x), jump.encode(x), rtol=0, atol=1e-5)
    assert torch.equal(ours.encode(x), jump.encode(x)) and 0 < (jump.encode(x) > 0).float().mean() < 1
    assert (ours.architecture, ours.k, ours.sha256()) == ("other-k16", None, jump.sha256())
    assert outline_sae(tmp_path / "a").architecture == "other-k16"
    theirs.save_model(tmp_path / "again")
    again = load_sae(tmp_path / "again")
    assert torch.equal(again.encode(x), jump.encode(x)) and again.architecture == "other-k16"
    weights = load_file(tmp_path / "a" / "sae_weights.safetensors")
    weights["threshold" if threshold else "b_enc"][3] += 1e-3
    save_file(weights, tmp_path / "a" / "sae_weights.safetensors")
    with pytest.raises(FaithfulError, match=r"are not those that its cfg\.json was written for"):
        load_sae(tmp_path / "a")


def test_the_folder_is_sae_lens_six(sae: TopKSAE, tmp_path: Path) -> None:
    save_sae(tmp_path, sae, METADATA, torch.linspace(-9, 0, 50))
    config = json.loads((tmp_path / "cfg.json").read_text())
    stated = {name: config[name] for name in ("architecture", "d_in", "d_sae", "k", "dtype")}
    assert stated == {"architecture": "topk", "d_in": 12, "d_sae": 50, "k": 4, "dtype": "float32"}
    assert type(config["k"]) is int
    assert (config["apply_b_dec_to_input"], config["rescale_acts_by_decoder_norm"]) == (True, False)
    assert config["metadata"]["sae_lens_version"] >= "6.0.0"
    assert set(load_file(tmp_path / "sae_weights.safetensors")) == {"W_enc", "b_enc", "W_dec", "b_dec"}
    assert load_file(tmp_path / "sparsity.safetensors")["sparsity"].shape == (50,)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cfg.json", "sae_weights.safetensors", "sparsity.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["topk", "rescaled topk", "standard", "jumprelu", "gated", "gated without pre-bias"])
def test_we_load_what_sae_lens_writes(kind: str, x: Tensor, tmp_path: Path) -> None:
    from sae_lens import (
        GatedSAE,
        GatedSAEConfig,
        JumpReLUSAE,
        JumpReLUSAEConfig,
        StandardSAE,
        StandardSAEConfig,
        TopKSAEConfig,
    )
    from sae_lens import TopKSAE as LensTopK

    shape: dict[str, Any] = {"d_in": 12, "d_sae": 50, "dtype": "float32", "device": "cpu"}
    made: dict[str, Any] = {
        "topk": lambda: LensTopK(TopKSAEConfig(**shape, k=5)),
        "rescaled topk": lambda: LensTopK(TopKSAEConfig(**shape, k=5, rescale_acts_by_decoder_norm=True)),
        "standard": lambda: StandardSAE(StandardSAEConfig(**shape, apply_b_dec_to_input=False)),
        "jumprelu": lambda: JumpReLUSAE(JumpReLUSAEConfig(**shape)),
        "gated": lambda: GatedSAE(GatedSAEConfig(**shape)),
        "gated without pre-bias": lambda: GatedSAE(GatedSAEConfig(**shape, apply_b_dec_to_input=False)),
    }
    theirs = made[kind]()
    generator = torch.Generator().manual_seed(2)
    for name, parameter in theirs.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data = noise.abs() if name == "threshold" else noise
    theirs.cfg.metadata.hook_name = "blocks.3.hook_mlp_out"
    theirs.save_model(tmp_path)
    ours = load_sae(tmp_path)
    torch.testing.assert_close(ours.encode(x) > 0, theirs.encode(x) > 0)
    torch.testing.assert_close(ours.reconstruct(x), theirs(x), rtol=1e-4, atol=1e-4)
    assert 0 < (ours.encode(x) > 0).float().mean() < 1
    assert (ours.hook_name, ours.k) == ("blocks.3.hook_mlp_out", 5 if "topk" in kind else None)


def test_sae_lens_before_six_is_read(sae: TopKSAE, x: Tensor, tmp_path: Path) -> None:
    tensors = {name: getattr(sae, name) for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    tensors["scaling_factor"] = torch.ones(50)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "sae_weights.safetensors")
    config = {
        "architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4}, "d_in": 12, "d_sae": 50,
        "model_name": "gpt2-small", "hook_name": "blocks.2.hook_resid_pre", "normalize_activations": "none",
    }  # fmt: skip
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    ours = load_sae(tmp_path)
    torch.testing.assert_close(ours.reconstruct(x), sae.reconstruct(x))
    assert (ours.hook_name, ours.model_name) == ("blocks.2.hook_resid_pre", "gpt2-small")


def test_sparsify_loads_what_we_write_and_we_what_it_writes(sae: TopKSAE, x: Tensor, tmp_path: Path) -> None:
    from sparsify import SparseCoder

    export_sparsify(sae, tmp_path / "run" / "layers.7")
    flat = x.reshape(-1, 12)
    theirs = SparseCoder.load_many(str(tmp_path / "run"), local=True)["layers.7"]
    torch.testing.assert_close(theirs(flat).sae_out, sae.reconstruct(flat), rtol=0, atol=1e-5)
    assert (theirs.num_latents, theirs.cfg.k) == (50, 4)
    theirs.cfg.num_latents, theirs.cfg.expansion_factor = 50, 4
    theirs.save_to_disk(tmp_path / "other" / "h.3")
    (tmp_path / "other" / "config.json").write_text(json.dumps({"model": "openai-community/gpt2"}))
    ours = load_sae(tmp_path / "other" / "h.3")
    torch.testing.assert_close(ours.reconstruct(flat), theirs(flat).sae_out, rtol=0, atol=1e-5)
    assert (ours.hook_name, ours.model_name, ours.k) == ("blocks.3.hook_resid_post", "openai-community/gpt2", 4)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["W_enc", "b_enc", "W_dec", "b_dec"])
def test_weights_that_are_not_finite_are_not_written(sae: TopKSAE, name: str, value: float, tmp_path: Path) -> None:
    getattr(sae, name)[..., 3] = value
    for write in (lambda: save_sae(tmp_path / "s", sae, {}), lambda: export_sparsify(sae, tmp_path / "s")):
        with pytest.raises(FaithfulError, match=f"{name} of .* not finite"):
            write()
    assert not (tmp_path / "s").exists()


def test_shapes_that_do_not_fit_are_not_written(sae: TopKSAE, tmp_path: Path) -> None:
    sae.b_enc = sae.b_enc[:49]
    with pytest.raises(FaithfulError, match=r"b_enc .* \(49,\)"):
        save_sae(tmp_path / "s", sae, {})
    sae.b_enc, sae.k = torch.zeros(50), 51
    with pytest.raises(FaithfulError, match="k of"):
        export_dictionary_learning(sae, tmp_path / "s")
    sae.k = 4
    with pytest.raises(FaithfulError, match="sparsity"):
        save_sae(tmp_path / "s", sae, {}, torch.zeros(12))
    with pytest.raises(FaithfulError, match="sparsity"):
        save_sae(tmp_path / "s", sae, {}, torch.full((50,), -math.inf))
    with pytest.raises(FaithfulError, match="JSON"):
        save_sae(tmp_path / "s", sae, {"fvu": math.nan})
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "temporal"}, "architecture 'temporal'"),
        ({"architecture": "gated"}, "lack b_gate"),
        ({"architecture": "batchtopk"}, "jumprelu"),
        ({"normalize_activations": "layer_norm"}, "layer_norm"),
        ({"reshape_activations": "hook_z"}, "hook_z"),
        ({"k": 3.5}, "states no whole k"),
        ({"k": 51}, "k of"),
    ],
)
def test_configs_we_cannot_compute_are_refused(
    sae: TopKSAE, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    save_sae(tmp_path, sae, METADATA)
    config = json.loads((tmp_path / "cfg.json").read_text()) | change
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    with pytest.raises(FaithfulError, match=message):
        load_sae(tmp_path)


def test_damaged_or_missing_files_are_refused(sae: TopKSAE, tmp_path: Path) -> None:
    save_sae(tmp_path / "s", sae, METADATA)
    weights = tmp_path / "s" / "sae_weights.safetensors"
    tensors = load_file(weights)
    save_file(tensors | {"b_mag": torch.zeros(50)}, weights)
    with pytest.raises(FaithfulError, match="b_mag"):
        load_sae(tmp_path / "s")
    save_file({name: tensor for name, tensor in tensors.items() if name != "b_enc"}, weights)
    with pytest.raises(FaithfulError, match="lack b_enc"):
        load_sae(tmp_path / "s")
    save_file(tensors | {"b_dec": torch.full((12,), math.nan)}, weights)
    with pytest.raises(FaithfulError, match="not finite"):
        load_sae(tmp_path / "s")
    weights.write_bytes(b"\x00" * 40)
    with pytest.raises(FaithfulError, match="Cannot read"):
        load_sae(tmp_path / "s")
    weights.unlink()
    with pytest.raises(FaithfulError, match="holds no sae_weights"):
        load_sae(tmp_path / "s")
    (tmp_path / "s" / "cfg.json").write_text("[")
    with pytest.raises(FaithfulError, match="Cannot read"):
        load_sae(tmp_path / "s")
    with pytest.raises(FaithfulError, match=r"holds no cfg\.json"):
        load_sae(tmp_path)
    with pytest.raises(FaithfulError, match="no folder"):
        load_sae(tmp_path / "nothing")


def test_transcoders_of_sparsify_are_refused(sae: TopKSAE, tmp_path: Path) -> None:
    export_sparsify(sae, tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text())
    for change, message in [({"transcode": True}, "transcoder"), ({"activation": "groupmax"}, "groupmax")]:
        (tmp_path / "cfg.json").write_text(json.dumps(config | change))
        with pytest.raises(FaithfulError, match=message):
            load_sae(tmp_path)


class TestHub:
    """The Hub's client is asked for the right files; it reads a folder here."""

    @pytest.fixture
    def hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        from huggingface_hub.errors import EntryNotFoundError

        def fetch(repo: str, name: str, revision: str | None = None, repo_type: str = "model") -> str:
            path = tmp_path / repo / (revision or "main") / name
            if not path.exists():
                raise EntryNotFoundError(f"no {name}")
            return str(path)

        monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
        return tmp_path / "user" / "repo"

    def test_both_formats(self, hub: Path, sae: TopKSAE, x: Tensor) -> None:
        save_sae(hub / "main" / "own" / "seed-0", sae, METADATA)
        export_sparsify(sae, hub / "v1" / "layers.2")
        (hub / "v1" / "config.json").write_text('{"model": "some/model"}')
        for place in (("own/seed-0", None), ("layers.2", "v1")):
            found = load_sae("user/repo", place[0], revision=place[1])
            torch.testing.assert_close(found.reconstruct(x), sae.reconstruct(x))
        assert found.model_name == "some/model"

    def test_keys_that_both_formats_have_had_do_not_decide(self, hub: Path, sae: TopKSAE, x: Tensor) -> None:
        """SAELens before version 3 wrote sparsify's `expansion_factor`."""
        folder = hub / "main" / "blocks.8.hook_resid_pre"
        save_sae(folder, sae, METADATA)
        config = json.loads((folder / "cfg.json").read_text())
        (folder / "cfg.json").write_text(json.dumps(config | {"expansion_factor": 32}))
        found = load_sae("user/repo", "blocks.8.hook_resid_pre")
        torch.testing.assert_close(found.reconstruct(x), sae.reconstruct(x))

    def test_refusals(self, hub: Path, sae: TopKSAE) -> None:
        save_sae(hub / "main" / "a", sae, METADATA)
        (hub / "main" / "a" / "sae_weights.safetensors").unlink()
        with pytest.raises(FaithfulError, match="holds no weights"):
            load_sae("user/repo", "a")
        with pytest.raises(FaithfulError, match=r"holds no cfg\.json"):
            load_sae("user/repo")


def test_without_a_network_the_refusal_says_so() -> None:
    with pytest.raises(FaithfulError, match="cannot be reached"):
        load_sae("user/no-such-repo", "seed-0")


def test_the_package_needs_little() -> None:
    """It imports on a machine without the packages of other floors."""
    import subprocess

    absent = ("polars", "datasets", "sae_lens", "vllm", "transformers", "scipy", "pyarrow", "huggingface_hub")
    modules = (
        "formats.files",
        "formats.peers",
        *(f"sae.{name}" for name in ("stack", "topk", "threshold", "config", "sparse", "auxk")),
    )
    lines = [f"import sys; sys.modules.update(dict.fromkeys({absent!r}))"]
    lines += [f"import faithful.{module}" for module in modules]
    subprocess.run([sys.executable, "-c", "; ".join(lines)], check=True, timeout=120)

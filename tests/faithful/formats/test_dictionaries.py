"""dictionary_learning's SAEs are read as its own classes compute them, or refused by name; ours go there and back."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.formats.dictionaries import BESIDE, CLASSES
from faithful.formats.exports import export_dictionary_learning
from faithful.formats.files import load_sae, outline_sae
from faithful.hooks.hook import MODULE, Hook
from faithful.sae.threshold import ThresholdSAE
from faithful.sae.topk import TopKSAE
from faithful.store.saes import find_saes

D_IN, D_SAE, K = 12, 50, 4
TRAINER: dict[str, Any] = {
    "trainer_class": "TopKTrainer", "lr": 2e-4, "steps": 9, "seed": 3, "activation_dim": D_IN, "dict_size": D_SAE, "k": K,
    "device": "cuda:0", "layer": 7, "lm_name": "EleutherAI/pythia-70m", "wandb_name": "w",
    "submodule_name": "resid_post_layer_7",
}  # fmt: skip
BUFFER = {"d_submodule": D_IN, "io": "out", "n_ctxs": 9, "ctx_len": 128, "refresh_batch_size": 1, "out_batch_size": 1,
          "device": "cuda:0"}  # fmt: skip


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + 10 * sum(shape)))


def tensors_of(kind: str) -> dict[str, Tensor]:
    """A state of its class with random numbers; decoder rows have other lengths than 1 where it trains such."""
    linear = {"encoder.weight": noise(D_SAE, D_IN), "encoder.bias": noise(D_SAE), "decoder.weight": noise(D_IN, D_SAE)}
    plain = {"W_enc": noise(D_IN, D_SAE), "b_enc": noise(D_SAE), "W_dec": noise(D_SAE, D_IN), "b_dec": noise(D_IN)}
    counts = {"k": torch.tensor(K, dtype=torch.int32), "threshold": torch.tensor(0.7)}
    if "TopK" in kind:  # unit rows
        linear["decoder.weight"] = linear["decoder.weight"] / linear["decoder.weight"].norm(dim=0)
        plain["W_dec"] = plain["W_dec"] / plain["W_dec"].norm(dim=1, keepdim=True)
    gates = {name: noise(D_SAE, seed=seed) for seed, name in enumerate(("r_mag", "gate_bias", "mag_bias"))}
    return {
        "AutoEncoder": linear | {"bias": noise(D_IN)},
        "AutoEncoderNew": linear | {"decoder.bias": noise(D_IN)},
        "GatedAutoEncoder": {name: linear[name] for name in ("encoder.weight", "decoder.weight")}
        | {"decoder_bias": noise(D_IN)} | gates,
        "JumpReluAutoEncoder": plain | {"threshold": noise(D_SAE).abs()},
        "AutoEncoderTopK": linear | {"b_dec": noise(D_IN)} | counts,
        "BatchTopKSAE": linear | {"b_dec": noise(D_IN)} | counts,
        "MatryoshkaBatchTopKSAE": plain | counts | {"group_sizes": torch.tensor([10, 40])},
    }[kind]  # fmt: skip


def codes(kind: str, s: dict[str, Tensor], x: Tensor) -> Tensor:
    """What the `encode` of its class gives, in the notation of its papers; codes of unit rows."""
    W = s["encoder.weight"].T if "encoder.weight" in s else s["W_enc"]
    norms = s["decoder.weight"].norm(dim=0) if "decoder.weight" in s else s["W_dec"].norm(dim=1)
    if kind == "AutoEncoder":
        return ((x - s["bias"]) @ W + s["encoder.bias"]).relu() * norms
    if kind == "AutoEncoderNew":
        return (x @ W + s["encoder.bias"]).relu() * norms
    if kind == "GatedAutoEncoder":
        inner = (x - s["decoder_bias"]) @ W
        return (inner + s["gate_bias"] > 0) * (s["r_mag"].exp() * inner + s["mag_bias"]).relu() * norms
    if kind == "JumpReluAutoEncoder":
        scores = x @ W + s["b_enc"]
        return scores.relu() * (scores > s["threshold"]) * norms
    scores = ((x - s["b_dec"]) @ W + (s["encoder.bias"] if "encoder.bias" in s else s["b_enc"])).relu()
    if kind == "AutoEncoderTopK":
        best = scores.topk(K, -1)
        return torch.zeros_like(scores).scatter(-1, best.indices, best.values)
    return scores * (scores > s["threshold"])


def written(folder: Path, kind: str = "AutoEncoderTopK", buffer: Any = BUFFER, **trainer: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(tensors_of(kind), folder / "ae.pt")
    config = {"trainer": TRAINER | {"dict_class": kind} | trainer, "buffer": buffer}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("kind", CLASSES)
def test_each_class_computes_what_its_authors_compute(kind: str, x: Tensor, tmp_path: Path) -> None:
    state, sae = tensors_of(kind), load_sae(written(tmp_path, kind))
    found, expected = sae.encode(x), codes(kind, state, x)
    torch.testing.assert_close(found > 0, expected > 0)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert 0 < (found > 0).float().mean() < 1
    rows = state["decoder.weight"].T if "decoder.weight" in state else state["W_dec"]
    bias = next(state[name] for name in ("bias", "decoder.bias", "decoder_bias", "b_dec") if name in state)
    rebuilt = expected @ (rows / rows.norm(dim=1, keepdim=True)) + bias
    torch.testing.assert_close(sae.reconstruct(x), rebuilt, rtol=1e-4, atol=1e-4)
    labels = {"BatchTopKSAE": "batchtopk-k4", "MatryoshkaBatchTopKSAE": "matryoshka_batchtopk-k4"}
    assert sae.architecture == labels.get(kind, CLASSES[kind][0])
    assert (sae.hook, sae.model_name) == (Hook(7, "resid_post"), "EleutherAI/pythia-70m")
    outline = outline_sae(tmp_path)
    assert outline.W_dec.is_meta and (outline.d_in, outline.d_sae, outline.k) == (sae.d_in, sae.d_sae, sae.k)
    assert outline.architecture == sae.architecture


@pytest.mark.parametrize(
    ("trainer", "buffer", "hook"),
    [
        ({}, {}, Hook(7, "resid_post")),
        ({"submodule_name": None}, None, Hook(7, "resid_post")),
        ({"submodule_name": "resid_pre_layer_7"}, {}, Hook(7, "resid_pre")),
        ({"submodule_name": "resid_post"}, {"io": "in"}, Hook(7, "resid_pre")),
        ({"submodule_name": "mlp_out_layer_7"}, {}, Hook(7, MODULE, "mlp")),
        ({"submodule_name": "gpt_neox.layers.7.attention"}, {}, Hook(7, MODULE, "attention")),
        ({"submodule_name": "embed"}, {}, None),
        ({"submodule_name": None, "layer": None}, {}, None),
    ],
)
def test_the_place_is_the_module_that_the_config_names(
    trainer: dict[str, Any], buffer: Any, hook: Hook | None, tmp_path: Path
) -> None:
    assert load_sae(written(tmp_path, buffer=buffer, **trainer)).hook == hook


@pytest.mark.parametrize(
    ("trainer", "buffer", "said"),
    [
        ({"dict_class": "CrossCoder"}, {}, "class 'CrossCoder'; supported are AutoEncoder, "),
        ({"dict_class": None}, {}, "`trainer.dict_class` is None"),
        ({"use_pca_whitening": True}, {}, "states 'use_pca_whitening', which this version does not know"),
        ({}, {"centre": True}, r"\(buffer\) states 'centre'"),
        ({}, {"io": "in_and_out"}, "states io 'in_and_out': it is no autoencoder"),
        ({"submodule_name": "mlp_layer_7"}, {"io": "in"}, "reads what mlp_layer_7 gets"),
        ({"submodule_name": "resid_post_layer_6"}, {}, "states layer 7 and submodule_name 'resid_post_layer_6'"),
        ({"k": 5}, {}, "states k 5, its weights 4"),
        ({"k": None}, {}, "states no whole k"),
        ({"dict_size": 51}, {}, "states dict_size 51, its weights have 50"),
        ({"dict_class": "AutoEncoder"}, {}, "lack bias"),
        ({"dict_class": "BatchTopKSAE", "layer": "7"}, {}, "`trainer.layer` is '7'"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(
    trainer: dict[str, Any], buffer: Any, said: str, tmp_path: Path
) -> None:
    with pytest.raises(FaithfulError, match=said):
        load_sae(written(tmp_path, buffer=BUFFER | buffer, **trainer))


@pytest.mark.parametrize("shape", [(3,), (D_SAE, D_IN, 1)])
@pytest.mark.parametrize("name", ["encoder.bias", "decoder.weight", "bias"])
def test_weights_that_do_not_fit_together_are_refused(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    folder = written(tmp_path, "AutoEncoder")
    torch.save(tensors_of("AutoEncoder") | {name: torch.ones(shape)}, folder / "ae.pt")
    for read in (load_sae, outline_sae):
        with pytest.raises(FaithfulError, match=r"do not fit together|has shape|its weights have"):
            read(folder)


def test_damaged_files_and_other_things_than_tensors_are_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    content = (folder / "ae.pt").read_bytes()
    (folder / "ae.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(FaithfulError, match="does not match its checksums"):
        load_sae(folder)
    torch.save({"encoder.weight": Path("no tensor")}, folder / "ae.pt")
    for read in (load_sae, outline_sae):
        with pytest.raises(FaithfulError, match="holds other things than tensors"):
            read(folder)
    torch.save([torch.zeros(3)], folder / "ae.pt")
    with pytest.raises(FaithfulError, match="something else than the tensors of one SAE"):
        load_sae(folder)
    (written(tmp_path / "b") / "config.json").unlink()
    with pytest.raises(FaithfulError, match=r"config\.json"):
        load_sae(tmp_path / "b")


@pytest.mark.parametrize(
    ("hook_name", "hook", "layer", "name"),
    [
        ("blocks.8.hook_resid_pre", Hook(7, "resid_post"), 7, "resid_post_layer_7"),
        ("transformer.h.8", Hook(8, "resid_post"), 8, "resid_post_layer_8"),
        ("model.layers.2.mlp", Hook(2, MODULE, "mlp"), 2, "mlp_out_layer_2"),
        ("model.layers.2.self_attn", Hook(2, MODULE, "attn"), 2, "attn_out_layer_2"),
        ("layers.2.mlp.act_fn", Hook(2, MODULE, "mlp.act_fn"), 2, "layers.2.mlp.act_fn"),
    ],
)
def test_there_and_back(
    hook_name: str, hook: Hook, layer: int, name: str, sae: TopKSAE, x: Tensor, tmp_path: Path
) -> None:
    """The same codes of the same activations: what enters layer 8 is what layer 7 gives."""
    sae.metadata |= {"hook_name": hook_name, "model_name": "gpt2", "context_size": 64, "faithful_seed": 3}
    export_dictionary_learning(sae, tmp_path)
    trainer = json.loads((tmp_path / "config.json").read_text())["trainer"]
    assert (trainer["layer"], trainer["submodule_name"]) == (layer, name)
    again = load_sae(tmp_path)
    assert isinstance(again, TopKSAE) and again.sha256() == sae.sha256() and again.k == sae.k
    assert torch.equal(again.encode(x), sae.encode(x))
    assert again.hook == hook
    assert (again.model_name, again.metadata["context_size"], again.metadata["faithful_seed"]) == ("gpt2", 64, 3)


@pytest.mark.parametrize(
    ("threshold", "trained", "kind", "name"),
    [
        (0.0, None, "AutoEncoder", "standard"),
        (0.7, None, "JumpReluAutoEncoder", "jumprelu"),
        (0.7, "batchtopk", "BatchTopKSAE", "batchtopk-k16"),
    ],
)
def test_thresholds_there_and_back(
    threshold: float, trained: str | None, kind: str, name: str, sae: TopKSAE, x: Tensor, tmp_path: Path
) -> None:
    jump = ThresholdSAE(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, torch.full((50,), threshold))
    jump.metadata = {"training_architecture": trained, "training_architecture_details": {"k": 16}}
    export_dictionary_learning(jump, tmp_path)
    state = torch.load(tmp_path / "ae.pt", weights_only=True)
    assert {key: tensor.shape for key, tensor in state.items() if key not in BESIDE} == {
        key: tensor.shape for key, tensor in tensors_of(kind).items() if key not in BESIDE
    }
    torch.testing.assert_close(codes(kind, state, x), jump.encode(x), rtol=0, atol=1e-5)
    again = load_sae(tmp_path)
    torch.testing.assert_close(again.encode(x), jump.encode(x), rtol=0, atol=1e-5)
    assert again.architecture == name


def test_a_sweep_is_found_by_run_place_and_trainer(tmp_path: Path) -> None:
    for number, (seed, kind) in enumerate([(0, "AutoEncoderTopK"), (1, "AutoEncoderTopK"), (0, "BatchTopKSAE")]):
        written(tmp_path / "pythia" / "resid_post_layer_7" / f"trainer_{number}", kind, seed=seed)
    saes = find_saes([tmp_path])
    shape = "resid_post.7-f50-batchtopk-k4", "resid_post.7-f50-k4"
    assert [(sae.corpus, sae.seed, sae.shape) for sae in saes] == [
        ("pythia", 0, shape[0]), ("pythia", 0, shape[1]), ("pythia", 1, shape[1]),
    ]  # fmt: skip
    assert (saes[0].model, saes[0].context, saes[0].place) == (
        "EleutherAI/pythia-70m", 128, "pythia/resid_post_layer_7/trainer_2",
    )  # fmt: skip
    assert len({sae.sha256 for sae in saes}) == 3


def test_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its two files are fetched."""
    from huggingface_hub.errors import EntryNotFoundError

    asked: list[str] = []

    def fetch(repo: str, name: str, revision: str | None = None, repo_type: str = "model") -> str:
        asked.append(name)
        if not (tmp_path / name).exists():
            raise EntryNotFoundError(f"no {name}")
        return str(tmp_path / name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    written(tmp_path / "place" / "trainer_0")
    assert load_sae("user/repo", "place/trainer_0").k == K
    assert asked == [f"place/trainer_0/{name}" for name in ("cfg.json", "ae.pt", "config.json")]
    files = ["README.md", "config.json", "place/trainer_0/ae.pt", "place/trainer_0/config.json"]
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: SimpleNamespace(list_repo_files=lambda _: files))
    (sae,) = find_saes(["user/repo"])
    assert (sae.source, sae.seed, sae.d_sae) == ("user/repo/place/trainer_0", 3, D_SAE)


def test_their_own_loader_gives_what_we_read(x: Tensor, tmp_path: Path) -> None:
    utils: Any = pytest.importorskip("dictionary_learning.utils")
    for kind in ("AutoEncoder", "GatedAutoEncoder", "JumpReluAutoEncoder", "AutoEncoderTopK", "BatchTopKSAE"):
        theirs, _ = utils.load_dictionary(str(written(tmp_path / kind, kind)), "cpu")
        torch.testing.assert_close(theirs(x), load_sae(tmp_path / kind).reconstruct(x), rtol=1e-4, atol=1e-4)

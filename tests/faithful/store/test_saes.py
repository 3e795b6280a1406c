"""SAEs as studies find them: one name per place, k from the weights' own config, corpora and seeds of SAEs from elsewhere."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from faithful.base.errors import FaithfulError
from faithful.formats.exports import export_sparsify
from faithful.formats.files import WEIGHTS, load_sae, save_sae
from faithful.hooks.hook import Hook
from faithful.store import saes as grid
from faithful.store.saes import find_saes, ordered_shapes, read_sae, seed_numbers
from tests.faithful.hub.conftest import hub, pauses
from tests.faithful.hub.state import Hub
from tests.studies.random_saes import random_sae, write_plain, write_recorded

__all__ = ["hub", "pauses"]


def write_old(folder: Path, k: int) -> None:
    """As SAELens wrote it before version 6: k among the activation's arguments."""
    sae = random_sae(8, 16, k, k)
    folder.mkdir(parents=True)
    save_file({name: getattr(sae, name).contiguous() for name in ("W_enc", "b_enc", "W_dec", "b_dec")},
              folder / "sae_weights.safetensors")  # fmt: skip
    config = {
        "architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": k}, "d_in": 8, "d_sae": 16,
        "hook_name": "blocks.1.hook_resid_pre", "model_name": "gpt2-small", "context_size": 128,
    }  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(config))


def test_k_of_older_configs_tells_shapes_apart(tmp_path: Path) -> None:
    for k in (2, 4):
        write_old(tmp_path / f"k{k}", k)
    saes = find_saes([tmp_path])
    assert [sae.shape for sae in saes] == ["resid_pre.1-f16-k2", "resid_pre.1-f16-k4"]
    assert {(sae.model, sae.context, sae.d_in, sae.d_sae) for sae in saes} == {("gpt2-small", 128, 8, 16)}


def test_the_headline_shape_has_most_saes_and_then_the_widest(tmp_path: Path) -> None:
    for width in (16, 9, 24):
        write_recorded(tmp_path, "own", 0, 8, width)
    assert list(ordered_shapes(find_saes([tmp_path]))) == [f"resid_pre.1-f{width}-k4" for width in (24, 16, 9)]
    write_recorded(tmp_path, "own", 1, 8, 9)
    assert next(iter(ordered_shapes(find_saes([tmp_path])))) == "resid_pre.1-f9-k4"


def test_saes_without_a_seed_are_numbered_within_their_corpus_and_shape(tmp_path: Path) -> None:
    for run in range(3):
        export_sparsify(random_sae(8, 16, 4, run), tmp_path / f"run{run}" / "h.0")
    write_plain(tmp_path / "web", 8, 16, hook_name="blocks.0.hook_resid_post")
    write_recorded(tmp_path / "saes", "own", 5, 8, 16)
    saes = find_saes([tmp_path])
    assert [sae.corpus for sae in saes] == ["h.0", "h.0", "h.0", "own", "web"]
    assert seed_numbers(saes) == [-1, -2, -3, 5, -1]


def test_an_sae_is_the_same_however_long_its_training_took(tmp_path: Path) -> None:
    """A training that was killed and gone on with says other seconds; what is kept of an SAE goes by its hash."""
    hashes = []
    for place, (seconds, lr) in enumerate(((1.5, 1e-3), (2.5, 1e-3), (1.5, 2e-3))):
        folder = write_recorded(tmp_path / str(place), "own", 0, 8, 16)
        config = json.loads((folder / "cfg.json").read_text())
        config["metadata"]["faithful"] |= {"seconds": seconds, "training": {"step": 3, "seconds": seconds}, "lr": lr}
        (folder / "cfg.json").write_text(json.dumps(config))
        hashes.append(find_saes([tmp_path / str(place)])[0].sha256)
    assert hashes[0] == hashes[1] != hashes[2]


def test_what_leaves_a_layer_is_what_enters_the_next(tmp_path: Path) -> None:
    sae = random_sae(8, 16, 4, 0)
    export_sparsify(sae, tmp_path / "run" / "h.0")
    alone = find_saes([tmp_path / "run"])
    assert (alone[0].hook, alone[0].shape) == (Hook(0, "resid_post"), "resid_post.0-f16-k4")
    write_recorded(tmp_path / "saes", "own", 0, 8, 16)
    together = find_saes([tmp_path])
    assert {one.hook for one in together} == {Hook(1, "resid_pre")} and len(ordered_shapes(together)) == 1
    export_sparsify(sae, tmp_path / "last" / "h.1")
    assert {one.shape for one in find_saes([tmp_path])} == {"resid_pre.1-f16-k4", "resid_post.1-f16-k4"}


@pytest.mark.parametrize(
    ("place", "corpus"),
    [("", "nice-saes"), ("deep/web", "web"), ("web/some-shape/seed-3", "web"), ("seed-3", "nice-saes")],
)
def test_an_sae_on_the_hub_is_called_after_its_folder_or_its_repository(
    place: str, corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    cached = tmp_path / "snapshots" / ("0123abcd" * 5) / place
    write_plain(cached, 8, 16)
    files = [f"{place}/cfg.json".lstrip("/")]
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: SimpleNamespace(list_repo_files=lambda repo: files))
    fetched: list[Any] = []
    monkeypatch.setattr(grid, "locate_sae", lambda repo, parent: fetched.append((repo, parent)) or cached)
    (sae,) = find_saes(["someone/nice-saes"])
    assert fetched == [("someone/nice-saes", place or None)]
    assert sae.corpus == corpus and sae.source == f"someone/nice-saes/{place}".rstrip("/")


def write_threshold(folder: Path, **training: Any) -> Path:
    """A standard SAE of SAELens 6, or what it saves of a batchtopk one."""
    sae = random_sae(8, 16, 4, 0)
    tensors = {name: getattr(sae, name).contiguous() for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    if training:
        tensors["threshold"] = torch.zeros(16)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "sae_weights.safetensors")
    config = {
        "architecture": "jumprelu" if training else "standard", "d_in": 8, "d_sae": 16,
        "metadata": {"hook_name": "blocks.1.hook_resid_pre", "dataset_path": "web"} | training,
    }  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def test_saes_of_one_width_and_another_architecture_are_no_row(tmp_path: Path) -> None:
    write_threshold(tmp_path / "a")
    for k in (8, 16):
        details = {"training_architecture": "batchtopk", "training_architecture_details": {"k": k}}
        write_threshold(tmp_path / f"b{k}", **details)
    write_plain(tmp_path / "c", 8, 16, dataset_path="web")
    shapes = [f"resid_pre.1-f16-{kind}" for kind in ("batchtopk-k16", "batchtopk-k8", "k4", "standard")]
    assert [sae.shape for sae in find_saes([tmp_path])] == shapes


def test_seeds_of_sparsify_are_told_apart(tmp_path: Path) -> None:
    for seed in (0, 3):
        export_sparsify(random_sae(8, 16, 4, seed), tmp_path / "run" / "layers.0.mlp" / f"seed{seed}")
    saes = find_saes([tmp_path])
    assert [(sae.seed, sae.shape) for sae in saes] == [(0, "layers.0.mlp-f16-k4"), (3, "layers.0.mlp-f16-k4")]
    assert {sae.corpus for sae in saes} == {"run"}


def test_one_tensor_is_as_the_whole_sae_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of SAEs that `faithful train` wrote it is read alone, once all are checked; others may fold their tensors."""
    sae = random_sae(4, 6, 2, 0)
    record = {"faithful": {"weights_sha256": sae.sha256(), "identity": {"init_seed": 0}}}
    save_sae(tmp_path / "ours", sae, record)
    save_sae(tmp_path / "plain", sae, {})
    loads: list[str] = []

    def counted(folder: Path) -> Any:
        loads.append(folder.name)
        return load_sae(folder)

    monkeypatch.setattr(grid, "load_sae", counted)
    for name in ("ours", "plain"):
        one = read_sae(tmp_path / name)
        assert [torch.equal(one.tensor(part), getattr(sae, part)) for part in ("W_dec", "W_enc")] == [True, True]
    assert loads == ["ours", "plain", "plain"]
    other = random_sae(4, 6, 2, 1)
    save_sae(tmp_path / "other", other, {})
    shutil.copy(tmp_path / "other" / WEIGHTS, tmp_path / "ours" / WEIGHTS)
    with pytest.raises(FaithfulError, match=r"are not those that its cfg\.json was written for"):
        read_sae(tmp_path / "ours").tensor("W_dec")


def test_a_place_on_the_hub_that_it_has_not_for_us(hub: Hub, pauses: list[float]) -> None:
    with pytest.raises(
        FaithfulError, match=r"^There is no folder user/nothing/own\. There is no 'user/nothing' on the Hub, or"
    ):
        find_saes(["user/nothing/own"])
    assert pauses == []

"""SAEs that others' tools trained are studied where they were trained: SAELens with the names of Hugging Face modules."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor

from faithful.formats.exports import export_dictionary_learning
from faithful.hooks.hook import Hook
from faithful.models.spec import ModelSpec
from faithful.sae.topk import TopKSAE
from faithful.store.corpus import Corpus
from generation.sampling.distribution import Sampling
from studies.common.inputs import resolve_input
from studies.common.panel import load_panel
from studies.reconstruction.config import ReconstructionConfig
from studies.reconstruction.study import study_reconstruction
from tests.own import write_own

Model = Callable[[str], tuple[ModelSpec, Any]]
CONTEXT = 32
PATHS = {"gpt2": "transformer.h.0", "gpt_neox": "gpt_neox.layers.0.mlp", "llama": "model.layers.0"}


def trained(hook_name: str, spec: ModelSpec, model: Any, rows: Tensor, folder: Path) -> Any:
    """An SAE that SAELens trains and saves, and the model as it hooks it."""
    from datasets import Dataset
    from sae_lens import (
        LanguageModelSAERunnerConfig,
        LanguageModelSAETrainingRunner,
        LoggingConfig,
        TopKTrainingSAEConfig,
    )
    from sae_lens.load_model import HookedProxyLM
    from transformers import AutoTokenizer

    hooked = HookedProxyLM(model, AutoTokenizer.from_pretrained(spec.source), hook_names=[hook_name])
    config = LanguageModelSAERunnerConfig(
        sae=TopKTrainingSAEConfig(d_in=model.config.hidden_size, d_sae=96, k=4), lr=3e-3, model_name=spec.source,
        model_class_name="AutoModelForCausalLM", hook_name=hook_name, dataset_path="", is_dataset_tokenized=True,
        prepend_bos=True, context_size=CONTEXT, training_tokens=2048, train_batch_size_tokens=256, n_batches_in_buffer=8,
        store_batch_size_prompts=4, logger=LoggingConfig(log_to_wandb=False), checkpoint_path=None,
        output_path=str(folder), device="cpu",
    )  # fmt: skip
    dataset = Dataset.from_dict({"input_ids": rows.tolist()})
    sae = LanguageModelSAETrainingRunner(config, override_dataset=dataset, override_model=hooked).run()
    return sae, hooked


@pytest.mark.parametrize("family", PATHS)
def test_what_sae_lens_trains_on_a_hugging_face_module_is_studied_there(
    family: str, family_model: Model, tmp_path: Path
) -> None:
    spec, model = family_model(family)
    own = write_own(
        tmp_path / "corpora" / "own", spec, model, Sampling(max_tokens=CONTEXT - 1), {"train": 3000, "test": 900}
    )
    full = [document for document in Corpus(own).documents() if len(document) == CONTEXT - 1]
    rows = torch.tensor([[spec.bos_id, *document.tolist()] for document in full])
    sae, hooked = trained(PATHS[family], spec, model, rows, tmp_path / "theirs")
    config = ReconstructionConfig(
        saes=(tmp_path / "theirs",), corpora=(own,), out=tmp_path / "study", device="cpu", tokens=800
    )
    found = resolve_input(config)
    panel = load_panel(found, config.tokens)
    seen = []
    with torch.no_grad():
        for row in panel.parts["own"]:
            _, cache = hooked.run_with_cache(torch.from_numpy(row)[None], names_filter=[PATHS[family]])
            theirs = cache[PATHS[family]]
            torch.testing.assert_close(found.truncated(torch.from_numpy(row)[None]), theirs)
            seen.append(theirs[0][panel.ordinary[row]])
        h = torch.cat(seen).double()
        fvu = float((h - sae(h.float())).square().sum() / (h - h.mean(0)).square().sum())
    study_reconstruction(config)
    table = pl.read_parquet(config.out / "results.parquet")
    chosen = table.filter((pl.col("metric") == "fvu") & (pl.col("other") == "own") & (pl.col("parameter") == 4))
    assert chosen["value"].item() == pytest.approx(fvu, rel=1e-4)


def test_an_sae_of_dictionary_learning_is_studied_at_the_layer_it_names(family_model: Model, tmp_path: Path) -> None:
    spec, model = family_model("gpt_neox")
    own = write_own(
        tmp_path / "corpora" / "own", spec, model, Sampling(max_tokens=CONTEXT - 1), {"train": 200, "test": 900}
    )
    rows = torch.nn.functional.normalize(torch.randn(96, model.config.hidden_size), dim=1)
    sae = TopKSAE(rows.T.contiguous(), torch.zeros(96), rows, torch.zeros(len(rows[0])), 4,
                  {"hook_name": "blocks.1.hook_resid_pre", "model_name": spec.source})  # fmt: skip
    export_dictionary_learning(sae, tmp_path / "run" / "resid_post_layer_0" / "trainer_0")
    config = ReconstructionConfig(
        saes=(tmp_path / "run",), corpora=(own,), out=tmp_path / "study", device="cpu", tokens=800
    )
    assert resolve_input(config).hook == Hook(0, "resid_post")
    assert study_reconstruction(config).summary["matrices"]["fvu"]["run"]["own"]["value"] > 0

"""What really came out of SAEBench, recorded, beside our figures of the same SAE on the same rows."""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faithful.activations.quality import Quality, splice_contexts
from faithful.hooks.hook import Hook
from faithful.hooks.truncated import TruncatedModel
from faithful.models.load import load_model
from faithful.models.spec import ModelSpec, resolve_model
from studies.bridge import inside
from studies.bridge.data import rows_at_once
from studies.common.panel import ordinary_ids
from tests.studies.bridge.recording import D_SAE, SEED, K, recorded, rows
from tests.studies.random_saes import random_sae


@pytest.fixture(scope="module")
def both() -> tuple[ModelSpec, Any]:
    spec = resolve_model("tiny", dtype="float32")
    return spec, load_model(spec, "cpu")


@pytest.fixture(scope="module")
def theirs() -> dict[str, float]:
    """Their figures of `core`, by name."""
    return {name: value for of in recorded("core")["eval_result_metrics"].values() for name, value in of.items()}


@pytest.fixture(scope="module")
def read(both: tuple[ModelSpec, Any]) -> dict[str, torch.Tensor]:
    """Of the same rows: ids, activations, reconstructions, and logits with three things at the hook."""
    spec, model = both
    hook, sae = Hook(2, "resid_pre"), random_sae(256, D_SAE, K, SEED)
    ids = torch.from_numpy(np.stack(rows(spec)))
    ordinary = torch.from_numpy(ordinary_ids(spec))[ids]
    h = TruncatedModel(model, hook)(ids)
    h_hat = torch.where(ordinary[..., None], sae.reconstruct(h.flatten(0, 1)).view_as(h), h)

    def logits(replacement: torch.Tensor) -> torch.Tensor:
        handle = hook.place(model).on(lambda _: replacement)
        try:
            with torch.no_grad():
                return model(ids).logits
        finally:
            handle.remove()

    return {
        "ids": ids, "ordinary": ordinary, "h": h, "h_hat": h_hat, "clean": logits(h), "sae": logits(h_hat),
        "zero": logits(torch.zeros_like(h)),
    }  # fmt: skip


def test_losses_and_l0_are_theirs(both: tuple[ModelSpec, Any], theirs: dict[str, float], read: Any) -> None:
    spec, model = both
    sae = random_sae(256, D_SAE, K, SEED)
    (ours,) = splice_contexts(model, Hook(2, "resid_pre"), [sae], rows(spec), torch.zeros(256), ordinary_ids(spec))
    assert ours.losses["ce_clean"] == pytest.approx(theirs["ce_loss_without_sae"], abs=1e-6)
    assert ours.losses["ce_sae"] == pytest.approx(theirs["ce_loss_with_sae"], abs=1e-6)
    quality, h = Quality(256, D_SAE), read["h"][read["ordinary"]]
    quality.update(h, sae.reconstruct(h), sae.encode(h))
    assert quality.result()["l0"] == pytest.approx(theirs["l0"], abs=1e-6)
    assert quality.result()["cosine"] == pytest.approx(theirs["cossim"], abs=1e-6)


def test_their_explained_variance_takes_the_mean_of_squares_for_the_square_of_the_mean(
    theirs: dict[str, float], read: dict[str, torch.Tensor]
) -> None:
    ordinary, h, h_hat = read["ordinary"], read["h"].double(), read["h_hat"].double()
    size = rows_at_once(len(h))
    batches = [
        (h[at : at + size][ordinary[at : at + size]], h_hat[at : at + size][ordinary[at : at + size]])
        for at in range(0, len(h), size)
    ]
    squares = torch.stack([x.square().sum(1).mean() for x, _ in batches]).mean()
    wrong = torch.cat([x.square().mean(0) for x, _ in batches]).mean() ** 2  # the mean activation, squared, was meant
    error = torch.stack([(x - y).square().sum(1).mean() for x, y in batches]).mean()
    assert float(1 - error / (squares - wrong)) == pytest.approx(theirs["explained_variance"], abs=1e-5)
    mse = torch.cat([(x - y).square().sum(1) / len(x) for x, y in batches]).mean()
    assert float(mse) == pytest.approx(theirs["mse"], rel=1e-5)


def test_their_kl_has_the_last_position_too(theirs: dict[str, float], read: dict[str, torch.Tensor]) -> None:
    p, q = (read[name].double().log_softmax(-1) for name in ("clean", "sae"))
    kl = (p.exp() * (p - q)).sum(-1)[read["ordinary"]].mean()
    assert float(kl) == pytest.approx(theirs["kl_div_with_sae"], abs=1e-5)


def test_their_ablation_takes_bos_away_too(theirs: dict[str, float], read: dict[str, torch.Tensor]) -> None:
    log_p = read["zero"].double().log_softmax(-1)[:, :-1]
    losses = -log_p.gather(2, read["ids"][:, 1:, None])[..., 0][read["ordinary"][:, :-1]]
    assert float(losses.mean()) == pytest.approx(theirs["ce_loss_with_ablation"], abs=1e-5)


def test_it_stands_alone_and_knows_every_evaluation() -> None:
    tree = ast.parse(Path(inside.__file__).read_text(encoding="utf-8"))
    names = [one.module or "" for one in ast.walk(tree) if isinstance(one, ast.ImportFrom)]
    names += [alias.name for one in ast.walk(tree) if isinstance(one, ast.Import) for alias in one.names]
    assert not {name.partition(".")[0] for name in names} & {"faithful", "generation", "studies"}
    assert set(inside.RUNNERS) == {"core", "sparse_probing", "absorption", "sae_probes"}

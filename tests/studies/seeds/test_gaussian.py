"""SAEs of Gaussian activations."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from faithful.sae.variants.topk import TopK
from faithful.store.saes import find_saes
from studies.common.codes import Moments, moments_of
from studies.common.config import StudyConfig
from studies.common.inputs import resolve_input
from studies.common.panel import load_panel
from studies.seeds.gaussian import gaussian_saes, recorded_config


def test_moments_and_gaussian_saes(run: Path) -> None:
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=run, device="cpu"))
    panel = load_panel(found, 1000)
    moments = moments_of(found.truncated, panel.rows, panel.ordinary)
    h = torch.cat([found.truncated(torch.from_numpy(row)[None])[0][panel.ordinary[row]] for row in panel.rows])
    assert torch.allclose(moments.mean, h.double().mean(0), atol=1e-5)
    assert torch.allclose(moments.covariance, torch.cov(h.double().T, correction=0), atol=1e-5)
    identity = found.saes[0].record["identity"]
    configs = [recorded_config(found.saes[0].record, found.saes[0].d_in, 20, seeds) for seeds in ((0, 1), (0,))]
    assert configs[0] is not None and configs[1] is not None
    trained = gaussian_saes(moments, configs[0], identity["batch"], seed=5)
    again = gaussian_saes(moments, configs[1], identity["batch"], seed=5)
    assert torch.equal(trained[0].W_dec, again[0].W_dec)
    assert not torch.equal(trained[0].W_dec, trained[1].W_dec)


def test_gaussian_saes_are_trained_as_it_is_recorded(run: Path) -> None:
    """Whatever the settings are; None where what is recorded is no variant of this version."""
    record = find_saes([run / "saes"])[0].record
    plain = recorded_config(record, 8, 20, (3, 4))
    assert plain is not None and (plain.gemm_dtype, plain.variant) == (None, TopK())
    stated = {
        "betas": [0.8, 0.95], "eps": 1e-7, "clip": 0.5, "warmup": 0.2, "decay": 0.1, "auxk": 0.5, "dead_tokens": 77,
        "lr": 0.02, "k": 3, "d_sae": 24, "gemm_dtype": "bfloat16",
    }  # fmt: skip
    config = recorded_config({"identity": record["identity"] | stated, "deterministic": True}, 8, 20, (3, 4))
    assert config is not None
    given = {name: getattr(config, name) for name in stated} | {"betas": list(config.betas)}
    assert given == stated and config.deterministic
    assert (config.d_in, config.init_seeds, config.steps) == (8, (3, 4), 20)
    moments = Moments(torch.zeros(8, dtype=torch.float64), torch.eye(8, dtype=torch.float64), 10)
    rounded, exact = (
        gaussian_saes(moments, replace(config, gemm_dtype=dtype), 64, seed=0)[0] for dtype in ("bfloat16", None)
    )
    assert not torch.equal(rounded.W_dec, exact.W_dec)
    for other in (
        {"objective": "some.function"},
        {"variant": "this"},
        {"variant_version": 2},
        {"parameters": {"a": 1}},
    ):
        assert recorded_config({"identity": record["identity"] | other}, 8, 20, (0,)) is None
    assert "this" not in sys.modules

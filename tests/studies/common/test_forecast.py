from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from studies.catalog import KNOWN
from studies.common.forecast import Work, panel_tokens
from studies.probes.config import PROBE_ENTRY_SECONDS, PROBE_SECONDS

WORK = Work(
    device="cpu", context=128, tokens=1_000_000, batch=256, corpora=4, trained=3, seeds=6, d_model=64, shapes=((512, 16),),
    full=2e6, forward=1e6, step=4e6,
)  # fmt: skip


def test_a_size_is_that_of_the_kind_of_device() -> None:
    assert [panel_tokens(device, 128) for device in ("cpu", "cuda")] == [30_000, 200_000]


def test_saes_are_those_of_every_corpus_seed_and_shape() -> None:
    assert WORK.saes == 18 and WORK.encode == 18 * 2 * 64 * 512


@pytest.mark.parametrize(
    ("name", "stated", "tokens", "flops"),
    [
        ("corpora", {"tokens": 1000}, 4 * 1000 + 50_000, 54_000 * 2e6),
        ("seeds", {"tokens": 1000, "gaussian_seeds": 0}, 1000, 1000 * (1e6 + WORK.encode) + 2 * 64 * 3 * 135 * 512**2),
        ("fakes", {"tokens": 1000, "noise_tokens": 500}, 10_500, 10_500 * (1e6 + WORK.encode)),
        (
            "probes",
            {"tasks": ("sst2", "cola"), "train_size": 10, "test_size": 5, "controls": 0},
            30 * 128,
            30 * 128 * (1e6 + WORK.encode),
        ),
        (
            "probes",
            {"tasks": ("sst2",), "train_size": 10, "test_size": 5, "controls": 2, "tokens": 1000},
            15 * 128 + 1000,
            15 * 128 * (1e6 + WORK.encode + 3 * 2 * 2 * 64 * 512) + 1000 * 1e6,
        ),
        (
            "reconstruction",
            {"tokens": 1000, "ks": (1, 2), "controls": 2},
            1000,
            1000 * ((2 * 18 + 2 * 3 * 2 + 3 + 3) * 1e6 + (3 * 18 + 2 * 12) * 2 * 64 * 512),
        ),
        ("absorption", {"tokens": 1000}, 32_000, 1000 * (32e6 + 3 * WORK.encode)),
        ("sparsity", {"tokens": 1000}, 1000, 1000 * (1e6 + WORK.encode) + 3 * 6 * 4 * 64 * 512**2),
    ],
)
def test_each_study_states_its_own_cost(name: str, stated: dict[str, object], tokens: int, flops: float) -> None:
    study = KNOWN[name]
    config = study.config(out=Path("out"), **{"saes" if study.of_saes else "folders": ()} | stated)
    found = study.cost(config, WORK)
    assert found.tokens == tokens and found.flops == pytest.approx(flops)
    assert (found.seconds > 0) == (name in ("seeds", "probes")), "what is solved and fitted on the CPU beside"


def test_controls_and_other_methods_of_probes_take_their_time() -> None:
    def seconds(**stated: Any) -> float:
        config = KNOWN["probes"].config(out=Path("out"), saes=(), tasks=("sst2",), ks=(1, 2), **stated)
        return float(KNOWN["probes"].cost(config, WORK).seconds)

    alone = seconds(controls=0)
    # two k for each of two classes and 18 SAEs; three sizes of the curve for two starts of each of three corpora
    assert seconds(controls=0, methods=("ours", "saebench")) - alone == pytest.approx(18 * 2 * 2 * PROBE_SECONDS)
    entries = 512 * 256 * (1 + 1 / 4 + 1 / 16) * PROBE_ENTRY_SECONDS
    assert seconds(controls=2) - alone == pytest.approx(6 * (3 * PROBE_SECONDS + entries))


@pytest.mark.parametrize(
    ("device", "tokens", "held_out"),
    [("cpu", 10**8, 50_000), ("cpu", 10**5, 20_000), ("cuda", 10**8, 1_000_000), ("cuda", 10**7, 500_000)],
)
def test_a_study_of_corpora_reads_of_the_own_text_what_its_device_scores(
    device: str, tokens: int, held_out: int
) -> None:
    config = KNOWN["corpora"].config(out=Path("out"), folders=(), tokens=1000)
    found = KNOWN["corpora"].cost(config, replace(WORK, device=device, tokens=tokens))
    assert found.tokens == 4000 + held_out and found.flops == (4000 + held_out) * WORK.full

"""What theory says of corpora and the study must show, on the embedded model, with the real commands.

The texts are stored in folders of their own, so that only those that a test is about stand beside the model's own text.
"""

import json
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faithful.store.corpus import read_manifest, write_manifest
from faithful.store.shard_files import write_shard
from tests.shell import Done, Shell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

HERE = "runs/shown/corpora"
MAKING = {
    "own": "generate --tokens 10000 --held-out 4000 --certify-tokens 0 --out",
    "own-t0.7": "generate --tokens 8000 --held-out 100 --certify-tokens 0 --temperature 0.7 --out",
    "stdlib": "corpus add stdlib --tokens 30000 --held-out 100 --out",
    "prose": "corpus add prose --tokens 8000 --held-out 100 --out",
    "noise": "corpus add noise --tokens 8000 --held-out 100 --out",
    "own-shuffled": f"corpus shuffle {HERE}/own --out",
}
NOT_OWN = "not from this distribution"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with Shell(tmp_path_factory.mktemp("contract") / "here") as running:
        yield running


@pytest.fixture(scope="module")
def corpora(shell: Shell) -> Path:
    """The corpora of the table, in a run."""
    for name, line in MAKING.items():
        said(shell(f"faithful {line} {HERE}/{name}"))
    return shell.folder / HERE


def said(done: Done) -> Any:
    """The JSON object of a command that went well, {} for one without."""
    assert done.code == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.startswith("{") else {}


@pytest.fixture(scope="module")
def study(shell: Shell, corpora: Path) -> dict[str, Any]:
    """The summary of the study of all of them."""
    names = " ".join(f"{HERE}/{name}" for name in MAKING)
    return dict(said(shell(f"faithful study corpora {names} --tokens 5000 --json")))


def test_own_text_passes_every_test_and_the_rest_fails_one(study: dict[str, Any]) -> None:
    verdicts = {name: cell["as_model"]["verdict"] for name, cell in study["cells"].items()}
    assert study["cells"]["own"]["as_model"]["p_holm"] > 0.001
    assert verdicts["own"] != NOT_OWN
    assert {verdicts[name] for name in ("own-t0.7", "prose", "noise", "own-shuffled")} == {NOT_OWN}


@pytest.mark.parametrize("axis", ["surprise_gap", "excess_ce"])
def test_both_axes_rise_from_stdlib_to_noise(study: dict[str, Any], axis: str) -> None:
    ends = [study["corpora"][name][axis]["ci95"] for name in ("stdlib", "prose", "own-shuffled", "noise")]
    assert all(lower[1] < higher[0] for lower, higher in pairwise(ends))


def test_the_study_leaves_what_it_promises(shell: Shell, study: dict[str, Any]) -> None:
    folder = shell.folder / "runs/shown/studies/corpora"
    assert set(pl.read_parquet(folder / "results.parquet")["corpus"]) == set(MAKING)
    assert {path.stem for path in (folder / "figures").glob("*.svg")} >= {
        "faithfulness",
        "diversity",
        "lengths",
        "sweep",
    }


def test_cooler_text_is_told_as_the_models_own_and_passes_as_declared(shell: Shell, corpora: Path) -> None:
    cool = f"faithful corpus certify {HERE}/own-t0.7 --all --json"
    strict = shell(f"{cool} --as-temperature 1 --strict")
    assert strict.code == 1, strict.stderr
    as_model, declared = json.loads(strict.stdout), said(shell(cool))
    assert as_model["ci95"][1] < -0.5
    assert as_model["verdict"] == NOT_OWN
    assert as_model["tokens_scored"] < 30_000
    assert declared["p_holm"] > 0.001 and declared["verdict"] != NOT_OWN


def test_held_out_text_of_the_training_distribution_has_no_gap_and_is_told(shell: Shell, corpora: Path) -> None:
    found = said(shell(f"faithful corpus certify {HERE}/stdlib --all --json"))
    assert 30_000 <= found["tokens_scored"] < 31_000
    assert abs(found["surprise_gap"]) < 0.1
    assert found["tests"]["surprise"]["p_holm"] > 0.001
    assert found["verdict"] == NOT_OWN
    assert {name for name, test in found["tests"].items() if test.get("p_holm", 1) < 0.001} & {"repeat", "copy"}


def test_a_corpus_stored_twice_is_told(shell: Shell, corpora: Path) -> None:
    out = shell.folder / "twice"
    shutil.copytree(corpora / "own", out)
    manifest = read_manifest(out)
    once = pa.concat_tables([pq.read_table(out / shard.file) for shard in manifest.shards["train"]])
    twice = pa.concat_tables([once, once])
    twice = twice.set_column(0, once.schema.field(0), pa.array(range(len(twice)), pa.int64()))
    manifest.shards["train"] = [write_shard(out, "train", 0, twice, {})]
    write_manifest(out, manifest)
    found = said(shell("faithful corpus certify twice --all --json"))
    assert 20_000 <= found["tokens_scored"] < 30_000
    assert found["tests"]["copy"]["p_holm"] < 1e-12
    assert found["verdict"] == NOT_OWN


def test_a_sweep_samples_the_models_text_at_other_settings(shell: Shell, corpora: Path) -> None:
    """The corpus at T 0.7 is there whole; that at top-p 0.9 is there in part and grows."""
    said(
        shell(f"faithful generate --top-p 0.9 --tokens 500 --held-out 100 --certify-tokens 0 --out {corpora}/own-p0.9")
    )
    line = f"faithful study corpora {HERE}/own --tokens 2000 --budget 2000 --temperatures 0.7,1 --top-ps 0.9"
    summary = said(shell(f"{line} --out runs/shown/studies/sweep --json"))
    assert list(summary["corpora"]) == ["own", "own-t0.7", "own-p0.9"]
    assert read_manifest(corpora / "own-p0.9").tokens() >= 2000
    gaps = {name: figures["surprise_gap"]["value"] for name, figures in summary["corpora"].items()}
    assert gaps["own-t0.7"] < gaps["own-p0.9"] < gaps["own"]
    sweep = (shell.folder / "runs/shown/studies/sweep/figures/sweep.svg").read_text(encoding="utf-8")
    assert "T 0.7" in sweep and "p 0.9" in sweep

"""`faithful train` as users type it: the contract's lines, no argument at all, and SIGKILL of the real command."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from faithful.cli import app
from faithful.formats.files import load_sae
from faithful.models.load import load_model
from faithful.models.presets import find_preset
from faithful.models.spec import ModelSpec, resolve_model
from faithful.store.places import remember_run
from faithful.training.checkpoint import FOLDER
from generation.sampling.distribution import Sampling
from tests.own import write_external, write_own

Model = Callable[[str], tuple[ModelSpec, Any]]


def test_without_arguments_the_current_run_is_trained(
    tmp_path: Path, family_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Model, corpora and settings come from the run: no preset here, so the rule for models without one."""
    monkeypatch.chdir(tmp_path)
    spec, model = family_model("gpt2")
    for name, temperature in (("own", 1.0), ("cool", 0.7)):
        sampling = Sampling(max_tokens=31).with_changes(temperature=temperature)
        write_own(Path("runs/here/corpora") / name, spec, model, sampling, {"train": 3000, "test": 400})
    remember_run(Path("runs/here"))
    told = CliRunner().invoke(app, ["train"])
    assert told.exit_code == 0, told.output
    made = sorted(path.parent for path in Path("runs/here/saes").rglob("cfg.json"))
    assert len(made) == 2 * 6
    assert {path.parts[3] for path in made} == {"own", "cool"}
    assert {path.name for path in made} == {f"seed-{seed}" for seed in range(6)}
    assert "Training 12 SAEs (f" in told.stderr
    again = CliRunner().invoke(app, ["train"])
    assert again.exit_code == 0 and "nothing to do" in again.output
    texts = [torch.arange(5, 36).numpy()] * 60
    write_external(Path("runs/here/corpora/short"), spec, {"train": texts, "test": texts})
    refused = CliRunner().invoke(app, ["train"])
    assert refused.exit_code == 2 and "short holds 1,860 tokens" in refused.output
    write_external(Path("runs/here/corpora/short"), spec, {"train": texts * 2, "test": texts})
    added = CliRunner().invoke(app, ["train", "--json"])
    assert {Path(path).parts[-3] for path in json.loads(added.stdout)["trained"]} == {"short"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_lines_of_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    added = CliRunner().invoke(
        app,
        ["corpus", "add", "prose", "--for", "tiny", "--tokens", "200k", "--held-out", "8k", "--out", "corpora/prose"],
    )
    assert added.exit_code == 0, added.output
    typed = (
        "train --model tiny --corpus corpora/prose --seeds 0,1,2 --layer 2 --d-sae 1024 --k 16 --tokens 200k --out SAES"
    )
    told = CliRunner().invoke(app, typed.split())
    assert told.exit_code == 0, told.output
    root = Path("SAES/prose/resid_pre.2-f1024-k16")
    assert all(
        (root / f"seed-{seed}" / name).exists() for seed in range(3) for name in ("cfg.json", "sae_weights.safetensors")
    )
    before = {path: path.stat().st_mtime_ns for path in root.rglob("cfg.json")}
    assert "nothing to do" in CliRunner().invoke(app, typed.split()).output
    wider = CliRunner().invoke(app, [*typed.replace("0,1,2", "0-3").split(), "--json"])
    assert [Path(path).name for path in json.loads(wider.stdout)["trained"]] == ["seed-3"]
    assert before == {path: path.stat().st_mtime_ns for path in before}

    from sae_lens import SAE

    theirs, ours = SAE.load_from_disk(str(root / "seed-0")), load_sae(root / "seed-0")
    spec = resolve_model("tiny")
    preset = find_preset("tiny")
    assert preset and ours.d_in == preset.shape.d_model
    with torch.no_grad():
        ids = torch.tensor([[spec.bos_id, *range(300, 360)]])
        h = load_model(spec, "cpu")(ids, output_hidden_states=True).hidden_states[2][0, 1:]
        assert torch.allclose(theirs(h), ours.reconstruct(h), atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sigkill_of_the_command_at_any_time_and_again_equals_the_whole(
    tmp_path: Path, family_folder: Callable[[str], Path], family_model: Model
) -> None:
    spec, _ = family_model("gpt2")
    generator = torch.Generator().manual_seed(0)
    texts = [torch.randint(5, 200, (31,), generator=generator).numpy() for _ in range(900)]
    corpus = write_external(tmp_path / "noise", spec, {"train": texts[:800], "test": texts[800:]})

    def started(out: Path) -> "subprocess.Popen[str]":
        typed = [
            "train", "--model", str(family_folder("gpt2")), "--corpus", str(corpus), "--seeds", "0,1", "--layer", "1",
            "--d-sae", "512", "--k", "4", "--batch", "64", "--context", "32", "--out", str(out), "--threads", "1",
            "--checkpoint-minutes", "0.0001", "--eval-tokens", "1k",
        ]  # fmt: skip
        return subprocess.Popen([sys.executable, "-m", "faithful", *typed], stderr=subprocess.PIPE, text=True)

    whole = started(tmp_path / "whole")
    assert whole.wait(240) == 0, whole.stderr
    out = tmp_path / "killed"
    deaths = 0
    for later in (0.0, 0.2):
        process = started(out)
        last = newest(out)
        while process.poll() is None and newest(out) == last:
            time.sleep(0.01)
        time.sleep(later)
        process.kill()
        deaths += process.wait() != 0
    assert deaths
    assert started(out).wait(240) == 0
    for seed in (0, 1):
        place = f"noise/resid_pre.1-f512-k4/seed-{seed}/sae_weights.safetensors"
        a, b = load_file(tmp_path / "whole" / place), load_file(out / place)
        assert all(torch.equal(a[name], b[name]) for name in a)
    assert not list(out.rglob("*.pt")) and not list(out.rglob("*.tmp"))


def newest(out: Path) -> int:
    """When the last checkpoint was written, 0 without one."""
    return max((path.stat().st_mtime_ns for path in out.glob(f"*/{FOLDER}/*.pt")), default=0)

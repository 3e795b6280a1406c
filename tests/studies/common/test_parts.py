"""A study in parts: each keeps its results, nobody waits, and the whole one finds them all."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.base.progress import silent
from faithful.base.quantities import Part
from faithful.cli import app
from faithful.executor.parts import as_part
from studies.absorption.config import AbsorptionConfig
from studies.catalog import KNOWN
from studies.explanations.config import ExplanationsConfig
from studies.fakes.config import FakesConfig
from studies.interventions.config import InterventionsConfig
from studies.probes.config import ProbesConfig
from studies.reconstruction.config import ReconstructionConfig
from studies.seeds.config import SeedsConfig
from studies.sparsity.config import SparsityConfig
from studies.synthetic.config import SyntheticConfig
from studies.unlearning.config import UnlearningConfig

HOLDER = """
import sys
from pathlib import Path
from faithful.base.files import folder_lock
from faithful.base.quantities import Part
from faithful.executor.parts import as_part
with as_part(Part(0, 2), Path(sys.argv[1])), folder_lock(Path(sys.argv[1])):
    print(flush=True)
    input()
"""
OF_SAES: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "sparsity": (SparsityConfig, {}),
    "reconstruction": (ReconstructionConfig, {"ks": (1,)}),
    "fakes": (FakesConfig, {"noise_tokens": 400}),
    "seeds": (SeedsConfig, {"gaussian_seeds": 0, "examples": 1}),
    "probes": (ProbesConfig, {"train_size": 64, "test_size": 64, "ks": (1,), "curve_points": 1}),
}


def configured(name: str, run: Path, out: Path) -> Any:
    if name == "synthetic":
        return SyntheticConfig(
            out, truths=("ind",), variants=("topk",), settings=("topk.d_sae=40", "topk.k=2"), truth_seeds=(0, 1),
            seeds=(0, 1), planted=(), steps=20, batch=128, d_in=16, tokens=1000,
        )  # fmt: skip
    kind, told = OF_SAES[name]
    if name == "probes":
        task = out.with_name("task.csv")
        task.write_text(
            "text,label\n" + "".join(f"{'north' if at % 2 else 'south'} {at},{at % 2}\n" for at in range(160))
        )
        told = told | {"tasks": (f"{task}:text:label",)}
    corpora = (run / "corpora" / "own", run / "corpora" / "cool")
    return kind((run / "saes",), out, corpora=corpora, tokens=400, device="cpu", **told)


def without_own(name: str, run: Path, folder: Path) -> Any:
    """A study's configuration; what it reads beside the run is written into a folder."""

    def rows(file: str, *lines: dict[str, Any]) -> Path:
        path = folder / file
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return path

    saes, out = (run / "saes",), folder / "out"
    if name == "absorption":
        words = [{"text": f"x = {n}", "parent": "ab"[n % 2], "child": "cd"[n % 3 % 2]} for n in range(40)]
        return AbsorptionConfig(
            saes, out, labels=(rows("words.jsonl", *words),), without_letters=True, folds=2, device="cpu"
        )
    if name == "interventions":
        pairs = [{"text": f"boat {n}", "a": n % 2, "b": n // 2 % 2} for n in range(200)]
        place = f"{rows('pairs.jsonl', *pairs)}:text:a:b"
        return InterventionsConfig(saes, out, device="cpu", pair=place, train_size=16, test_size=16, latents=(2,))
    if name == "explanations":
        return ExplanationsConfig(saes, out, tokens=400, device="cpu", explainer="nobody")
    if name == "unlearning":
        asked = [
            rows(
                f"{side}.jsonl",
                *({"question": f"{side} {n}", "choices": ["a", "b"], "answer": n % 2} for n in range(24)),
            )
            for side in ("forget", "retain")
        ]
        return UnlearningConfig(
            saes, out, forget="own", retain="cool", forget_questions=str(asked[0]), retain_questions=str(asked[1]),
            tokens=400, device="cpu",
        )  # fmt: skip
    return configured(name, run, out)


def results(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "results.parquet")


@pytest.mark.parametrize(
    "name", ["sparsity", *(pytest.param(name, marks=pytest.mark.slow) for name in [*OF_SAES, "synthetic"][1:])]
)
def test_parts_keep_what_the_whole_study_finds(name: str, run: Path, tmp_path: Path) -> None:
    study, told = KNOWN[name], configured(name, run, tmp_path / "parts")
    parts = [study.run_part(told, Part(number, 2), silent) for number in (1, 0, 1)]
    assert not (told.out / "summary.json").exists() and not (told.out / "settings.json").exists()
    every = parts[0].done + parts[1].done
    assert [one.left for one in parts] == [every - parts[0].done, 0, 0] and 0 < parts[0].left < every
    assert parts[0].reused == parts[1].reused == 0 and parts[2].reused == parts[2].done, "nothing is done twice"
    found = study.run(told, silent)
    assert found.reused == every
    alone = study.run(replace(told, out=tmp_path / "alone"), silent)
    assert results(found.folder).equals(results(alone.folder))


@pytest.mark.parametrize("name", [name for name, study in KNOWN.items() if study.shares_out])
def test_every_study_that_says_so_shares_out(name: str, run: Path, tmp_path: Path) -> None:
    """The first of far too many parts has nothing of its own, and ends where the others' work would begin."""
    done = KNOWN[name].run_part(without_own(name, run, tmp_path), Part(0, 10**6), silent)
    assert (done.done, done.reused) == (0, 0) and done.left > 0


def test_of_a_part_that_is_missing_the_whole_study_does_the_rest(run: Path, tmp_path: Path) -> None:
    told = configured("sparsity", run, tmp_path / "out")
    assert KNOWN["sparsity"].run_part(told, Part(2, 3), silent).left == 4
    assert KNOWN["sparsity"].run(told, silent).reused == 2


def test_parts_let_each_other_in_and_keep_out_who_does_all(run: Path, tmp_path: Path) -> None:
    told, study = configured("sparsity", run, tmp_path / "out"), KNOWN["sparsity"]
    with folder_lock(told.out), pytest.raises(FaithfulError, match="Another process"):
        study.run_part(told, Part(0, 100), silent)
    with as_part(Part(0, 2), told.out), folder_lock(told.out):
        assert study.run_part(told, Part(0, 100), silent).left == 6
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(told.out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout and other.stdout.readline() == "\n"
        with pytest.raises(FaithfulError, match=f"Parts of this work are being done in {told.out}; wait"):
            study.run(told, silent)
        other.communicate("\n")


def test_the_command_refuses_bad_parts_and_prints_the_line_for_all(run: Path, tmp_path: Path) -> None:
    def said(*words: str) -> str:
        return CliRunner().invoke(app, ["study", *words, str(run / "saes"), "--out", str(tmp_path / "o")]).stderr

    assert "no part 17/16: parts are numbered from 0" in said("fakes", "--part", "17/16")
    assert "add --part 0/16" in said("fakes", "--dry-run")
    words = ["study", "fakes", str(run / "saes"), "--part", "0/4", "--dry-run", "--json", "--executor", "ray"]
    given = json.loads(CliRunner().invoke(app, words).stdout)
    assert given["sbatch"].endswith(" --executor ray --part $SLURM_ARRAY_TASK_ID/4'")
    line = said("fakes", "--part", "0/4", "--dry-run", "--device", "cpu", "--seed", "3")
    assert line.startswith(f"sbatch --array=0-3 --wrap 'faithful study fakes {run / 'saes'} "), line
    assert line.endswith("--device cpu --seed 3 --part $SLURM_ARRAY_TASK_ID/4'\n") and not (tmp_path / "o").exists()


@pytest.mark.slow
def test_two_parts_at_once_in_one_folder(run: Path, tmp_path: Path) -> None:
    told = configured("reconstruction", run, tmp_path / "parts")
    line = [sys.executable, "-m", "faithful", "study", "reconstruction", str(run / "saes"), "--out", str(told.out)]
    line += [word for folder in told.corpora for word in ("--corpus", str(folder))]
    line += ["--tokens", "400", "--device", "cpu", "--set", "ks=1", "--part"]
    both = [subprocess.Popen([*line, f"{number}/2"], stderr=subprocess.PIPE, text=True) for number in (0, 1)]
    said = [one.communicate()[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert any("; no SAEs are left to other parts" in one for one in said)
    study = KNOWN["reconstruction"]
    assert study.run(told, silent).reused == len(list((told.out / "cells").glob("*.json")))
    alone = study.run(replace(told, out=tmp_path / "alone"), silent)
    assert results(told.out).equals(results(alone.folder))

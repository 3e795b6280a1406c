"""`faithful generate` as typed: forms of values, forecasts, refusals."""

import json
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.faithful.cli.called import call, refused


def test_dry_run_as_typed() -> None:
    result = call("generate", "--model", "pythia-2.8b", "--dry-run")
    assert result.exit_code == 0, result.output
    for shown in (
        "pythia-2.8b",
        "80M training",
        "2M held-out",
        "511 tokens",
        "runs/pythia-2.8b/corpora/own",
    ):
        assert shown in result.stdout
    for row in ("samples, shards", "disk", "memory per worker", "samples in flight", "time"):
        assert row in result.stdout
    assert list(Path().iterdir()) == []


def test_dry_run_as_json() -> None:
    result = call("generate", "--model", "pythia-2.8b", "--dry-run", "--json")
    answer = json.loads(result.stdout)
    assert (answer["train_tokens"], answer["test_tokens"], answer["max_tokens"]) == (80_000_000, 2_000_000, 511)
    assert answer["preset"] == {
        "context": 512, "tokens": 80_000_000, "layer": 24, "d_sae": 15_360, "k": 64, "lr": 1e-4
    }  # fmt: skip
    assert answer["kv_bytes_per_token"] in (327_680, 655_360)
    for name in ("samples", "shards", "disk_bytes", "memory_bytes", "concurrency", "seconds"):
        assert answer[name] > 0
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("text", "tokens"), [("20000", 20_000), ("20k", 20_000), ("100M", 10**8), ("1e8", 10**8), ("2.5e6", 2_500_000)]
)
def test_forms_of_tokens(text: str, tokens: int) -> None:
    answer = json.loads(call("generate", "--tokens", text, "--dry-run", "--json").stdout)
    assert answer["train_tokens"] == tokens
    assert answer["model"] == "tiny"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tokens", "many"], ["--tokens", "0"], ["--tokens", "1.5"], ["--held-out", "x"], ["--certify-tokens", "x"],
        ["--temperature", "3"], ["--temperature", "0"], ["--top-p", "0"], ["--top-k", "-1"], ["--min-p", "1"],
        ["--mode", "songs"], ["--max-tokens", "0"], ["--engine", "magic"], ["--device", "tpu"], ["--model", "no/such"],
        ["--model", "nowhere"],
    ],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("dry", [["--dry-run"], []], ids=["dry run", "for real"])
def test_bad_values_are_one_sentence(arguments: list[str], dry: list[str]) -> None:
    said = refused("generate", *arguments, *dry)
    assert "Traceback" not in said
    assert list(Path().iterdir()) == []


def test_an_unknown_model_offline_says_what_to_do() -> None:
    said = refused("generate", "--model", "someone/nothing")
    assert "someone/nothing" in said
    assert "faithful models" in said or "offline" in said


def test_the_command_that_joins_a_part_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Mock(folder=Path("my part"), note="Done.")
    monkeypatch.setattr("generation.own.generate.generate", lambda *_: made)
    told = call("generate", "--part", "0/2").stderr
    assert told.endswith("Next, when all parts are there: faithful corpus join 'my part' OTHERS --out CORPUS\n")


def test_the_line_for_all_parts_has_all_gpus_of_a_job() -> None:
    words = ["generate", "--model", "pythia-2.8b", "--part", "0/16", "--dry-run", "--assume", "h100"]
    said = call(*words, "--workers", "2", "--tensor-parallel", "2", "--revision", "0123abc").output
    assert "--gpus=4" in said and "--revision 0123abc" in said
    assert "--shards 3,1 --part $SLURM" in call(*words, "--shards", "3,1").output
    assert "sbatch" not in call(*words, "--out", "own").output, "all parts in one folder"
    assert json.loads(call(*words, "--json").stdout)["sbatch"] in call(*words).output

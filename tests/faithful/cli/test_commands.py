"""The command line as typed: what goes to stdout, what to stderr, and with which exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from faithful.models.presets import presets
from tests.faithful.cli.called import call, refused


@pytest.mark.parametrize("words", ["--help", "study probes --help"])
def test_help_imports_nothing_heavy(words: str) -> None:
    code = """
import sys
sys.argv[0] = "faithful"
from faithful.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = {"torch", "transformers", "polars", "datasets", "pyarrow", "numpy", "scipy", "matplotlib", "jinja2"}
print("HEAVY", sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code, *words.split()], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY []"
    assert "Usage: faithful" in done.stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], ["generate", "--help"], ["corpus", "--help"], ["corpus", "certify", "-h"]]
)
def test_every_command_explains_itself(arguments: list[str]) -> None:
    result = call(*arguments)
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "faithful", "models"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "pythia-2.8b" in done.stdout
    assert "Next: faithful generate" in done.stderr
    assert "Next:" not in done.stdout


def test_models_as_json_are_the_presets() -> None:
    result = call("models", "--json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert list(answer) == list(presets())
    assert answer["pythia-2.8b"]["d_sae"] == 15_360
    assert answer["llama-3.1-8b"]["shape"]["layers"] == 32


def test_doctor_is_a_table() -> None:
    result = call("doctor")
    assert result.exit_code == 0
    for name in ("Python", "memory", "GPU", "vLLM", "Hub", "disk", "embedded model"):
        assert name in result.stdout
    assert "Next:" in result.stderr


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


def test_the_list_says_where_each_set_is_read_from() -> None:
    shown = call("corpus", "list")
    assert shown.exit_code == 0
    words = shown.stdout.split()
    for word in (
        "HuggingFaceFW/fineweb",
        "sample-10BT/train",
        "en/train",
        "EleutherAI/the_pile_deduplicated",
        "embedded",
    ):
        assert word in words


@pytest.mark.parametrize("flags", [[], ["--strict"]], ids=["plain", "strict"])
@pytest.mark.parametrize("verdict", ["consistent with the declared sampling", "close", "not from this distribution"])
def test_only_strict_minds_the_verdict(monkeypatch: pytest.MonkeyPatch, verdict: str, flags: list[str]) -> None:
    monkeypatch.setattr(
        "generation.certificate.certify.certify", lambda config, report: {"verdict": verdict, "tests": {}}
    )
    done = call("corpus", "certify", "somewhere", "--json", *flags)
    assert json.loads(done.stdout)["verdict"] == verdict
    assert done.exit_code == int(bool(flags) and not verdict.startswith("consistent"))


def test_export_knows_one_format() -> None:
    assert "input_ids" in refused("corpus", "export", "x", "--context", "8", "--format", "csv")

"""`faithful generate` on a tiny model, as tests call it: in a process of its own, or in theirs."""

import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from faithful.cli import app

SMALL = [
    "--shard-rows", "24", "--batch", "8", "--max-tokens", "31", "--certify-tokens", "0", "--seed", "7",
    "--held-out", "300",
]  # fmt: skip


def command(model: Path, out: Path, tokens: int = 1500, *more: str) -> list[str]:
    """The command for a corpus of `tokens` tokens; what is stated in `more` replaces what is stated here."""
    head = [sys.executable, "-m", "faithful", "generate", "--model", str(model), "--out", str(out)]
    return [*head, "--tokens", str(tokens), *SMALL, "--workers", "1", *more]


def run(arguments: list[str], **kwargs: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=240, check=False, **kwargs)  # type: ignore[call-overload, no-any-return]


def ask(arguments: list[str]) -> Result:
    """The command in this process: for what ends before an engine starts."""
    return CliRunner().invoke(app, arguments[3:])


def data_bytes(folder: Path) -> dict[str, bytes]:
    """Every file of samples."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for split in ("data", "test")
        for path in sorted((folder / split).glob("*"))
    }


def lasting_bytes(folder: Path) -> dict[str, bytes]:
    """Every file, hidden ones too, but those that differ from run to run: the log and the lock."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("log.jsonl", ".lock")
    }


def unequal(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    """The files that one folder has and the other has not, or has otherwise."""
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))

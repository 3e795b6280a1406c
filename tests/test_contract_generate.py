"""What `faithful generate` and `faithful corpus certify` promise, on the embedded model, as typed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from faithful.store.corpus import read_manifest
from tests.shell import Done, Shell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

TYPED = "faithful generate --model tiny --seed 7 --out own"
KEYS = {
    "surprise_gap", "ci95", "z", "p_value", "p_holm", "tests", "impossible_share", "boundary_share", "tokens_scored",
    "verdict",
}  # fmt: skip
Files = dict[Path, tuple[int, bytes]]


def files(folder: Path) -> Files:
    """Every file with its time and content."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with Shell(tmp_path_factory.mktemp("contract") / "here") as running:
        yield running


@pytest.fixture(scope="module")
def own(shell: Shell) -> Path:
    """20,000 tokens, not certified."""
    made = shell(f"{TYPED} --tokens 20000 --certify-tokens 0")
    assert made.code == 0, made.stderr
    assert read_manifest(shell.folder / "own").tokens() >= 20_000
    return shell.folder / "own"


@pytest.fixture(scope="module")
def before(own: Path) -> Files:
    return files(own)


@pytest.fixture(scope="module")
def refused(shell: Shell, before: Files) -> tuple[Done, Files]:
    return shell(f"{TYPED} --tokens 20000 --temperature 0.7"), files(shell.folder / "own")


@pytest.fixture(scope="module")
def again(shell: Shell, before: Files) -> tuple[Done, Files]:
    return shell(f"{TYPED} --tokens 20000 --certify-tokens 0 --json"), files(shell.folder / "own")


@pytest.fixture(scope="module")
def grown(shell: Shell, before: Files, again: object, refused: object) -> Files:
    """The same folder with 40,000 tokens, once all that needs the 20,000 is done."""
    done = shell(f"{TYPED} --tokens 40000 --certify-tokens 0")
    assert done.code == 0, done.stderr
    return files(shell.folder / "own")


@pytest.fixture(scope="module")
def fewer(shell: Shell, grown: Files) -> tuple[Done, Files]:
    return shell(f"{TYPED} --tokens 20000 --certify-tokens 0"), files(shell.folder / "own")


@pytest.fixture(scope="module")
def certified(shell: Shell, fewer: object) -> Done:
    """The certificate of all that there is in the end."""
    return shell("faithful corpus certify own --json")


def test_a_certificate_has_its_ten_keys_and_finds_the_models_own_text_consistent(certified: Done) -> None:
    assert certified.code == 0, certified.stderr
    certificate = json.loads(certified.stdout)
    assert set(certificate) >= KEYS
    assert certificate["verdict"] == "consistent with the declared sampling"
    assert certificate["tokens_scored"] >= 40_000
    low, high = certificate["ci95"]
    assert low < certificate["surprise_gap"] < high


def test_the_same_command_does_nothing_and_says_so(again: tuple[Done, Files], before: Files) -> None:
    done, after = again
    assert done.code == 0, done.stderr
    assert "nothing to do" in done.stderr
    assert after == before
    answer = json.loads(done.stdout)
    assert answer["changed"] is False
    assert answer["tokens"]["train"] >= 20_000


def test_another_temperature_is_refused_by_name_and_touches_nothing(refused: tuple[Done, Files], before: Files) -> None:
    done, after = refused
    assert done.code == 2
    assert "temperature 0.7 asked for, 1.0 in the corpus" in done.stderr
    assert done.stdout == ""
    assert after == before


def test_40000_extend_20000_to_what_40000_at_once_give(shell: Shell, grown: Files, before: Files) -> None:
    """The held-out split of the second is smaller: nothing in `data/` depends on it."""
    direct = shell(
        "faithful generate --model tiny --seed 7 --out direct --tokens 40000 --held-out 300 --certify-tokens 0"
    )
    assert direct.code == 0, direct.stderr
    expected = data_of(files(shell.folder / "direct"))
    assert data_of(grown) == expected != data_of(before)
    assert read_manifest(shell.folder / "own").tokens() >= 40_000


def data_of(found: Files) -> dict[str, bytes]:
    """The contents of the files in `data/`."""
    return {path.name: content for path, (_, content) in found.items() if path.parent.name == "data"}


def test_20000_afterwards_change_nothing(fewer: tuple[Done, Files], grown: Files) -> None:
    done, after = fewer
    assert done.code == 0, done.stderr
    assert "more than the 20,000 asked for" in done.stderr
    assert after == grown


def test_generate_alone(shell: Shell) -> None:
    """A hundredth of the 200,000 and 20,000 tokens that it means, which take minutes; nothing else is changed."""
    fewer = (
        "from dataclasses import replace; import faithful.models.presets as c, generation.writing.splits as p;"
        " p.HELD_OUT_LEAST = 200;"
        "c.presets()['tiny'] = replace(c.presets()['tiny'], tokens=2000)"
    )
    made = shell("faithful generate", fewer)
    assert made.code == 0, made.stderr
    folder = shell.folder / "runs/tiny/corpora/own"
    manifest = read_manifest(folder)
    assert (manifest.requested, manifest.identity["model"]["name"]) == ({"train": 2000, "test": 200}, "tiny")
    assert manifest.certificate and manifest.statistics
    assert "Certificate" in made.stdout and "Statistics" in made.stdout
    assert (folder / "README.md").exists() and "Next: faithful corpus add prose" in made.stderr
    before = files(folder)
    again = shell("faithful generate", fewer)
    assert again.code == 0 and "nothing to do" in again.stderr
    assert files(folder) == before
    stats = shell("faithful corpus stats")
    assert stats.code == 0 and "runs/tiny" in stats.stderr

"""A GGUF file as a model, as typed: a corpus of its own, another's text, SAEs, a study, a recipe; cards say what it is."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from faithful.store.corpus import read_manifest
from tests.families import build_family
from tests.gguf_files import write_gguf
from tests.shell import Shell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MODEL = "Boat-1M.Q8_0.gguf"
NAME = "Boat-1M Q8_0, dequantised"
GENERATE = f"faithful generate --model {MODEL} --tokens 2500 --held-out 700 --max-tokens 23 --shard-rows 64 --json"
RUN = Path("runs/Boat-1M.Q8_0")
RECIPE = f"""model = "{MODEL}"
seeds = "0"
tokens = 2000
[corpora.own]
[corpora.prose]
add = "prose"
context = 24
[train]
layer = 1
d_sae = 64
k = 4
context = 24
[studies.corpora]
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    home = tmp_path_factory.mktemp("gguf") / "here"
    with Shell(home) as running:
        write_gguf(build_family("llama", home.parent / "model"), home / MODEL, stored="Q8_0")
        yield running


def typed(shell: Shell, line: str) -> str:
    done = shell(line)
    assert done.code == 0, done.stderr
    assert "it/s" not in done.stderr, "a library's own bar"
    return done.stdout


def test_generate_certify_add_train_study(shell: Shell) -> None:
    home = shell.folder
    typed(shell, f"{GENERATE} --dry-run")
    assert [path.name for path in (home / "runs/.models").glob("*/[!.]*")] == ["plain"]
    typed(shell, f"{GENERATE} --certify-tokens 1500")
    own = home / RUN / "corpora" / "own-l23"
    manifest = read_manifest(own)
    assert manifest.identity["model"]["name"] == NAME
    assert manifest.certificate is not None and manifest.certificate["verdict"] in ("consistent", "too few tokens")
    card = (own / "README.md").read_text(encoding="utf-8")
    assert f"**{NAME}**" in card and "license: apache-2.0" in card
    assert f"faithful.resolve_model({json.dumps(str(home / MODEL))}).weights" in card
    before = {path: path.stat().st_mtime_ns for path in (home / "runs/.models").rglob("*") if path.is_file()}
    typed(shell, GENERATE.replace("2500", "4000"))
    typed(shell, f"faithful corpus add prose --for {MODEL} --tokens 2500 --held-out 700 --context 24 --json")
    typed(shell, f"faithful corpus certify {own} --as-temperature 0.7 --tokens 1500 --json")
    train = "faithful train --seeds 0,1 --layer 1 --d-sae 64 --k 4 --tokens 2000 --context 24 --eval-tokens 300 --json"
    typed(shell, train)
    studied = json.loads(typed(shell, "faithful study reconstruction --json"))
    assert studied["model"]["name"] == NAME
    typed(shell, "faithful report")
    assert NAME in (home / RUN / "report.html").read_text(encoding="utf-8")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_recipe_takes_a_gguf_file(shell: Shell) -> None:
    (shell.folder / "boat.toml").write_text(RECIPE)
    typed(shell, "faithful run boat.toml --json")
    summary = json.loads((shell.folder / "runs/boat/studies/corpora/summary.json").read_text(encoding="utf-8"))
    assert summary["model"]["name"] == NAME


def test_a_file_that_changed_is_refused_and_nothing_is_written(shell: Shell) -> None:
    home = shell.folder
    family = build_family("llama", home.parent / "other", seed=1)
    kept = (home / MODEL).read_bytes()
    before = (home / RUN / "corpora/own-l23/corpus.json").read_bytes()
    try:
        write_gguf(family, home / MODEL, stored="Q8_0")
        for line in (GENERATE.replace("2500", "6000"), "faithful train --seeds 3 --layer 1 --d-sae 64 --k 4"):
            done = shell(line)
            assert done.code == 2 and "files have changed" in " ".join(done.stderr.split()), done.stderr
        (home / MODEL).write_bytes(kept[: len(kept) // 2])
        done = shell("faithful generate --model Boat-1M.Q8_0.gguf --out cut")
        assert done.code == 2 and "cut off or damaged" in " ".join(done.stderr.split()), done.stderr
        assert not (home / "cut").exists()
    finally:
        (home / MODEL).write_bytes(kept)
    assert (home / RUN / "corpora/own-l23/corpus.json").read_bytes() == before


@pytest.mark.engine
def test_vllm_samples_from_the_same_folder(shell: Shell) -> None:
    typed(shell, f"{GENERATE} --engine vllm --out vllm --certify-tokens 1500")
    manifest = read_manifest(shell.folder / "vllm")
    assert manifest.certificate is not None and manifest.certificate["verdict"] in ("consistent", "too few tokens")

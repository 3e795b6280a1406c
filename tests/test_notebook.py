"""The notebook runs from top to bottom as it stands; its first cell installs what is not there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = json.loads((Path(__file__).parents[1] / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_cell_runs_after_those_before_it(tmp_path: Path) -> None:
    (tmp_path / "cells.py").write_text("\n\n".join(CELLS))
    done = subprocess.run(
        [sys.executable, "-c", "exec(open('cells.py').read())"],
        cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ | {"MPLBACKEND": "agg"}, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "as it was sampled: consistent" in said and "as if at temperature 0.7: not" in said, said
    assert "the same codes in SAELens: True" in said
    assert said.count("fires most on") == 8
    assert len(re.findall(r"^\d+\.\d\d on .* in .*$", said, re.MULTILINE)) == 5


@pytest.mark.parametrize("lacks", ["faithful", "sae_lens"])
def test_what_is_not_there_is_installed_from_where_the_cell_is_told_or_it_asks(
    lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed: list[list[str]] = []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == lacks else name)
    monkeypatch.setattr("subprocess.run", lambda line, check: typed.append(line))
    with pytest.raises(RuntimeError, match="fill in REPOSITORY"):
        exec(CELLS[0], {})
    exec(CELLS[0].replace('REPOSITORY = ""', 'REPOSITORY = "https://example.org/it.git"'), {})
    assert [line[1:] for line in typed] == [
        ["-m", "pip", "install", "-q", "faithful-sae[sae] @ git+https://example.org/it.git"]
    ]

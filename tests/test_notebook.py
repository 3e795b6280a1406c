"""The notebook runs from top to bottom as it stands, but for the cell that installs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_cell_runs_after_those_before_it(tmp_path: Path) -> None:
    cells = [
        "".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"
    ]
    installs = [cell for cell in cells if "%pip" in cell]
    (tmp_path / "cells.py").write_text("\n\n".join(cell for cell in cells if cell not in installs))
    done = subprocess.run(
        [sys.executable, "-c", "exec(open('cells.py').read())"],
        cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ | {"MPLBACKEND": "agg"}, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert len(installs) == 1
    assert "as it was sampled: consistent" in said and "as if at temperature 0.7: not" in said, said
    assert "the same codes in SAELens: True" in said
    assert said.count("fires most on") == 8
    assert len(re.findall(r"^\d+\.\d\d on .* in .*$", said, re.MULTILINE)) == 5

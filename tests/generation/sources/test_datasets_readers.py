"""Sets read through the datasets library."""

from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from generation.sources.datasets_readers import Stream


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

"""Upload records on disk, damaged or not there."""

from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.files import sha256_file
from studies.runs.neuronpedia.files import SENT, Batch, read_body, read_sent, read_source, read_upload, write_sent

AGAIN = "faithful export neuronpedia tried"


def test_what_lacks_or_is_damaged_is_named_with_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match=f"holds no upload records; write them with `{AGAIN}`"):
        read_upload(tmp_path, AGAIN)
    (tmp_path / "source.json").write_text('{"key": "x"}')
    with pytest.raises(FaithfulError, match=f"`batches` is missing.*; write it again with `{AGAIN}`"):
        read_source(tmp_path, AGAIN)


def test_a_body_is_read_only_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "00000.json"
    path.write_text('{"features":[]}')
    batch: Batch = {"file": path.name, "first": 0, "last": 1, "latents": 2, "bytes": 15, "sha256": sha256_file(path)}
    assert read_body(tmp_path, batch, AGAIN) == {"features": []}
    path.write_text('{"features":[1]}')
    with pytest.raises(FaithfulError, match=f"was edited or damaged; write it again with `{AGAIN}`"):
        read_body(tmp_path, batch, AGAIN)


def test_what_servers_have_is_never_taken_for_nothing(tmp_path: Path) -> None:
    assert read_sent(tmp_path) == {}
    write_sent(tmp_path, {"http://x": {"made": True, "accepted": {"00000.json": "0" * 64}, "sending": None}})
    assert read_sent(tmp_path)["http://x"]["made"]
    path = tmp_path / SENT
    path.write_text(path.read_text().replace("true", "false"))
    with pytest.raises(FaithfulError, match="it says what Neuronpedia has already"):
        read_sent(tmp_path)

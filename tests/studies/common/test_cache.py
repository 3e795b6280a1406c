"""What studies keep: one file per result, named by all that decides it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.base.records import read_record
from studies.common.cache import ResultCache


def sae(sha256: str) -> Any:
    return SimpleNamespace(sha256=sha256)


def test_a_result_is_computed_once_per_key_and_per_what_decides_all(tmp_path: Path) -> None:
    computed: list[int] = []

    def compute() -> dict[str, Any]:
        computed.append(len(computed))
        return {"value": computed[-1]}

    cache = ResultCache(tmp_path, 1, "text")
    assert [cache.once(compute, *key)["value"] for key in (("a",), ("a",), ("b",), ("a", "b"))] == [0, 0, 1, 2]
    assert cache.reused == 1
    assert ResultCache(tmp_path, 1, "text").once(compute, "b") == {"value": 1}
    assert ResultCache(tmp_path, 2, "text").get("b") is None


def test_a_label_stands_in_the_name_for_people(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    cache.put({"value": 1}, "k", label="topics")
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("topics-") and read_record(path, dict) == {"value": 1}
    assert cache.get("k", label="topics") == {"value": 1} and cache.get("k") is None


def test_saes_of_one_hash_are_measured_once_and_each_is_kept_when_it_comes(tmp_path: Path) -> None:
    """A study that is killed between two SAEs measures the second alone."""
    cache = ResultCache(tmp_path)
    saes = [sae("a"), sae("b"), sae("a")]

    def measure(missing: list[Any]) -> Any:
        assert [one.sha256 for one in missing] == ["a", "b"]
        yield {"of": "a"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.figures(saes, measure)
    found = cache.figures(saes, lambda missing: [{"of": one.sha256} for one in missing if one.sha256 == "b"])
    assert found == {"a": {"of": "a"}, "b": {"of": "b"}} and cache.reused == 2


def test_passes_are_kept_until_the_result_is_whole(tmp_path: Path) -> None:
    cache, one = ResultCache(tmp_path, "text"), sae("a")
    assert cache.lacking([one], "noise") == [one]
    cache.keep(one, "noise", {"sums": torch.arange(3), "seen": 7})
    assert cache.lacking([one], "noise") == []
    kept = cache.kept(one, "noise")
    assert kept["seen"] == 7 and torch.equal(kept["sums"], torch.arange(3))
    cache.put({"value": 1}, "a")
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]


def test_tensors_are_computed_once_and_their_checkpoint_goes(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)

    def compute(checkpoint: Path) -> Any:
        checkpoint.write_text("half")
        return {"rows": torch.ones(2)}

    assert not cache.has_tensors("k")
    assert torch.equal(cache.tensors(compute, "k")["rows"], torch.ones(2)) and cache.has_tensors("k")
    assert torch.equal(cache.tensors(lambda _: pytest.fail("again"), "k")["rows"], torch.ones(2))
    assert torch.equal(cache.kept_tensors("k")["rows"], torch.ones(2))
    with pytest.raises(FaithfulError):
        cache.kept_tensors("other")
    assert not cache.has_tensors("other"), "to read writes nothing"
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FaithfulError, match="is damaged"):
        cache.tensors(lambda _: None, "k")


def test_what_a_killed_process_left_beside_a_whole_result_goes_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be killed after it wrote the result, before it removed what the result was made of."""
    cache, one = ResultCache(tmp_path, "text"), sae("a")
    cache.keep(one, "noise", {"sums": torch.arange(3)})
    with monkeypatch.context() as killed:
        killed.setattr("studies.common.cache._remove_passes", lambda _: None)
        cache.put({"value": 1}, "a")
    cache.tensors(lambda checkpoint: checkpoint.write_text("half"), "k")
    (tensors,) = tmp_path.glob("*.pt")
    tensors.with_suffix(".checkpoint").write_text("half")
    assert len(list(tmp_path.iterdir())) == 4
    assert cache.get("a") == {"value": 1}
    cache.tensors(lambda _: None, "k")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".pt"]

"""Parts are all of the work, and each ends before what needs all of it."""

from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.quantities import Part
from faithful.executor.parts import PartDone, as_part, end_part, own


def test_parts_share_out_jobs_that_lie_together_where_they_are_sorted(tmp_path: Path) -> None:
    saes = [(corpus, seed) for corpus in "ab" for seed in range(3)]
    shares, plain = [], []
    for number in range(3):
        with as_part(Part(number, 3), tmp_path):
            shares.append(own(saes, order=lambda sae: sae[1]))
            plain += own(saes)
    assert shares == [[("a", seed), ("b", seed)] for seed in range(3)]
    assert plain == own(saes) == own(saes, order=lambda sae: -sae[1]) == saes


def test_a_part_ends_before_what_needs_all_of_the_work(tmp_path: Path) -> None:
    with pytest.raises(PartDone) as done, as_part(Part(0, 3), tmp_path):
        end_part(2, 1, lambda: 4)
    assert (done.value.done, done.value.reused, done.value.left) == (2, 1, 4)
    end_part(2, 1, lambda: pytest.fail("counted for nobody"))


def test_a_folder_whose_locks_reach_no_other_machine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = f"1 0 0:1 / {tmp_path} rw - nfs server:/x rw,nolock"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: mounts)
    with pytest.raises(FaithfulError, match="mounted with nolock"), as_part(Part(0, 3), tmp_path / "out"):
        pytest.fail("the part was begun")

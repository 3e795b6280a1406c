"""Figures that hold a corpus against the model's own text, against direct computation."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from generation.certificate import reference
from generation.certificate.reference import find_reference, first_documents


def test_a_corpus_beside_that_cannot_be_read_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a-damaged", "prose", "z-own"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "corpus.json").write_text('{"format": "of another version"}')
    read: Any = reference.read_manifest
    monkeypatch.setattr(
        reference, "read_manifest", lambda path: Mock() if path.name in ("prose", "z-own") else read(path)
    )
    monkeypatch.setattr(reference, "is_reference", lambda manifest, spec: True)
    assert find_reference(tmp_path / "prose", Mock()) == tmp_path / "prose"
    monkeypatch.setattr(reference, "read_manifest", lambda path: Mock() if path.name == "z-own" else read(path))
    assert find_reference(tmp_path / "prose", Mock()) == tmp_path / "z-own"


def test_first_documents_stop_at_the_budget_and_leave_out_empty_ones():
    documents = [np.zeros(n, np.int64) for n in (3, 0, 4, 5)]
    assert [len(d) for d in first_documents(documents, 6)] == [3, 4]
    assert [len(d) for d in first_documents(documents, 99)] == [3, 4, 5]

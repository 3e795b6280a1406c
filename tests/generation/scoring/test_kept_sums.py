"""Sums of a scoring that may be stopped."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faithful.base.progress import Progress
from generation.certificate.certify import certify
from generation.configs.certify import CertifyConfig
from generation.scoring import chunks
from generation.scoring.kept_sums import FOLDER, KeptSums, forget_sums
from generation.scoring.scorer import Scorer


class Stopped(BaseException):
    """Stands for Ctrl-C."""


def scored_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of each batch that is scored from now on."""
    real, found = Scorer.score, []

    def score(self: Scorer, documents: list[np.ndarray], predictions: np.ndarray) -> Any:
        found.append(len(predictions))
        return real(self, documents, predictions)

    monkeypatch.setattr(Scorer, "score", score)
    return found


@pytest.mark.parametrize("step", ["scoring", "reference"])
def test_a_scoring_that_was_stopped_goes_on_and_gives_the_same(
    own: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 16)
    config, found = CertifyConfig(own, everything=True, device="cpu"), scored_batches(monkeypatch)
    undisturbed = certify(config)
    whole = sum(found)
    for stops in range(1, 4):
        calls = 0

        def stop(point: Progress, at: int = stops) -> None:
            nonlocal calls
            calls += point.step == step
            if calls == 2 * at:
                raise Stopped

        found.clear()
        with pytest.raises(Stopped):
            certify(config, stop)
        assert sum(found) < whole
        assert list((own / FOLDER).rglob("*.npz"))
    victim = sorted((own / FOLDER).rglob("*.npz"))[0]
    victim.write_bytes(victim.read_bytes()[:50])
    found.clear()
    points: list[Progress] = []
    again = certify(config, points.append)
    assert again == undisturbed
    assert 0 < sum(found) < whole * (0.8 if step == "scoring" else 0.5)
    assert not (own / FOLDER).exists()
    assert [point.done for point in points if point.step == step] == sorted(
        {point.done for point in points if point.step == step}
    )


def test_kept_sums_are_of_one_corpus_declaration_and_seed_alone(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 16)
    config, found = CertifyConfig(own, everything=True, device="cpu"), scored_batches(monkeypatch)
    certify(config)
    whole = sum(found)

    def stop(point: Progress) -> None:
        if point.step == "reference":
            raise Stopped

    with pytest.raises(Stopped):
        certify(config, stop)
    for other in (replace(config, seed=1), replace(config, as_temperature=0.9)):
        found.clear()
        with pytest.raises(Stopped):
            certify(other, stop)
        assert sum(found) > 0.5 * whole
    found.clear()
    with pytest.raises(Stopped):
        certify(config, stop)
    assert not found
    monkeypatch.setattr(chunks, "CHUNK", 17)
    with pytest.raises(Stopped):
        certify(config, stop)
    assert sum(found) > 0.5 * whole, "sums of chunks cut otherwise are others"


def test_the_reference_is_not_held_against_itself(own: Path) -> None:
    """Its held-out text is what other text is held against."""
    config, read = CertifyConfig(own, tokens=1000, device="cpu"), list[str]()
    assert certify(config, lambda point: read.append(point.step))["reference"] == own.name and "reference" in read
    read.clear()
    found = certify(replace(config, split="test"), lambda point: read.append(point.step))
    assert found["verdict"] and "reference" not in found and "reference" not in read


def test_where_nothing_can_be_kept_it_is_scored_all_the_same(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own / FOLDER).write_text("a file in the way")
    assert certify(CertifyConfig(own, tokens=1000, device="cpu"))["stored"]
    (own / FOLDER).unlink()
    elsewhere = own.parent / "elsewhere"
    (elsewhere / "precious").mkdir(parents=True)
    (elsewhere / "precious" / "file").write_text("a")
    (own / FOLDER).symlink_to(elsewhere)
    certify(CertifyConfig(own, tokens=1000, device="cpu"))
    assert [path.name for path in elsewhere.rglob("*")] == ["precious", "file"]


def test_what_is_kept_of_a_finished_scoring_goes_and_that_of_one_that_goes_on_stays(tmp_path: Path) -> None:
    sums = {"a": np.ones(2)}
    for key in ("finished", "going on"):
        KeptSums(tmp_path, key).save(0, sums)
    finished, going_on = (KeptSums(tmp_path, key).folder for key in ("finished", "going on"))
    assert finished is not None and going_on is not None
    os.utime(finished, (100, 100))
    forget_sums(tmp_path, since=200)
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == [going_on.name]
    forget_sums(tmp_path)
    forget_sums(tmp_path)
    assert not (tmp_path / FOLDER).exists()

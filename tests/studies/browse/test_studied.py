"""What studies left, as the pages take it."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from faithful.base.errors import FaithfulError
from faithful.base.records import write_record
from faithful.store.saes import find_saes
from studies.browse.studied import Studied
from studies.common.results import SUMMARY
from studies.explanations.kept import EXPLANATIONS, read_explanations
from studies.seeds.matching import match
from studies.statistics.latents import LATENTS, write_latents
from studies.statistics.stable import read_stable
from tests.studies.seeds.made import directions


def test_partners_are_those_of_the_matching_seen_from_both_sides(studied_run: Path) -> None:
    saes = find_saes([studied_run / "saes"])
    studied = Studied(studied_run, saes)
    for sae in saes:
        partners = studied.of(sae).partners
        apart = [one for one in saes if one.seed != sae.seed]
        assert [one.other for one in partners] == apart, "all but those of its own start"
    one, other = saes[0], next(sae for sae in saes if sae.corpus != saes[0].corpus and sae.seed != saes[0].seed)
    found = match(directions(one.tensor("W_dec")), directions(other.tensor("W_dec"))).partners
    there = next(of for of in studied.of(one).partners if of.other == other)
    back = next(of for of in studied.of(other).partners if of.other == one)
    np.testing.assert_array_equal(there.columns[found.rows], found.columns)
    np.testing.assert_array_equal(back.columns[found.columns], found.rows)
    np.testing.assert_allclose(there.cosines[found.rows], found.cosines, rtol=1e-6)
    np.testing.assert_allclose(back.cosines[found.columns], found.cosines, rtol=1e-6)


def test_stability_is_that_of_the_study_and_the_best_partner_the_nearest(studied_run: Path) -> None:
    saes = find_saes([studied_run / "saes"])
    stable, studied = read_stable(studied_run / "studies" / "seeds"), Studied(studied_run, saes)
    for sae in saes:
        found = studied.of(sae)
        np.testing.assert_array_equal(found.columns["stable"] > 0.5, stable[sae.sha256])
        every = np.stack([one.cosines for one in found.partners])
        np.testing.assert_array_equal(found.columns["best"], every.max(0))


def test_fakes_and_probe_weights_are_read_and_what_lacks_is_named(studied_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "tried"
    shutil.copytree(studied_run, run)
    saes = find_saes([run / "saes"])
    commands = [line for _, line in Studied(run, saes).missing]
    assert commands == [f"faithful study fakes {run}", f"faithful study probes {run}"]
    width = saes[0].d_sae
    for name, figures in (
        ("fakes", {"fake": np.arange(width) % 2}),
        ("probes", {"a": np.ones(width), "b": np.zeros(width)}),
    ):
        write_latents(run / "studies" / name / LATENTS, {sae.sha256: figures for sae in saes})
    studied = Studied(run, saes)
    found = studied.of(saes[0])
    assert studied.missing == [] and studied.tasks == ["a", "b"]
    assert found.columns["fake"].sum() == width // 2 and found.columns["weight"] == pytest.approx(np.full(width, 0.5))
    write_record(run / "studies" / "probes" / SUMMARY, {"unmarked": ["b"]})
    weight = Studied(run, saes).of(saes[0]).columns["weight"]
    assert not weight.any(), "the mean is over tasks that are not at their ceiling"
    shutil.rmtree(run / "studies" / "seeds")
    alone = [sae for sae in saes if sae.seed == saes[0].seed]
    assert len(alone) > 1 and not Studied(run, alone).missing, (
        "what began alike is never matched: no command would add it"
    )
    assert [line for _, line in Studied(run, saes).missing] == [f"faithful study seeds {run}"]
    assert Studied(run, saes).of(saes[0]).columns.keys() == {"fake", "weight"}


def test_explanations_are_read_with_their_detection(studied_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "tried"
    shutil.copytree(studied_run, run)
    saes = find_saes([run / "saes"])
    path = run / "studies" / "explanations" / EXPLANATIONS
    path.parent.mkdir()
    rows = {"sha256": saes[0].sha256, "latent": [7, 3], "explanation": ["names", "towns"], "detection": [0.75, 0.5]}
    rows["explained"] = [True, False]
    pl.DataFrame(rows).write_parquet(path)
    studied = Studied(run, saes)
    found = studied.of(saes[0])
    assert found.explanations == {7: ("names", 0.75, True), 3: ("towns", 0.5, False)}
    assert (
        found.columns["detection"][[3, 7]].tolist() == [0.5, 0.75] and np.isnan(found.columns["detection"]).sum() == 94
    )
    assert studied.of(saes[1]).explanations == {} and "detection" not in studied.of(saes[1]).columns
    path.write_bytes(b"PAR1")
    with pytest.raises(FaithfulError, match=r"Cannot read .*explanations\.parquet"):
        read_explanations(path)

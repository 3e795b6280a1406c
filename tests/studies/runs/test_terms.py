"""What other people's texts ask of who publishes a run."""

import json
import re
import shutil
from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.hub.card_file import metadata_of
from faithful.hub.config import PublishConfig
from studies.runs.publish import publish_run, publish_saes
from tests.faithful.hub.named import NAME, quote
from tests.faithful.hub.state import Hub
from tests.faithful.hub.things import external_corpus, grid, own_corpus, whole_run


class TestTerms:
    def test_a_report_that_quotes_other_peoples_text_wants_its_terms_accepted(self, hub: Hub, tmp_path: Path) -> None:
        run = whole_run(tmp_path / "run")
        with pytest.raises(FaithfulError, match=r"\[web: web, licence odc-by\] .* quoted in report\.html"):
            publish_run(PublishConfig(run, NAME))
        assert not hub.log
        (run / "report.html").unlink()
        publish_run(PublishConfig(run, NAME))
        assert "report.html" not in hub.repositories["model", NAME].files

    def test_what_a_study_quotes_has_its_terms_wherever_the_corpus_lies(self, tmp_path: Path) -> None:
        run, away = tmp_path / "run", external_corpus(tmp_path / "data" / "fw")
        own_corpus(run / "corpora" / "own")
        grid(run / "saes", ("own", "fw"))
        places = {"own": "../corpora/own", "fw": str(away)}
        (run / "saes" / "corpora.json").write_text(json.dumps(places))
        assert conditions(run) == {}
        quote(run, [])
        quote(run, ["random tokens", "own"])
        assert conditions(run) == {}
        quote(run, ["fw"])
        assert conditions(run) == {"fw": ("odc-by", "quoted in studies/other/summary.json.")}
        (run / "report.html").write_text("<html></html>")
        assert conditions(run) == {"fw": ("odc-by", "quoted in report.html and studies/other/summary.json.")}
        quote(run, ["own"], partner="fw")
        assert conditions(run).keys() == {"fw"}

    def test_corpora_that_only_a_study_was_told_of(self, tmp_path: Path) -> None:
        run, away = tmp_path / "run", external_corpus(tmp_path / "data" / "fw")
        grid(run / "saes")
        own_corpus(run / "corpora" / "own")
        quote(run, ["fw"])
        assert conditions(run) == {"fw": (None, "quoted in studies/other/summary.json.")}
        (run / "studies" / "other" / "settings.json").write_text(json.dumps({"corpora": [str(away)], "seed": 0}))
        assert conditions(run) == {"fw": ("odc-by", "quoted in studies/other/summary.json.")}

    @pytest.mark.parametrize("noted", [True, False])
    def test_a_corpus_that_is_gone_is_of_unknown_licence(self, hub: Hub, tmp_path: Path, noted: bool) -> None:
        run = whole_run(tmp_path / "run")
        shutil.rmtree(run / "corpora" / "web")
        if not noted:
            (run / "saes" / "corpora.json").unlink()
        with pytest.raises(
            FaithfulError, match=r"\[web: web, licence unknown\] .* quoted in report\.html.*no longer here"
        ):
            publish_run(PublishConfig(run, NAME))
        assert not hub.log
        publish_run(PublishConfig(run, NAME, accept_licence=True))

    def test_saes_away_from_their_corpora_carry_the_clauses_of_their_family(self, tmp_path: Path) -> None:
        saes = grid(tmp_path / "saes", model="meta-llama/Llama-3.1-70B")
        card = publish_saes(PublishConfig(saes, NAME), dry_run=True).plans[0].card
        assert 'carry a name that begins with "Llama"' in card
        assert "license" not in metadata_of(card)


def conditions(run: Path) -> dict[str, tuple[str | None, str]]:
    """Licence and place of what the model repository of a run quotes, by corpus."""
    from studies.runs.bundles import run_bundles

    model = run_bundles(run, NAME, include_external=False, endpoint="").model
    assert model
    words = {one.corpus: re.search(r"quoted in .*?(json|html)\.", one.terms) for one in model.conditions}
    return {one.corpus: (one.licence, (words[one.corpus] or [""])[0]) for one in model.conditions}

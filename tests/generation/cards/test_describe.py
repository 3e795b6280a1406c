"""What a finished corpus gets."""

import json
from pathlib import Path

from typer.testing import CliRunner

from faithful.base.files import folder_lock
from faithful.cli import app
from faithful.store.corpus import read_manifest
from generation.cards.card import write_card
from generation.cards.describe import statistics_of
from generation.cards.parts import BESIDE
from generation.certificate.certify import certify
from generation.configs.certify import CertifyConfig


def test_statistics_show_the_figures_that_need_the_model(own: Path) -> None:
    before = statistics_of(own)
    certificate = certify(CertifyConfig(own, device="cpu"))
    shown = statistics_of(own)
    assert {name: shown[name] for name in BESIDE} == {name: certificate[name] for name in BESIDE}
    assert before.keys() <= shown.keys()
    assert "excess_ce" not in before
    assert "| excess ce |" in write_card(own).read_text(encoding="utf-8")


def test_a_folder_that_another_process_holds_gets_figures_that_are_not_stored(own: Path) -> None:
    with folder_lock(own):
        done = CliRunner().invoke(app, ["corpus", "certify", str(own), "--tokens", "1000", "--device", "cpu", "--json"])
    assert done.exit_code == 0, done.output
    assert f"Not stored in {own}: another process is writing" in done.stderr
    assert json.loads(done.stdout)["stored"] is False
    assert read_manifest(own).certificate is None

"""`faithful models` and `faithful doctor` as typed."""

import json

from faithful.models.presets import presets
from tests.faithful.cli.called import call


def test_models_as_json_are_the_presets() -> None:
    result = call("models", "--json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert list(answer) == list(presets())
    assert answer["pythia-2.8b"]["d_sae"] == 15_360
    assert answer["llama-3.1-8b"]["shape"]["layers"] == 32


def test_doctor_is_a_table() -> None:
    result = call("doctor")
    assert result.exit_code == 0
    for name in ("Python", "memory", "GPU", "vLLM", "Hub", "disk", "embedded model"):
        assert name in result.stdout
    assert "Next:" in result.stderr

"""What doctor finds."""

import json

from faithful.cli.examine import examine
from tests.faithful.cli.called import call


def test_doctor_as_json_offline() -> None:
    result = call("doctor", "--json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert list(answer) == [finding.name for finding in examine()]
    assert answer["Hub"]["ok"] is False
    assert "offline mode is on" in answer["Hub"]["found"]
    assert answer["embedded model"]["ok"] is True
    assert all(finding["advice"] for finding in answer.values() if not finding["ok"])

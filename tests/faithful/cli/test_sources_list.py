"""`faithful corpus list` as typed."""

import json

from generation.sources.resolve import catalog
from tests.faithful.cli.called import call


def test_the_list_says_where_each_set_is_read_from() -> None:
    shown = call("corpus", "list")
    assert shown.exit_code == 0
    words = shown.stdout.split()
    for word in (
        "HuggingFaceFW/fineweb",
        "sample-10BT/train",
        "en/train",
        "EleutherAI/the_pile_deduplicated",
        "embedded",
    ):
        assert word in words


def test_the_list_as_json_has_what_the_catalog_states_and_nothing_that_only_resolving_finds() -> None:
    found = json.loads(call("corpus", "list", "--json").stdout)
    assert list(found) == [source.name for source in catalog()]
    assert all("sha256" not in facts and "data_files" in facts for facts in found.values())

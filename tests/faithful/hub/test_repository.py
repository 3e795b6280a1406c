"""A Hub that is silent or late."""

from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.hub.errors import is_of_the_client
from faithful.hub.repository import Repository
from tests.faithful.hub.named import NAME, publish
from tests.faithful.hub.state import Fault, Hub
from tests.faithful.hub.things import REQUESTS, own_corpus

EVERY_REQUEST = [*REQUESTS, "GET /api/datasets/user/things"]


class TestSilenceAndDelays:
    @pytest.mark.parametrize("where", EVERY_REQUEST)
    def test_silence_at_any_request_ends(
        self, hub: Hub, corpus: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        monkeypatch.setattr("faithful.hub.errors.SILENCE_SECONDS", 0.3)
        hub.faults.append(Fault(where, "hang"))
        assert publish(corpus).changed
        assert not hub.faults

    def test_silence_while_a_file_is_read(
        self, hub: Hub, corpus: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish(corpus)
        monkeypatch.setattr("faithful.hub.errors.SILENCE_SECONDS", 0.3)
        own_corpus(corpus, shards=4)
        hub.faults.append(Fault("/resolve/", "hang"))
        assert publish(corpus).revision == "v2"
        assert not hub.faults

    def test_silence_after_the_client_opened_a_new_session(
        self, hub: Hub, pauses: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from huggingface_hub.utils import close_session

        hub.create("dataset", NAME)
        place = Repository(NAME, "dataset")
        place.read()
        close_session()
        monkeypatch.setattr("faithful.hub.errors.SILENCE_SECONDS", 0.3)
        hub.faults.append(Fault("/tree/", "hang"))
        assert place.read().head

    @pytest.mark.parametrize("where", EVERY_REQUEST)
    def test_a_long_delay_is_told_and_not_waited_for(
        self, hub: Hub, corpus: Path, pauses: list[float], where: str
    ) -> None:
        hub.faults.append(Fault(where, 429, headers={"Retry-After": "3600"}))
        with pytest.raises(FaithfulError, match=r"quota is used up for 1(\.0)? h.*; run the same command again then"):
            publish(corpus)
        assert pauses == []
        publish(corpus)

    def test_a_fault_of_ours_is_not_blamed_on_the_hub(
        self, hub: Hub, corpus: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from huggingface_hub import HfApi

        def broken(*args: object, **kwargs: object) -> None:
            raise TypeError("ours")

        monkeypatch.setattr(HfApi, "create_commit", broken)
        with pytest.raises(TypeError, match="ours"):
            publish(corpus)
        assert not is_of_the_client(ValueError("ours"))
        assert is_of_the_client(ConnectionResetError())

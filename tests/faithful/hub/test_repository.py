"""A Hub that is silent or late, and files that it has or has not for us."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from faithful.base.errors import FaithfulError
from faithful.hub.errors import UnreachableError, is_of_the_client
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


class TestFiles:
    """One file of a model, as models and SAEs are read."""

    @pytest.fixture
    def place(self, hub: Hub) -> Repository:
        hub.create("model", NAME)
        hub.edit("model", NAME, "config.json", b"{}")
        return Repository(NAME, "model")

    def test_a_file_or_none(self, place: Repository, hub: Hub) -> None:
        found = place.find("config.json", None)
        assert found is not None and found.read_bytes() == b"{}"
        assert place.find("other.json", None) is None

    def test_a_broken_line_is_tried_again(self, place: Repository, hub: Hub, pauses: list[float]) -> None:
        hub.faults.append(Fault("HEAD /user/things/resolve", "reset"))
        assert place.find("config.json", None) is not None
        assert not hub.faults and pauses

    @pytest.mark.parametrize(
        ("name", "revision", "fault", "says"),
        [
            (NAME, None, {"X-Error-Code": "GatedRepo"}, "user/things is gated: accept its terms"),
            (NAME, None, {}, "The Hub refuses user/things to this token ("),
            (NAME, "v9", None, "user/things has no revision 'v9'; check --revision."),
            ("user/nothing", None, None, "There is no 'user/nothing' on the Hub, or it is private: check the name"),
        ],
    )
    def test_what_the_hub_has_not_for_us_is_said_at_once(
        self, place: Repository, hub: Hub, pauses: list[float], name: str, revision: str | None,
        fault: dict[str, str] | None, says: str,
    ) -> None:  # fmt: skip
        if fault is not None:
            hub.faults.append(Fault("/resolve/", 403, headers=fault))
        with pytest.raises(FaithfulError) as caught:
            Repository(name, "model").find("config.json", revision)
        assert str(caught.value).startswith(says) and pauses == []

    def test_without_a_way_to_the_hub_nobody_waits(
        self, place: Repository, pauses: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = place.find("config.json", None)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert place.find("config.json", None) == found
        with pytest.raises(
            UnreachableError, match=r"^other\.json of user/things is .* \(offline mode is on\); connect\.$"
        ):
            place.find("other.json", None)
        assert pauses == []

"""What is asked of a server, and what goes wrong with one, in a sentence."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from studies.explanations import endpoint as room
from studies.explanations.endpoint import Answer, Endpoint, RefusedError
from studies.explanations.place import KEY, PLACE
from tests.studies.explanations.oracle import Server, serving

MESSAGES = [{"role": "user", "content": "x"}]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "AGAIN", 0)
    monkeypatch.delenv(KEY, raising=False)
    monkeypatch.delenv(PLACE, raising=False)


def test_the_only_model_is_asked_with_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "s3cret\n")
    with serving(Server(lambda messages: messages[0]["content"] * 2, key="s3cret")) as server:
        asked = Endpoint(server.address)
        assert asked.name == "oracle" and asked.ask(MESSAGES, 5) == Answer("xx", 7, 3)
        assert server.asked == [{"messages": MESSAGES, "model": "oracle", "max_tokens": 5, "temperature": 0.0}]
        for key, said in (("other", f"does not take the key in {KEY}"), ("schlüssel", f"{KEY} holds characters")):
            monkeypatch.setenv(KEY, key)
            with pytest.raises(FaithfulError, match=said):
                Endpoint(server.address).ask(MESSAGES, 5)


def test_a_model_that_is_stated_or_known_need_not_be_listed() -> None:
    with serving(Server(lambda _: "x", models=("a", "/some/folder/b"))) as server:
        assert Endpoint(server.address, "alias").ask(MESSAGES, 5).read == 7
        known = Endpoint(server.address, known="b")
        assert known.name == "b" and server.asked[0]["model"] == "alias"
        known.ask(MESSAGES, 5)
        assert server.asked[1]["model"] == "/some/folder/b", "its last part is what it is called"
        assert Endpoint(server.address, "/some/folder/b").name == "b"
        with pytest.raises(
            FaithfulError, match="has the models a, b, and c explained before; choose one with --explainer"
        ):
            Endpoint(server.address, known="c").ask(MESSAGES, 5)
    assert Endpoint(server.address, known="b").name == "b", "nobody is asked for a name"


def test_models_that_reason_take_other_words() -> None:
    with serving(Server(lambda _: "x")) as server:
        server.refuses = "max_tokens"
        asked = Endpoint(server.address)
        assert [asked.ask(MESSAGES, 5).said for _ in range(2)] == ["x", "x"]
        assert server.asked == [{"messages": MESSAGES, "model": "oracle", "max_completion_tokens": 5}] * 2


def test_several_at_once_learn_that_a_model_reasons() -> None:
    together = Barrier(4)

    def create(**how: Any) -> Any:
        if "max_tokens" in how:
            together.wait(10)  # all are asked before the first is refused
            raise RefusedError("Unsupported parameter: 'max_tokens'")
        choice = SimpleNamespace(message=SimpleNamespace(content="x"), finish_reason="stop")
        return SimpleNamespace(usage=None, choices=[choice])

    asked = Endpoint("http://127.0.0.1:1/v1", "m")
    vars(asked)["_client"] = SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))
    with ThreadPoolExecutor(4) as pool:
        assert [one.said for one in pool.map(lambda _: asked.ask(MESSAGES, 5), range(4))] == ["x"] * 4


def test_an_answer_that_was_cut_off_is_none() -> None:
    with serving(Server(lambda _: "x", reason="length")) as server:
        assert Endpoint(server.address).ask(MESSAGES, 5) == Answer(None, 7, 3)


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ({"models": ("a", "b")}, "has the models a, b; choose one with --explainer"),
        ({"models": ()}, "has no model; choose"),
        ({"models": tuple("abcdefghij")}, "has 10 models, a, b, c, d, e, f, g, h among them; choose"),
        ({"status": 401}, "does not take the key"),
        ({"status": 403}, "does not take the key"),
        ({"status": 404}, "does the address end in /v1"),
        ({"status": 429}, "takes no more requests for now"),
        ({"status": 500}, "did not answer: "),
        ({"body": "<html>hello</html>"}, "does not answer as OpenAI's interface does"),
        ({"body": '{"hello": 1}'}, "has no model; choose"),
    ],
)
def test_what_a_server_says_before_the_work(of: dict[str, Any], said: str) -> None:
    with serving(Server(**of)) as server, pytest.raises(FaithfulError, match=said) as raised:
        Endpoint(server.address).name  # noqa: B018 (it is asked for)
    assert room.GO_ON not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "body", "said", "is_refused"),
    [
        (400, "", "refuses a question: .*said so", True),
        (422, "", "refuses a question: .*said so", True),
        (503, "", "did not answer: .*; what was answered is kept", False),
        (200, "[]", "does not answer as OpenAI's interface does", False),
        (200, "nonsense", "does not answer as OpenAI's interface does", False),
        (200, '{"choices": []}', "does not answer as OpenAI's interface does", False),
    ],
)
def test_what_a_server_says_amid_the_work(server: Server, status: int, body: str, said: str, is_refused: bool) -> None:
    asked = Endpoint(server.address, "oracle")
    server.status, server.body = status, body
    with pytest.raises(FaithfulError, match=said) as raised:
        asked.ask(MESSAGES, 5)
    assert isinstance(raised.value, RefusedError) == is_refused


def test_nobody_answers_or_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Server()) as server:
        pass
    with pytest.raises(FaithfulError, match="does not answer; start a server, as with `vllm serve MODEL`"):
        Endpoint(server.address).ask(MESSAGES, 5)
    monkeypatch.setattr(room, "PATIENCE", 0.3)
    with (
        serving(Server(lambda _: "x", delay=1.0)) as server,
        pytest.raises(FaithfulError, match=r"has not answered in 0 seconds, 1 times; .*requests=1; what was answered"),
    ):
        Endpoint(server.address, "oracle").ask(MESSAGES, 5)


def test_a_proxy_that_the_client_cannot_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks9://127.0.0.1:1")
    with pytest.raises(FaithfulError, match="The client of OpenAI does not start: "):
        Endpoint("http://127.0.0.1:1/v1", "x").ask(MESSAGES, 5)

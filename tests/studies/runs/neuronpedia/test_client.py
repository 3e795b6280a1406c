"""Neuronpedia's client, which is an extra: what lacks is said in a sentence, and the records are as the client has them."""

import sys
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from studies.runs.neuronpedia.client import KEY, PUBLIC, Neuronpedia, RefusedError
from studies.runs.neuronpedia.config import MOST_LATENTS
from tests.studies.runs.neuronpedia.conftest import Handler, Server


def test_without_the_client_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "neuronpedia", None)
    with pytest.raises(
        FaithfulError, match=r"not installed; install it with `pip install 'faithful-sae\[neuronpedia\]'`"
    ):
        Neuronpedia()


def test_without_a_key_or_an_address_it_says_what_to_set(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from neuronpedia.requests.base_request import NPRequest

    with pytest.raises(FaithfulError, match="'localhost' is no address; write it as http://localhost:3000"):
        Neuronpedia("localhost")
    assert Neuronpedia(f"{server.address}/").address == server.address
    assert Neuronpedia(f"{server.address}/api/").address == server.address
    assert Neuronpedia().address == PUBLIC == NPRequest.BASE_URL.removesuffix("/api")
    monkeypatch.delenv(KEY)
    with pytest.raises(FaithfulError, match=f"{KEY} is not set"):
        Neuronpedia(server.address)


def test_a_key_that_is_not_known_and_a_server_that_is_not_there(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(KEY, "another")
    with pytest.raises(FaithfulError, match="does not know the key"):
        Neuronpedia(server.address).make_model("x", 2, "X")
    with pytest.raises(
        FaithfulError, match=r"http://127.0.0.1:9 does not answer, asked for m/s/3; .*goes on from here"
    ):
        Neuronpedia("http://127.0.0.1:9").has_feature("m", "s", 3)
    assert capsys.readouterr().out == "", "the client prints every request"


@pytest.mark.parametrize(
    ("status", "content", "said"),
    [
        (413, b"<html>too large", r"refuses the model x: status 413, <html>too large\.$"),
        (400, b'{"error": "layers"}', r'refuses the model x: status 400, .*layers"}\.$'),
        (200, b'{"ok": true}', "does not answer as Neuronpedia does, .*is it the address of one?"),
        (502, b"bad gateway", "did not take the model x: status 502, bad gateway; .*goes on from here"),
    ],
)
def test_an_answer_that_is_not_expected_is_shown(
    status: int, content: bytes, said: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "do_POST", lambda self: self.answer(status, content))
    with pytest.raises(FaithfulError, match=said) as raised:
        Neuronpedia(server.address).make_model("x", 2, "X")
    assert isinstance(raised.value, RefusedError) == (400 <= status < 500)


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        ({"Content-Length": "100"}, b"{", "does not answer, asked for the model x"),
        ({"Transfer-Encoding": "chunked"}, b"5\r\n{", "does not answer, asked for the model x"),
        ({"Content-Length": "3", "Content-Encoding": "gzip"}, b"not", "did not take the model x: .*gzip"),
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_that_is_cut_off_or_damaged(
    status: int, headers: dict[str, str], body: bytes, said: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Handler) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    monkeypatch.setattr(Handler, "do_POST", broken)
    with pytest.raises(FaithfulError, match=f"{said}.*goes on from here") as raised:
        Neuronpedia(server.address).make_model("x", 2, "X")
    assert not isinstance(raised.value, RefusedError)


def test_limits_are_the_clients(server: Server) -> None:
    from neuronpedia.requests import feature_request

    assert feature_request.MAX_FEATURES_PER_BATCH == MOST_LATENTS
    server.sets = {"m/s": {}}
    shown: Any = {"tokens": ["a"], "values": [1.0], "quantileMax": None, "quantileMin": None, "quantileFraction": None}
    one: Any = {"density": 0.5, "activations": [shown], "explanations": [], "topLogits": None, "bottomLogits": None}
    place = Neuronpedia(server.address)
    place.upload({"modelId": "m", "source": "1-s", "features": [one | {"index": at} for at in range(MOST_LATENTS)]})
    assert place.has_feature("m", "1-s", 127) and not place.has_feature("m", "1-s", 128)
    explained = one | {
        "index": 128,
        "explanations": [{"text": "dogs", "methodName": "oai_token-act-pair", "modelName": None}],
    }
    place.upload({"modelId": "m", "source": "1-s", "features": [explained]})
    assert server.uploads[-1]["features"] == [explained]

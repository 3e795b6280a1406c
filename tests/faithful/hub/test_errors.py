"""What is tried again, when, and the sentences for what is not."""

import errno
import time
from typing import Any

import pytest
from huggingface_hub import close_session, constants, get_session
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import _http, httpx

from faithful.base.errors import FaithfulError
from faithful.hub.errors import (
    LONGEST_DELAY,
    Attempts,
    ConnectionLostError,
    delay_of,
    fault_here,
    first_line,
    hub_sentence,
    is_transient,
    watched,
    with_retries,
)


def answer(status: int, **headers: str) -> HfHubHTTPError:
    """An error of the client for an answer of the Hub."""
    response = httpx.Response(status, headers=headers, request=httpx.Request("GET", "http://hub/x"))
    return HfHubHTTPError(f"{status} said\nmore", response=response)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520])
def test_a_status_that_may_pass_is_tried_again(status: int) -> None:
    assert is_transient(answer(status))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 422])
def test_another_is_not(status: int) -> None:
    assert not is_transient(answer(status))


def test_broken_lines_are_tried_again_and_faults_of_ours_are_not() -> None:
    for error in (
        ConnectionResetError(),
        TimeoutError(),
        httpx.ReadTimeout("silence"),
        LocalEntryNotFoundError("gone"),
    ):
        assert is_transient(error)
    for fault in (FaithfulError("said"), OfflineModeIsEnabled("off"), FileNotFoundError(), ValueError("ours")):
        assert not is_transient(fault)


def test_the_servers_delay_comes_before_our_pauses(slept: list[float]) -> None:
    attempts = Attempts((1.0, 2.0, 3.0), lambda error, count: FaithfulError(f"{count} times"))
    attempts.wait(answer(503))
    attempts.wait(answer(429, **{"Retry-After": "7"}))
    attempts.wait(answer(429, RateLimit="limit;r=0;t=11"))
    with pytest.raises(FaithfulError, match="4 times"):
        attempts.wait(answer(503))
    assert slept == [1.0, 7.0, 11.0]


def test_no_delay_is_waited_for_without_end(slept: list[float]) -> None:
    Attempts((1.0,), lambda error, count: error).wait(answer(429, **{"Retry-After": "86400"}))
    assert slept == [LONGEST_DELAY]
    assert delay_of(answer(500)) is None


def test_reading_ends_with_a_sentence(slept: list[float]) -> None:
    def broken() -> None:
        raise ConnectionResetError("reset by peer")

    with pytest.raises(ConnectionLostError, match=r"broke 3 times while reading web \(reset by peer\)"):
        with_retries(broken, "web", (1.0, 2.0))
    assert slept == [1.0, 2.0]


def test_another_error_passes_as_it_is(slept: list[float]) -> None:
    cause = OSError("why")

    def broken() -> None:
        raise ValueError("ours") from cause

    with pytest.raises(ValueError, match="ours") as caught:
        with_retries(broken, "web", (1.0, 2.0))
    assert caught.value.__cause__ is cause
    assert slept == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (answer(401), "does not accept the token"),
        (answer(403), "The Hub refuses user/x to this token (403 said); log in with one that may."),
        (answer(503), "the Hub cannot be reached or does not answer (503 said)"),
        (answer(404), "user/x: the Hub answers: 404 said."),
        (OfflineModeIsEnabled("off"), "Offline mode is on"),
    ],
)
def test_sentences(error: Exception, words: str) -> None:
    found = hub_sentence(error, "user/x")
    assert isinstance(found, FaithfulError)
    assert words in str(found)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; mend that and run"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/cache/x"),
            "/cache/x: Permission denied; mend that and run",
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "The memory ran out; end other programs"),
    ],
)
def test_what_this_machine_refuses_is_not_said_of_the_hub(error: OSError, says: str) -> None:
    for one in (hub_sentence(error, "user/x"), fault_here(error)):
        assert isinstance(one, FaithfulError) and str(one).startswith(says)
    for elsewhere in (
        answer(404),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        OSError("said"),
        ValueError("ours"),
    ):
        assert fault_here(elsewhere) is None


def test_a_fault_of_ours_gets_no_sentence() -> None:
    fault = TypeError("ours")
    assert hub_sentence(fault, "user/x") is fault
    assert first_line(ValueError("")) == "ValueError"
    assert first_line(OSError("404 for url http://x/y\nmore")) == "404"


def test_requests_have_limits_while_they_are_watched_and_not_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def limits() -> Any:
        request = get_session().build_request("GET", "http://hub/x", timeout=None)
        for hook in get_session().event_hooks["request"]:
            hook(request)
        return request.extensions["timeout"]

    with watched():
        inside = limits()
    assert set(inside.values()) == {100.0}
    assert set(limits().values()) == {None}


def test_a_client_that_somebody_else_set_up_is_kept_with_what_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    seen: list[str] = []

    def make() -> httpx.Client:
        hooks = {"request": [lambda request: seen.append(request.url.path)]}
        return httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200)), event_hooks=hooks)

    monkeypatch.setattr(_http, "_GLOBAL_CLIENT_FACTORY", make)
    close_session()
    for path in ("/a", "/b"):
        with watched():
            request = get_session().get(f"http://hub{path}", timeout=None).request
        assert set(request.extensions["timeout"].values()) == {100.0}
        close_session()  # the client begins anew
    assert seen == ["/a", "/b"]
    monkeypatch.undo()
    close_session()

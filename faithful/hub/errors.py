"""What goes wrong between us and the Hub: what is worth another attempt and when, and the sentence for what is not."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from faithful.base.errors import FaithfulError, sentence_of
from faithful.base.quantities import format_seconds

T = TypeVar("T")
PAUSES = (1.0, 5.0, 20.0, 60.0)
"""Seconds between attempts to read: a set is read for hours, so that a line may be broken for a while."""
PAUSES_OF_A_CALL = (2.0, 4.0, 8.0, 16.0)
PAUSES_OF_A_PATIENT_CALL = PAUSES_OF_A_CALL[:1]
"""For calls that the client itself repeats five times."""
TRANSIENT = (408, 425, 429)
LONGEST_DELAY = 900.0
SILENCE_SECONDS = 100.0
CLIENTS = ("huggingface_hub", "httpx", "httpx2", "httpcore", "httpcore2")
_watching = 0


class ConnectionLostError(FaithfulError):
    """A connection did not come back; what is stored can be gone on from."""


class UnreachableError(FaithfulError):
    """There is no way to the Hub, and what was asked for is not in the client's cache."""


class Attempts:
    """Attempts at one piece of work: what may pass is waited for, as long as the server asks or for growing pauses.

    Args:
        pauses: seconds after each attempt but the last, where the server does not say.
        sentence: from an error and the number of attempts to what is raised where there is to be no other.

    Attributes:
        failed: how many attempts failed, one after the other.
    """

    def __init__(self, pauses: tuple[float, ...], sentence: Callable[[Exception, int], Exception]) -> None:
        self.pauses, self.sentence, self.failed = pauses, sentence, 0

    def wait(self, error: Exception) -> None:
        """Sleep before the next attempt.

        Raises:
            FaithfulError: there is to be none; or whatever else `sentence` makes of the error.
        """
        self.failed += 1
        if self.failed > len(self.pauses) or not is_transient(error):
            found = self.sentence(error, self.failed)
            if found is error:
                raise error
            raise found from error
        delay = delay_of(error)
        time.sleep(self.pauses[self.failed - 1] if delay is None else min(delay, LONGEST_DELAY))


def with_retries(work: Callable[[], T], what: str, pauses: tuple[float, ...] = PAUSES) -> T:
    """Read something; a broken connection is tried again after each of the pauses (in seconds).

    Raises:
        ConnectionLostError: the connection broke once more than there are pauses.
    """
    attempts = Attempts(pauses, lambda error, count: connection_lost(what, count, error))
    while True:
        try:
            return work()
        except Exception as error:
            attempts.wait(error)


def connection_lost(what: str, attempts: int, error: Exception) -> Exception:
    """The sentence for a connection that did not come back; an error of another kind stays as it is."""
    if not is_transient(error):
        return error
    return ConnectionLostError(
        f"The connection to the Hub broke {attempts} times while reading {what} ({first_line(error)}); run the same"
        " command again later, it goes on from what is stored."
    )


def hub_sentence(error: Exception, name: str, revision: str | None = None) -> Exception:
    """An error of the client in one sentence; one of this program stays as it is.

    Args:
        error: what was raised.
        name: the repository that was asked for.
        revision: what of it.
    """
    if isinstance(error, FaithfulError) or not is_of_the_client(error):
        return error
    if found := refused(error, name, revision):
        return found
    status = status_of(error)
    reason = str(getattr(error, "server_message", None) or "") or first_line(error)
    if status == 401:
        return FaithfulError("The Hub does not accept the token; log in again with `hf auth login`, or mend HF_TOKEN.")
    if status == 403:
        return FaithfulError(f"The Hub refuses {name} to this token ({reason.rstrip('.')}); log in with one that may.")
    if _lacks_xet(error):
        return FaithfulError("This Hub has no Xet storage; set HF_HUB_DISABLE_XET=1 and run the same command again.")
    if type(error).__name__ == "OfflineModeIsEnabled":
        return FaithfulError("Offline mode is on; unset HF_HUB_OFFLINE and run the same command again.")
    if is_transient(error):
        return FaithfulError(
            f"{name}: the Hub cannot be reached or does not answer ({reason.rstrip('.')}); run the same command again, and"
            " it goes on from what is there."
        )
    if here := fault_here(error):
        return here
    return FaithfulError(f"{name}: the Hub answers: {' '.join(reason.split()).rstrip('.')}.")


def refused(error: Exception, name: str, revision: str | None) -> FaithfulError | None:
    """The sentence for a repository, or a revision of it, that the Hub does not have for us; None for all else."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, RevisionNotFoundError):
        return FaithfulError(f"{name} has no revision '{revision}'; check --revision.")
    if isinstance(error, GatedRepoError):
        return FaithfulError(f"{name} is gated: accept its terms on the Hub and log in with `hf auth login`.")
    if isinstance(error, RepositoryNotFoundError):
        return FaithfulError(
            f"There is no '{name}' on the Hub, or it is private: check the name, or log in with `hf auth login`."
        )
    return None


def fault_here(error: Exception) -> FaithfulError | None:
    """The sentence for what this machine refuses, such as room in the cache; None for what comes from elsewhere."""
    if not isinstance(error, OSError) or not error.errno or is_transient(error):
        return None
    return FaithfulError(str(sentence_of(error)))


def first_line(error: BaseException) -> str:
    """The first line of an error's text without the address asked, else the name of its type."""
    lines = [line.split(" for url ")[0].strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".:")[:200]


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later: a broken line, silence, too many requests, a fault of the server."""
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
    from huggingface_hub.utils import httpx

    if isinstance(error, OfflineModeIsEnabled | FaithfulError) or _lacks_xet(error):
        return False
    status = status_of(error)
    if status is not None:
        return status in TRANSIENT or status >= 500
    return isinstance(error, ConnectionError | TimeoutError | LocalEntryNotFoundError | httpx.RequestError)


def is_gated(error: Exception) -> bool:
    """Whether the Hub hides something; it answers alike for what is not there."""
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import RepositoryNotFoundError

    return isinstance(error, RepositoryNotFoundError | DatasetNotFoundError) or status_of(error) in (401, 403)


def gated(what: str) -> FaithfulError:
    """The sentence for a set that the Hub hides."""
    return FaithfulError(
        f"The set '{what}' is gated or missing: check the name, accept its terms on the Hub, and log in with"
        " `hf auth login`."
    )


def is_of_the_client(error: BaseException) -> bool:
    """Whether an error tells of the Hub or of the way to it, and not of a fault in this program."""
    if isinstance(error, FaithfulError | OSError):
        return True
    if any(kind.__module__.split(".")[0] in CLIENTS for kind in type(error).__mro__):
        return True
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    raised_in = str(trace.tb_frame.f_globals.get("__name__", "")) if trace else ""
    return isinstance(error, ValueError | RuntimeError) and raised_in.split(".")[0] in CLIENTS


def cause_of(error: Exception) -> Exception:
    """What went wrong: the client hides it behind a RuntimeError in an upload, behind the lack of a copy in a download."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    inner, hides = error.__cause__, type(error) is RuntimeError or isinstance(error, LocalEntryNotFoundError)
    return inner if hides and isinstance(inner, Exception) and is_of_the_client(error) else error


def status_of(error: BaseException | None) -> int | None:
    """HTTP status of an error, None where there was no answer."""
    return getattr(getattr(error, "response", None), "status_code", None)


def delay_of(error: Exception) -> float | None:
    """Seconds that the server asks to wait (`Retry-After`, or the `RateLimit` header's reset), None where it does not say."""
    return _delay_in(status_of(error), getattr(getattr(error, "response", None), "headers", {}))


@contextmanager
def watched() -> Iterator[None]:
    """End silence and refuse long delays in whatever is asked of the Hub meanwhile, also after the client began anew.

    The client asks for no limit in some requests and sleeps as long as it is told to in others, both without a setting.
    Its sessions are ours from the first time on: as it makes them, with two hooks more, which do nothing outside of this.

    Raises:
        FaithfulError: the server asks for a delay above `LONGEST_DELAY` seconds.
    """
    global _watching
    from huggingface_hub import get_session, set_client_factory
    from huggingface_hub.utils import _http

    if _end_silence not in get_session().event_hooks["request"]:
        make = _http._GLOBAL_CLIENT_FACTORY  # the client's own, or one that somebody set for a proxy or certificates

        def with_hooks() -> Any:
            client = make()
            hooks = client.event_hooks
            client.event_hooks = {
                "request": [*hooks["request"], _end_silence],
                "response": [*hooks["response"], _refuse_long_delay],
            }
            return client

        set_client_factory(with_hooks)
    _watching += 1
    try:
        yield
    finally:
        _watching -= 1


def _end_silence(request: Any) -> None:
    if _watching:
        limits = request.extensions.get("timeout") or {}
        stated = {part: limits.get(part) for part in ("connect", "read", "write", "pool")}
        request.extensions["timeout"] = {
            part: SILENCE_SECONDS if limit is None else min(limit, SILENCE_SECONDS) for part, limit in stated.items()
        }


def _refuse_long_delay(response: Any) -> None:
    delay = _delay_in(response.status_code, response.headers)
    is_asked = response.status_code in TRANSIENT or response.status_code >= 500
    if _watching and is_asked and delay is not None and delay > LONGEST_DELAY:
        raise FaithfulError(
            f"The Hub's quota is used up for {format_seconds(delay)}; run the same command again then, and it goes on from"
            " what is there."
        )


def _lacks_xet(error: BaseException) -> bool:
    """Whether a Hub has no Xet storage, which the client only says in words."""
    return "/xet-write-token/" in str(error) and "404" in str(error)


def _delay_in(status: int | None, headers: Any) -> float | None:
    after = str(headers.get("retry-after", ""))
    if after.isdigit():
        return float(after)
    if status == 429:
        fields = dict(part.strip().partition("=")[::2] for part in str(headers.get("ratelimit", "")).split(";"))
        if str(fields.get("t", "")).isdigit():
            return float(fields["t"])
    return None

"""What a Hub answers where it gives no data, in a sentence, and what is worth another attempt."""

import time
from collections.abc import Callable
from typing import TypeVar

from faithful.base.errors import FaithfulError

T = TypeVar("T")


PAUSES = (1.0, 5.0, 20.0, 60.0)


def with_retries(work: Callable[[], T], what: str, pauses: tuple[float, ...]) -> T:
    """Do the work; a broken connection is tried again after each of the pauses (in seconds).

    Raises:
        FaithfulError: the connection broke once more than there are pauses.
    """
    for pause in pauses:
        try:
            return work()
        except Exception as error:
            if not broke(error):
                raise
        time.sleep(pause)
    try:
        return work()
    except Exception as error:
        if not broke(error):
            raise
        raise connection_lost(what, len(pauses) + 1, error) from error


class ConnectionLostError(FaithfulError):
    """A connection did not come back; what is stored can be gone on from."""


def connection_lost(what: str, attempts: int, error: BaseException) -> ConnectionLostError:
    """The sentence for a connection that did not come back."""
    return ConnectionLostError(
        f"The connection to the Hub broke {attempts} times while reading {what} ({first_line(error)}); run the same"
        " command again later, it goes on from what is stored."
    )


def broke(error: BaseException) -> bool:
    """Whether an error is a dropped connection, a time-out, too many requests or a fault of the server."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
    from huggingface_hub.utils import httpx

    if isinstance(error, OfflineModeIsEnabled | FaithfulError):
        return False
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code if error.response is not None else 500
        return status in (408, 429) or status >= 500
    return isinstance(error, ConnectionError | TimeoutError | LocalEntryNotFoundError | httpx.RequestError)


def first_line(error: BaseException) -> str:
    """The first line of an error's text without the address asked, else the name of its type."""
    lines = [line.split(" for url ")[0].strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".:")[:200]


def is_gated(error: Exception) -> bool:
    """Whether the Hub hides something; it answers alike for what is not there."""
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    if isinstance(error, RepositoryNotFoundError | DatasetNotFoundError):
        return True
    return isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403)


def gated(what: str) -> FaithfulError:
    return FaithfulError(
        f"The set '{what}' is gated or missing: check the name, accept its terms on the Hub, and log in with"
        " `hf auth login`."
    )

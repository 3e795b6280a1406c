"""Where the explainer is: an address, from the command or the environment, and the client that reaches it."""

import os
from importlib.util import find_spec
from urllib.parse import urlsplit

from faithful.base.errors import FaithfulError

KEY, PLACE, LOCAL = "OPENAI_API_KEY", "OPENAI_BASE_URL", "http://localhost:8000/v1"
INSTALL = "pip install 'faithful-sae[explain]'"


def address_of(stated: str | None) -> str:
    """The address of a server: as stated, else that of OPENAI_BASE_URL, else vLLM's own.

    Raises:
        FaithfulError: it is none, or holds a password.
    """
    address = (stated or os.environ.get(PLACE) or LOCAL).rstrip("/")
    try:
        parts = urlsplit(address)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise FaithfulError(f"'{address}' is no address; write --endpoint as {LOCAL}.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise FaithfulError(f"--endpoint holds more than an address; the key belongs in {KEY}.")
    return address


def refuse_without_client() -> None:
    """Refuse where OpenAI's client is not installed."""
    if find_spec("openai") is None:
        raise FaithfulError(f"The client of OpenAI is not installed; install it with `{INSTALL}`.")

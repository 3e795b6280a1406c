"""Where the explainer is."""

from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from studies.explanations.config import STUDY, ExplanationsConfig
from studies.explanations.place import LOCAL, PLACE, address_of


def test_an_address_is_stated_or_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PLACE, raising=False)
    assert address_of(None) == LOCAL and address_of("https://x.org/v1/") == "https://x.org/v1"
    monkeypatch.setenv(PLACE, "http://there:1/v1")
    assert address_of(None) == "http://there:1/v1" and address_of("http://here/v1") == "http://here/v1"


@pytest.mark.parametrize("address", ["localhost:8000", "http://", "http://[::1", "ftp://x/v1", "http://x:no/v1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(FaithfulError, match="is no address; write --endpoint as http://localhost:8000/v1"):
        address_of(address)


@pytest.mark.parametrize(
    "address",
    [
        "https://me:secret@x.org/v1",
        "https://:secret@x.org/v1",
        "https://secret@x.org/v1",
        "https://x.org/v1?key=secret",
        "https://x.org/v1#secret",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(FaithfulError, match="the key belongs in OPENAI_API_KEY") as raised:
        address_of(address)
    assert "secret" not in str(raised.value)


def test_without_the_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("studies.explanations.place.find_spec", lambda _: None)
    with pytest.raises(FaithfulError, match=r"install it with `pip install 'faithful-sae\[explain\]'`"):
        STUDY.check(ExplanationsConfig((tmp_path,), tmp_path))

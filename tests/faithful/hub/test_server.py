"""The server of these tests refuses what the Hub refuses, and nothing of what it refuses is visible."""

import base64
import hashlib
import json
from typing import Any

import pytest

from tests.faithful.hub.state import Hub, User

PLACE = "/api/datasets/user/things"
LARGE = {"key": "lfsFile", "value": {"path": "a.parquet", "algo": "sha256", "oid": "0" * 64, "size": 1}}
SMALL = {"key": "file", "value": {"path": "a.txt", "content": "YQ==", "encoding": "base64"}}


def ask(method: str, path: str, content: bytes = b"", token: str | None = "token") -> Any:
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return get_session().request(method, f"{constants.ENDPOINT}{path}", content=content, headers=headers)


def commit(*lines: dict[str, Any], parent: str | None = None, token: str | None = "token") -> Any:
    header = {"key": "header", "value": {"summary": "one", "parentCommit": parent}}
    return ask("POST", f"{PLACE}/commit/main", "\n".join(map(json.dumps, (header, *lines))).encode(), token)


def card(text: str) -> dict[str, Any]:
    content = base64.b64encode(text.encode()).decode()
    return {"key": "file", "value": {"path": "README.md", "content": content, "encoding": "base64"}}


@pytest.mark.parametrize(
    ("lines", "parent", "status", "said"),
    [
        ([SMALL], "a" * 40, 404, "Invalid rev id"),
        ([LARGE], None, 400, "was never uploaded"),
        ([{"key": "deletedFile", "value": {"path": "gone"}}], None, 404, "doesn't exist"),
        ([{"key": "copy", "value": {}}], None, 400, "unknown operation"),
        ([card("---\ntags: [\n---\n")], None, 400, "YAML"),
        ([card("---\nlicense: other\n---\n")], None, 400, "license_name"),
    ],
)
def test_commits_that_cannot_be(
    hub: Hub, lines: list[dict[str, Any]], parent: str | None, status: int, said: str
) -> None:
    repository = hub.create("dataset", "user/things")
    answer = commit(*lines, parent=parent)
    assert (answer.status_code, said in answer.json()["error"]) == (status, True)
    assert len(repository.commits) == 1


def test_a_parent_that_is_no_longer_the_head(hub: Hub) -> None:
    repository = hub.create("dataset", "user/things")
    first = repository.head.sha
    assert commit(SMALL, parent=first).status_code == 200
    assert commit(SMALL, parent=first).status_code == 412
    assert len(repository.commits) == 2


def test_an_object_of_another_sha256(hub: Hub) -> None:
    repository = hub.create("dataset", "user/things")
    place = f"/lfs/dataset/user/things/{hashlib.sha256(b'whole').hexdigest()}"
    assert ask("PUT", place, b"damaged").status_code == 400
    assert not repository.objects
    assert ask("PUT", place, b"whole").status_code == 200
    assert len(repository.objects) == 1


def test_who_may_not_write(hub: Hub) -> None:
    repository = hub.create("dataset", "user/things")
    hub.users["reader"] = User("user", role="read")
    assert [commit(SMALL, token=token).status_code for token in (None, "wrong", "reader")] == [401, 401, 403]
    assert len(repository.commits) == 1


def test_more_commits_than_an_hour_has(hub: Hub) -> None:
    repository, hub.commit_quota = hub.create("dataset", "user/things"), 1
    assert commit(SMALL).status_code == 200
    answer = commit(SMALL)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3600")
    assert len(repository.commits) == 2


def test_tags_of_nothing_and_tags_that_are_there(hub: Hub) -> None:
    hub.create("dataset", "user/things")
    wish = b'{"tag": "v1"}'
    places = (f"{PLACE}/tag/{'a' * 40}", f"{PLACE}/tag/main", f"{PLACE}/tag/main")
    assert [ask("POST", place, wish).status_code for place in places] == [404, 200, 409]

"""The publishing process killed at every request, before and after it takes effect; the next one completes."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.server import serving
from tests.hub.state import Hub
from tests.hub.test_publish import NAME, check_complete
from tests.hub.things import grid, own_corpus, whole_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LAUNCHER = """
import os, sys

if __name__ == "__main__":
    import generation.card, generation.origins, huggingface_hub.hf_api, huggingface_hub.repocard
    from faithful import publish
    from pathlib import Path
    function = getattr(publish, "publish_" + sys.argv[3])
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            print(os.getpid(), flush=True)
            function(publish.PublishConfig(Path(sys.argv[1]), sys.argv[2], accept_licence=True))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Publisher:
    """Publishes again and again, each time in a process of its own, without importing everything anew."""

    def __init__(self, script: Path, folder: Path, address: str, what: str = "corpus") -> None:
        script.write_text(LAUNCHER)
        offline = {"HF_HUB_OFFLINE", "HF_TOKEN_PATH"}
        environment = {key: value for key, value in os.environ.items() if key not in offline} | {
            "HF_ENDPOINT": address, "HF_TOKEN": "token", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HOME": str(script.parent / "home"), "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(Path(__file__).parents[2]),
        }  # fmt: skip
        self.pid = 0
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(folder), NAME, what],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def run(self) -> int:
        """Exit code of one publication; negative for the signal that ended it."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.pid = int(self.process.stdout.readline())
        return int(self.process.stdout.readline())

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def publisher(hub: Hub, tmp_path: Path) -> Iterator[Publisher]:
    corpus = own_corpus(tmp_path / "own")
    with serving(hub) as address:
        found = Publisher(tmp_path / "launcher.py", corpus, address)
        yield found
        found.process.kill()
        found.process.communicate()


def deaths_at_every_request(hub: Hub, publisher: Publisher, moment: str, whole: dict[str, set[str]]) -> int:
    """Kill a first publication at each request in turn and run it again; how many died.

    Between the death and the rerun main of every repository is empty or whole; after it all are whole, with one commit
    and its tag.
    """
    for instant in range(1, 200):
        hub.repositories.clear()
        hub.log.clear()
        setattr(hub, moment, lambda number, instant=instant: publisher.kill() if number == instant else None)
        code = publisher.run()
        setattr(hub, moment, lambda number: None)
        if code == 0:
            return instant - 1
        assert code == -signal.SIGKILL
        for (kind, _), repository in hub.repositories.items():
            assert set(repository.files) in ({".gitattributes"}, whole[kind])
        assert publisher.run() == 0
        for kind, files in whole.items():
            repository = hub.repositories[kind, NAME]
            assert set(repository.files) == files
            assert len(repository.commits) == 2
            assert repository.tags == {"v1": repository.head.sha}
            listed = json.loads(repository.files["faithful.json"])["files"]
            assert {path: facts["sha256"] for path, facts in listed.items()} == {
                path: hashlib.sha256(repository.files[path]).hexdigest() for path in listed
            }
    raise AssertionError("it never ends")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("what", ["saes", "run"])
def test_saes_and_runs_killed_at_every_request_then_rerun(hub: Hub, tmp_path: Path, what: str, moment: str) -> None:
    run = whole_run(tmp_path / "run") if what == "run" else grid(tmp_path / "saes")
    with serving(hub) as address:
        publisher = Publisher(tmp_path / "launcher.py", run, address, what)
        try:
            assert publisher.run() == 0
            whole = {kind: set(repository.files) for (kind, _), repository in hub.repositories.items()}
            assert whole.keys() == ({"dataset", "model"} if what == "run" else {"model"})
            assert deaths_at_every_request(hub, publisher, moment, whole) >= (30 if what == "run" else 15)
        finally:
            publisher.process.kill()
            publisher.process.communicate()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_request_then_rerun(hub: Hub, publisher: Publisher, tmp_path: Path, moment: str) -> None:
    """A fresh repository for every instant; between the death and the rerun main is empty or whole."""
    instant, deaths = 0, 0
    while True:
        instant += 1
        hub.repositories.clear()
        hub.log.clear()
        setattr(hub, moment, lambda number, instant=instant: publisher.kill() if number == instant else None)
        code = publisher.run()
        setattr(hub, moment, lambda number: None)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        deaths += 1
        repository = hub.repositories.get(("dataset", NAME))
        if repository and len(repository.commits) > 1:
            assert len(repository.files) == 8
        elif repository:
            assert set(repository.files) == {".gitattributes"}
        assert publisher.run() == 0
        check_complete(hub, tmp_path / "own")
    assert deaths >= 15
    check_complete(hub, tmp_path / "own")


def test_one_death_after_the_other(hub: Hub, publisher: Publisher, tmp_path: Path) -> None:
    """The same repository: every run is killed one request later than the last."""
    deaths = 0
    for instant in range(1, 60):
        hub.log.clear()
        hub.after = lambda number, instant=instant: publisher.kill() if number == instant else None  # type: ignore[misc]
        if publisher.run() == 0:
            break
        deaths += 1
    assert deaths >= 8
    check_complete(hub, tmp_path / "own")

"""The publishing process killed at every request, before and after it takes effect; the next one completes."""

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
from tests.hub.things import own_corpus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LAUNCHER = """
import os, sys

if __name__ == "__main__":
    import generation.card, generation.origins, huggingface_hub.hf_api, huggingface_hub.repocard
    from faithful.publish import PublishConfig, publish_corpus
    from pathlib import Path
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            print(os.getpid(), flush=True)
            publish_corpus(PublishConfig(Path(sys.argv[1]), sys.argv[2]))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Publisher:
    """Publishes again and again, each time in a process of its own, without importing everything anew."""

    def __init__(self, script: Path, folder: Path, address: str) -> None:
        script.write_text(LAUNCHER)
        offline = {"HF_HUB_OFFLINE", "HF_TOKEN_PATH"}
        environment = {key: value for key, value in os.environ.items() if key not in offline} | {
            "HF_ENDPOINT": address, "HF_TOKEN": "token", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HOME": str(script.parent / "home"), "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(Path(__file__).parents[2]),
        }  # fmt: skip
        self.pid = 0
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(folder), NAME],
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

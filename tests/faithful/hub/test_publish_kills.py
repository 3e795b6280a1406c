"""The publishing process killed at every request, before and after it takes effect; the next one completes."""

import copy
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faithful.hub.server import serving
from tests.faithful.hub.state import Hub, Repository
from tests.faithful.hub.test_publish import NAME, check_complete
from tests.faithful.hub.things import grid, own_corpus, whole_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Repositories = dict[tuple[str, str], Repository]
LAUNCHER = """
import os, sys

if __name__ == "__main__":
    import faithful.training.checkpoint, generation.cards.own, generation.cards.origins
    import huggingface_hub.hf_api, huggingface_hub.repocard
    from faithful.hub.config import PublishConfig
    from pathlib import Path
    from studies.runs import publish
    function = getattr(publish, "publish_" + sys.argv[3])
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            print(os.getpid(), flush=True)
            stated = dict.fromkeys(["accept_licence", *line.split()], True)
            function(PublishConfig(Path(sys.argv[1]), sys.argv[2], **stated))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Publisher:
    """Publishes again and again, each time in a process of its own, without importing everything anew."""

    def __init__(self, script: Path, folder: Path, address: str, what: str) -> None:
        script.write_text(LAUNCHER)
        offline = {"HF_HUB_OFFLINE", "HF_TOKEN_PATH"}
        environment = {key: value for key, value in os.environ.items() if key not in offline} | {
            "HF_ENDPOINT": address, "HF_TOKEN": "token", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HOME": str(script.parent / "home"), "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(Path(__file__).parents[3]),
        }  # fmt: skip
        self.pid = 0
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(folder), NAME, what],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def run(self, stated: str = "") -> int:
        """Exit code of one publication; negative for the signal that ended it."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{stated}\n")
        self.process.stdin.flush()
        self.pid = int(self.process.stdout.readline())
        return int(self.process.stdout.readline())

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


@contextmanager
def publishing(hub: Hub, folder: Path, what: str) -> Iterator[Publisher]:
    with serving(hub) as address:
        found = Publisher(folder.parent / "launcher.py", folder, address, what)
        try:
            yield found
        finally:
            found.process.kill()
            found.process.communicate()


@pytest.fixture
def hub() -> Hub:
    return Hub()


def make(folder: Path, what: str) -> Path:
    return {"corpus": own_corpus, "saes": grid, "run": whole_run}[what](folder)


def contents(repositories: Repositories) -> dict[str, dict[str, bytes]]:
    return {kind: repository.files for (kind, _), repository in repositories.items()}


def check_record(files: dict[str, bytes]) -> None:
    listed = json.loads(files["faithful.json"])["files"]
    assert {path: facts["sha256"] for path, facts in listed.items()} == {
        path: hashlib.sha256(files[path]).hexdigest() for path in listed
    }


def deaths_at_every_request(hub: Hub, publisher: Publisher, moment: str, before: Repositories, stated: str = "") -> int:
    """Kill a publication at each request in turn and run it again; how many died.

    Between the death and the rerun main of every repository holds what it held before, or all; after it all hold all, with
    one commit more and its tag.

    Args:
        hub: holds all.
        publisher: publishes.
        moment: `before` or `after` a request takes effect.
        before: repositories as they are at first.
        stated: further options.
    """
    whole = contents(hub.repositories)
    for files in whole.values():
        check_record(files)
    old = {kind: {".gitattributes": b"*.parquet filter=lfs\n"} for kind in whole} | contents(before)
    for instant in range(1, 200):
        hub.repositories.clear()
        hub.repositories.update(copy.deepcopy(before))
        hub.log.clear()
        setattr(hub, moment, lambda number, instant=instant: publisher.kill() if number == instant else None)
        code = publisher.run(stated)
        setattr(hub, moment, lambda number: None)
        if code == 0:
            return instant - 1
        assert code == -signal.SIGKILL
        for kind, files in contents(hub.repositories).items():
            assert files in (old[kind], whole[kind])
        assert publisher.run(stated) == 0
        assert contents(hub.repositories) == whole
        for key, repository in hub.repositories.items():
            earlier = len(before[key].commits) if key in before else 1
            assert len(repository.commits) == earlier + 1
            assert repository.tags == {f"v{n}": commit.sha for n, commit in enumerate(repository.commits) if n}
    raise AssertionError("it never ends")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("what", "least"), [("corpus", 15), ("saes", 15), ("run", 30)])
def test_killed_at_every_request_then_rerun(hub: Hub, tmp_path: Path, what: str, least: int, moment: str) -> None:
    with publishing(hub, make(tmp_path / "made", what), what) as publisher:
        assert publisher.run() == 0
        assert contents(hub.repositories).keys() == {"corpus": {"dataset"}, "saes": {"model"}}.get(
            what, {"dataset", "model"}
        )
        assert deaths_at_every_request(hub, publisher, moment, {}) >= least


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_update_with_deletions_killed_at_every_request_then_rerun(hub: Hub, tmp_path: Path, moment: str) -> None:
    saes = grid(tmp_path / "saes")
    with publishing(hub, saes, "saes") as publisher:
        assert publisher.run() == 0
        first = copy.deepcopy(hub.repositories)
        shutil.rmtree(saes)
        grid(saes, seeds=(7, 42))
        assert publisher.run("yes") == 0
        (now,), (then,) = contents(hub.repositories).values(), contents(first).values()
        assert any("seed-0/" in path for path in then.keys() - now.keys())
        assert any("seed-7/" in path for path in now.keys() - then.keys())
        assert deaths_at_every_request(hub, publisher, moment, first, "yes") >= 10


def test_one_death_after_the_other(hub: Hub, tmp_path: Path) -> None:
    """The same repository: every run is killed one request later than the last."""
    corpus, deaths = own_corpus(tmp_path / "own"), 0
    with publishing(hub, corpus, "corpus") as publisher:
        for instant in range(1, 60):
            hub.log.clear()
            hub.after = lambda number, instant=instant: publisher.kill() if number == instant else None  # type: ignore[misc]
            if publisher.run() == 0:
                break
            deaths += 1
    assert deaths >= 8
    check_complete(hub, corpus)

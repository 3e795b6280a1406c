"""What changes while it is sent."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock, locked_together
from faithful.hub.config import PublishConfig
from studies.runs.publish import publish_run, publish_saes
from tests.faithful.hub.named import NAME, PLACE
from tests.faithful.hub.state import Fault, Hub
from tests.faithful.hub.things import grid, whole_run


class TestMeanwhile:
    def test_files_that_change_do_not_go(self, hub: Hub, tmp_path: Path) -> None:
        saes = grid(tmp_path / "saes")
        weights = saes / PLACE / "sae_weights.safetensors"
        hub.faults.append(
            Fault("/preupload/main", lambda: weights.write_bytes(weights.read_bytes()[:-1] + b"?") and None)
        )
        with pytest.raises(FaithfulError, match=r"sae_weights\.safetensors changed while it was published"):
            publish_saes(PublishConfig(saes, NAME))
        assert set(hub.repositories["model", NAME].files) == {".gitattributes"}

    def test_small_files_go_as_they_were_measured(self, hub: Hub, tmp_path: Path) -> None:
        saes = grid(tmp_path / "saes")
        path = saes / PLACE / "cfg.json"
        before = path.read_bytes()
        hub.faults.append(Fault("POST /api/repos/create", lambda: path.write_text("{}") and None))
        publish_saes(PublishConfig(saes, NAME))
        files = hub.repositories["model", NAME].files
        assert files[f"{PLACE}/cfg.json"] == before
        record = json.loads(files["faithful.json"])["files"][f"{PLACE}/cfg.json"]
        assert record["sha256"] == hashlib.sha256(before).hexdigest()

    @pytest.mark.parametrize("part", ["", "corpora/own", "saes", "studies/seeds"])
    def test_what_is_being_written_is_not_published(self, hub: Hub, tmp_path: Path, part: str) -> None:
        import fcntl

        run = whole_run(tmp_path / "run")
        (run / part).mkdir(parents=True, exist_ok=True)
        if part.startswith("studies"):
            (run / part / "summary.json").write_text("{}")
        with (run / part / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(
                FaithfulError, match=rf"another process is writing {(run / part)}; publish it when"
            ) as raised:
                publish_run(PublishConfig(run, NAME, accept_licence=True))
        assert "--out" not in str(raised.value)
        assert not hub.log

    def test_a_part_of_a_grid_is_not_published_while_the_grid_is_trained_on(self, hub: Hub, tmp_path: Path) -> None:
        saes = whole_run(tmp_path / "run") / "saes"
        (saes / "corpora.json").write_text("{}")
        with ThreadPoolExecutor(1) as other, locked_together(saes), folder_lock(saes):
            for folder in (saes, saes / "own", tmp_path):
                with pytest.raises(FaithfulError, match=rf"another process is writing {saes}; publish it when"):
                    other.submit(publish_saes, PublishConfig(folder, NAME)).result()
        assert not hub.log

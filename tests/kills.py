"""Kills every command at random instants, lets it go on, and compares what it leaves with an undisturbed run.

python -m tests.kills FOLDER --kills 500 [--only train,generate] [--seed 1]      (prints a line per command)

Each command is forked from a process that has imported everything, and so are its own workers: a kill costs no import. The
signal goes to the command alone (KILL, TERM) or, as from a terminal, to its whole group (INT). Sizes are the smallest that
pass through every kind of write: several shards, checkpoints, cells of every study, a repository on a Hub of this machine.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faithful.base.records import SEAL
from tests.faithful.hub.server import serving
from tests.faithful.hub.state import Hub

SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
KILLS_IN_A_ROW = 4
UNEQUAL = {"log.jsonl", ".lock", "report.html"}
"""Files that say in words when something was done, and how often it was begun."""
PATIENCE = 600.0
SERVER = """
import json, os, signal, sys

if __name__ == "__main__":
    import multiprocessing
    import torch
    torch.set_num_threads(1)
    import huggingface_hub.hf_api, huggingface_hub.repocard, matplotlib.figure, polars, scipy.stats, sklearn.linear_model
    import transformers.models.gpt2.modeling_gpt2
    import faithful.cli, faithful.hub.publish, studies.runs.recipe, generation.cards.describe
    import generation.sampling.transformers_engine
    import studies.absorption.study, studies.fakes.study, studies.probes.study, studies.reconstruction.study
    import studies.browse.write, studies.report.write, studies.seeds.study, studies.sparsity.study
    forking = multiprocessing.get_context("fork")
    multiprocessing.get_context = lambda method=None: forking
    from faithful.__main__ import main
    for line in sys.stdin:
        folder, arguments, output = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            os.chdir(folder)
            sys.argv[1:] = arguments
            said = os.open(output + ".new", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            for descriptor in (1, 2):
                os.dup2(said, descriptor)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.rename(output + ".new", output)
            main()
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
GENERATE = (
    "generate --out made --tokens 900 --held-out 300 --max-tokens 31 --certify-tokens 500 --shard-rows 12 --batch 8"
    " --workers 1 --seed 7"
)
TRAIN = (
    "train --corpus runs/r/corpora/own --corpus runs/r/corpora/prose --seeds 0,1 --d-sae 64 --k 4 --lr 0.003 --layer 1"
    " --tokens 900 --batch 64 --buffer 256 --eval-tokens 400 --checkpoint-minutes 0.00001"
)
STUDY = "--corpus runs/r/corpora/own --corpus runs/r/corpora/prose --out made --tokens 600"
RECIPE = """
model = "tiny"
seeds = "0,1"
tokens = "1000"
[corpora.own]
certify_tokens = "300"
held_out = "300"
[corpora.prose]
add = "prose"
held_out = "300"
[train]
d_sae = 64
k = 4
lr = 3e-3
layer = 1
batch = 128
eval_tokens = "300"
[studies.seeds]
tokens = "300"
gaussian_seeds = 0
"""
COMMANDS = {
    "generate": GENERATE,
    "part": f"{GENERATE} --part 1/2",
    "join": "corpus join parts/0 parts/1 --out made --certify-tokens 500",
    "add": "corpus add prose --out made --tokens 3000 --held-out 800 --shard-rows 8",
    "mix": "corpus mix runs/r/corpora/own runs/r/corpora/prose --out made --tokens 1500",
    "shuffle": "corpus shuffle runs/r/corpora/own --out made --shard-rows 8",
    "dedup": "corpus dedup runs/r/corpora/own --near --out made --shard-rows 8",
    "subsample": "corpus subsample runs/r/corpora/own --tokens 500 --out made --shard-rows 8",
    "certify": "corpus certify runs/r/corpora/own",
    "export": "corpus export runs/r/corpora/own --context 32 --out made",
    "train": f"{TRAIN} --out made",
    "study corpora": "study corpora runs/r/corpora/own runs/r/corpora/prose --out made --tokens 600",
    "study seeds": f"study seeds runs/r/saes {STUDY} --set gaussian_seeds=2 --set gaussian_steps=20",
    "study fakes": f"study fakes runs/r/saes {STUDY} --set noise_tokens=1000 --workers 2",
    "study reconstruction": f"study reconstruction runs/r/saes {STUDY} --set ks=1,4 --workers 2",
    "study probes": f"study probes runs/r/saes {STUDY} --set train_size=64 --set test_size=64 --set ks=1"
    " --set curve_points=1 --workers 2",
    "study sparsity": f"study sparsity runs/r/saes {STUDY} --workers 2",
    "study absorption": "study absorption runs/r/saes --corpus runs/r/corpora/own --out made --tokens 600 --workers 2",
    "browse": "browse r --out made --tokens 600",
    "run": "run recipe.toml --run made",
    "publish": "publish run runs/r user/things --accept-licence",
}


@dataclass
class Found:
    """What came of killing one command.

    Attributes:
        kills: how many ended a run.
        finished: how often it was brought to its end.
        differing: results that were not those of the undisturbed run.
        records: other files that were not: notes of what was told, names of what is kept.
        traces: what runs said beside sentences.
    """

    kills: int = 0
    finished: int = 0
    differing: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)


class Runner:
    """Runs command lines in folders, and kills them."""

    def __init__(self, folder: Path, address: str) -> None:
        script = folder / "server.py"
        script.write_text(SERVER)
        offline = {"HF_HUB_OFFLINE", "HF_TOKEN_PATH"}
        environment = {name: value for name, value in os.environ.items() if name not in offline} | {
            "HF_ENDPOINT": address, "HF_TOKEN": "token", "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(folder / "home"),
            "NO_PROXY": "127.0.0.1", "TRANSFORMERS_VERBOSITY": "error", "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, folder: Path, line: str, after: float | None = None, number: int = 0) -> tuple[int, float, str]:
        """Exit code, seconds and what was said of a command, which gets a signal after some seconds."""
        assert self.process.stdin
        assert self.process.stdout
        output = folder.parent / "said.txt"
        output.unlink(missing_ok=True)
        self.process.stdin.write(json.dumps([str(folder), line.split(), str(output)]) + "\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        while not output.exists():
            time.sleep(0.001)
        began = time.monotonic()
        if after is not None:
            self._strike(pid, number, began + after)
        code = int(self.process.stdout.readline())
        return code, time.monotonic() - began, output.read_text(encoding="utf-8", errors="replace")

    @staticmethod
    def _strike(pid: int, number: int, at: float) -> None:
        while time.monotonic() < at:
            try:
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    return
            except OSError:
                return
            time.sleep(0.002)
        try:
            (os.killpg if number == signal.SIGINT else os.kill)(pid, number)
        except (ProcessLookupError, PermissionError):
            return


@contextmanager
def runner(folder: Path, hub: Hub) -> Iterator[Runner]:
    """A runner whose commands know a Hub."""
    with serving(hub) as address:
        found = Runner(folder, address)
        try:
            yield found
        finally:
            found.process.kill()
            found.process.communicate()


def prepare(folder: Path, do: Runner) -> Path:
    """A run with two corpora and four SAEs, which every command starts from."""
    home = folder / "home-of-all" / "work"
    home.mkdir(parents=True)
    (home / "recipe.toml").write_text(RECIPE)
    for line in (
        GENERATE.replace("--out made", "--out runs/r/corpora/own"),
        *(GENERATE.replace("--out made", f"--out parts/{number} --part {number}/2") for number in (0, 1)),
        "corpus add prose --out runs/r/corpora/prose --tokens 3000 --held-out 800",
        f"{TRAIN} --out runs/r/saes",
    ):
        code, _, said = do.run(home, line)
        assert code == 0, said
    return home


def left(folder: Path, hub: Hub | None) -> dict[str, bytes]:
    """Every file that a command left, and every file on the Hub."""
    found = {
        path.relative_to(folder).as_posix(): _lasting(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in UNEQUAL
    }
    for (kind, name), repository in (hub.repositories if hub else {}).items():
        found |= {f"{kind}/{name}/{path}": content for path, content in repository.files.items()}
    return found


def _lasting(path: Path) -> bytes:
    """A file's bytes; of JSON without the seconds that something took, and how many figures were there already."""
    if path.suffix not in (".json", ".jsonl"):
        return path.read_bytes()
    text = path.read_text(encoding="utf-8")
    values = map(json.loads, text.splitlines() if path.suffix == ".jsonl" else [text])
    return json.dumps([_timeless(value) for value in values]).encode()


VARYING = ("seconds", "reused", SEAL, "log_sha256")
"""What varies from run to run, and the hashes of records and logs that hold it."""


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(part) for key, part in value.items() if key not in VARYING}
    return [_timeless(part) for part in value] if isinstance(value, list) else value


def is_record(path: str) -> bool:
    """Whether a file is a note or a kept intermediate, and no result."""
    name = path.rpartition("/")[2]
    return name in ("settings.json", "steps.json", "current") or any(
        f"/{part}/" in f"/{path}" for part in ("cells", "pairs", "floors")
    )


def kill(name: str, kills: int, folder: Path, home: Path, do: Runner, hub: Hub, draw: random.Random) -> Found:
    """Kill one command so often, a few times in a row, and bring it to its end after each row."""
    line, found = COMMANDS[name], Found()

    def begin(place: str) -> Path:
        shutil.rmtree(folder / place, ignore_errors=True)
        shutil.copytree(home, folder / place / "work", symlinks=True)
        hub.repositories.clear()
        return folder / place / "work"

    whole = begin("whole")
    code, seconds, said = do.run(whole, line)
    assert code == 0, said
    expected = left(whole, hub)
    while found.kills < kills:
        work = begin("killed")
        for _ in range(KILLS_IN_A_ROW):
            number = SIGNALS[draw.randrange(len(SIGNALS))]
            code, _, said = do.run(work, line, draw.random() * seconds, number)
            found.traces += _wrong(code, said)
            found.kills += code != 0
            if code == 0:
                break
        else:
            code, _, said = do.run(work, line)
            found.traces += _wrong(code, said) + ([] if code == 0 else [f"exit {code}: {said[-300:]}"])
        found.finished += 1
        now = left(work, hub)
        unequal = sorted(path for path in expected.keys() | now.keys() if expected.get(path) != now.get(path))
        found.differing += [path for path in unequal if not is_record(path)]
        found.records += [path for path in unequal if is_record(path)]
        if unequal or found.traces:
            shutil.copytree(
                folder / "killed", folder / f"kept-{name.replace(' ', '-')}-{found.finished}", symlinks=True
            )
    return found


def _wrong(code: int, said: str) -> list[str]:
    """What a run should not have said, or not ended with."""
    allowed = (0, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
    found = [said[said.index("Traceback") :][-1500:]] if "Traceback" in said else []
    return found + ([f"exit {code}: {said[-300:]}"] if code not in allowed else [])


def kill_all(
    folder: Path, kills: int, names: list[str], seed: int, tell: Callable[[str, Found], None] = lambda name, found: None
) -> dict[str, Found]:
    """Kill commands, about `kills` times altogether."""
    folder.mkdir(parents=True, exist_ok=True)
    hub, draw = Hub(), random.Random(seed)
    hub.commit_quota = 10**9
    with runner(folder, hub) as do:
        home, found = prepare(folder, do), {}
        for name in names:
            found[name] = kill(name, -(-kills // len(names)), folder, home, do, hub, draw)
            tell(name, found[name])
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--only", default=",".join(COMMANDS))
    parser.add_argument("--seed", type=int, default=0)
    stated = parser.parse_args()
    stated.folder.mkdir(parents=True)

    def tell(name: str, found: Found) -> None:
        facts: dict[str, Any] = {"kills": found.kills, "finished": found.finished, "differing": found.differing}
        facts |= {"records": sorted(set(found.records)), "traces": found.traces[:3]}
        sys.stdout.write(f"{name}: {json.dumps(facts)}\n")
        sys.stdout.flush()

    kill_all(stated.folder, stated.kills, stated.only.split(","), stated.seed, tell)


if __name__ == "__main__":
    main()

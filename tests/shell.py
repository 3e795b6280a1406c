"""The `faithful` command as typed, many times, without importing everything each time.

A process that has imported it all is forked for every command line, and so are the command's own workers; what a command
writes, says and exits with is its own.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

VLLM = """
import os
os.environ.update(
    VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_NO_USAGE_STATS="1", VLLM_LOGGING_LEVEL="ERROR", VLLM_CPU_KVCACHE_SPACE="1",
    VLLM_CPU_OMP_THREADS_BIND="nobind", OMP_NUM_THREADS="1",
)
import vllm, vllm.v1.engine.llm_engine, vllm.v1.worker.cpu_worker
"""
"""To be done before the first command: an engine's own import, with what its environment must say by then."""
SERVER = """
import json, os, sys

if __name__ == "__main__":
    sys.path.insert(0, ROOT)
    from faithful.cli.show import silence_libraries
    silence_libraries()
    import matplotlib.figure, polars, scipy.stats, transformers.models.gpt2.modeling_gpt2
    import generation.cards.describe, generation.own.generate, generation.sampling.transformers_engine, studies.corpora.study
    import multiprocessing
    forking = multiprocessing.get_context("fork")
    multiprocessing.get_context = lambda method=None: forking
    from faithful.__main__ import main
    exec(BEFORE)
    for line in sys.stdin:
        folder, arguments, change = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.chdir(folder)
            for descriptor, name in ((1, "stdout"), (2, "stderr")):
                os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), descriptor)
            exec(change)
            sys.argv[1:] = arguments
            main()
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


class Shell:
    """Runs commands in `folder`, one after the other; a context manager. `before` is done once, before all of them."""

    def __init__(self, folder: Path, before: str = "") -> None:
        self.folder = folder
        folder.mkdir()
        script = folder / "server.py"
        script.write_text(SERVER.replace("BEFORE", repr(before)).replace("ROOT", repr(str(Path(__file__).parents[1]))))
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, line: str, change: str = "") -> Done:
        """Run a command line (words apart by blanks, `faithful` first); `change` is run in its process before."""
        name, *arguments = line.split()
        assert name == "faithful"
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([str(self.folder), arguments, change]) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        return Done(code, *((self.folder / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")))

    def __enter__(self) -> "Shell":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

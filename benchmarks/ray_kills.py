"""Kills on a real Ray cluster of this machine: a head and three raylets, and what is left equals one local run.

python -m benchmarks.ray_kills [--tokens 200000] [--kills 50] [--cells 12]      (half an hour on two cores)

Of the kills a tenth are of whole raylets (another takes their place), a fifth of the driver (started again), the others of
actors, each with SIGKILL, once a shard was committed since the last. Then a grid of SAEs and `study fakes`, whose actors are
killed too. Prints how often what was killed, whether the bytes are those of one local run, and what was left running.
"""

import argparse
import contextlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.shared import machine
from faithful.executor.ray_cluster import on_ray
from faithful.training.config import TrainConfig
from faithful.training.train import train
from generation.configs.generate import GenerateConfig
from generation.own.generate import generate
from studies.fakes.config import STUDY, FakesConfig
from tests.command import data_bytes
from tests.ray_nodes import Killer, add_node, hosts, kill_a_host, local_cluster, orphans

DRIVER = """
import sys
from pathlib import Path
from benchmarks.ray_kills import wish
from faithful.executor.ray_cluster import on_ray
from generation.own.generate import generate

if __name__ == "__main__":
    with on_ray(sys.argv[1]):
        generate(wish(Path(sys.argv[2]), int(sys.argv[3])))
"""


def wish(out: Path, tokens: int) -> GenerateConfig:
    """A corpus of a hundred shards or so."""
    return GenerateConfig(
        model="tiny", out=out, tokens=tokens, held_out=2000, seed=7, shard_rows=max(8, tokens // 8000), batch=32,
        certify_tokens=0, device="cpu", engine="transformers",
    )  # fmt: skip


def shards(out: Path) -> int:
    """Shards that are committed."""
    return len(list((out / "data").glob("*.parquet")))


def draw(cluster: Any, out: Path, tokens: int, kills: int) -> Counter[str]:
    """Draw a corpus with the driver in a process of its own; how often what was killed."""
    chance, killed = random.Random(0), Counter[str]()
    script = out.parent / "driver.py"
    script.write_text(DRIVER)
    driver, seen = None, 0
    raylets = [node for node in cluster.list_all_nodes() if node != cluster.head_node]
    while driver is None or driver.poll() is None or driver.returncode:
        if driver is None or driver.poll() is not None:
            if driver is not None and driver.returncode != -signal.SIGKILL:
                raise SystemExit(f"A driver that nobody killed ended with {driver.returncode}.")
            driver = subprocess.Popen([sys.executable, str(script), cluster.address, str(out), str(tokens)])
        time.sleep(0.1)
        if shards(out) <= seen or sum(killed.values()) >= kills or not hosts(cluster):
            continue
        seen, what = shards(out), chance.choices(("actor", "raylet", "driver"), (7, 1, 2))[0]
        if what == "driver":
            driver.kill()
            driver.wait()
        elif what == "raylet":
            cluster.remove_node(raylets.pop(0), allow_graceful=False)
            raylets.append(add_node(cluster))
        else:
            there = hosts(cluster)
            if not there:
                continue
            with contextlib.suppress(Exception):  # it may have ended by itself
                chance.choice(there).kill()
        killed[what] += 1
    return killed


def grid(corpus: Path, out: Path, cells: int) -> TrainConfig:
    """SAEs of two shapes."""
    return TrainConfig(
        corpora=(corpus,), out=out, seeds=tuple(range(cells // 2)), d_sae=(128, 192), k=(8,), tokens=20_000, batch=256,
        eval_tokens=1000, device="cpu", threads=1, checkpoint_minutes=0.05,
    )  # fmt: skip


def weights(out: Path) -> dict[str, bytes]:
    """Weights of a grid by their places."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("sae_weights.safetensors"))}


def strike_later(cluster: Any) -> bool:
    """Kill an actor once it had time to be in the middle of something."""
    time.sleep(20)
    return kill_a_host(cluster)


def main() -> None:
    """Draw, train and study, locally and on the cluster."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--cells", type=int, default=12)
    stated = parser.parse_args()
    print(machine(), flush=True)
    before = orphans()
    with tempfile.TemporaryDirectory() as name, local_cluster(4) as cluster:
        home = Path(name)
        generate(replace(wish(home / "near" / "own", stated.tokens), workers=1))
        (home / "far").mkdir()
        began = time.perf_counter()
        killed = draw(cluster, home / "far" / "own", stated.tokens, stated.kills)
        same = data_bytes(home / "near" / "own") == data_bytes(home / "far" / "own")
        print(
            f"{stated.tokens:,} tokens, {shards(home / 'far' / 'own')} shards, {sum(killed.values())} kills"
            f" ({', '.join(f'{count} of {what}s' for what, count in killed.items())}), {time.perf_counter() - began:.0f} s:"
            f" {'the same bytes as one local run' if same else 'OTHER BYTES than one local run'}",
            flush=True,
        )
        train(grid(home / "near" / "own", home / "near" / "saes", stated.cells))
        study = {"tokens": 2000, "noise_tokens": 4000, "device": "cpu"}
        for place in ("near", "far"):
            told = FakesConfig(saes=(home / "near" / "saes",), out=home / place / "fakes", **study)  # type: ignore[arg-type]
            if place == "near":
                STUDY.run(told, lambda _: None)
                continue
            busy = Killer(lambda: strike_later(cluster), 2)
            with busy, on_ray(cluster.address):
                train(grid(home / "near" / "own", home / "far" / "saes", stated.cells))
                STUDY.run(told, lambda _: None)
            print(f"{stated.cells} cells and a study, {busy.done} actors killed", flush=True)
        same_weights = weights(home / "near" / "saes") == weights(home / "far" / "saes")
        tables = [(home / place / "fakes" / "results.parquet").read_bytes() for place in ("near", "far")]
        print(
            f"weights {'the same' if same_weights else 'DIFFER'}, study {'the same' if len(set(tables)) == 1 else 'DIFFERS'}"
        )
        print(f"left running: {len(hosts(cluster))} hosts, {len(orphans().keys() - before.keys())} orphans", flush=True)


if __name__ == "__main__":
    main()

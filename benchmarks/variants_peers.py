"""Batchtopk, matryoshka and standard beside SAELens' and dictionary_learning's, each in a process of its own.

All see the same shuffled activations once: of `tiny`'s middle layer on the embedded novels, of unit root mean square,
divided by √d for dictionary_learning as its norm factor does. Width, k, batch, learning rate with its rise and fall, nested
widths and the window after which a latent is dead are shared; the rest is each trainer's default. What these count in steps
for long trainings (the rise of an L1 penalty, where a threshold is first kept) is a twentieth of this one. Every system
hands over weights and thresholds, and one function measures all on held-out activations: as saved, and with the one
threshold for all latents at which L0 is k there. An L1 coefficient of a peer is searched until its L0 is within 2 % of ours.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

VARIANTS = ("batchtopk", "matryoshka", "standard")
SYSTEMS = ("saelens", "dictionary_learning")
LEVELS = 4
LAYER = 2
NEAR, TRIES = 0.02, 6
WINDOW = 0.05


@dataclass(frozen=True)
class Work:
    """What all share.

    Attributes:
        d_in, d_sae, k, batch, steps, lr, seeds: of the trainings.
        held_out: activations to measure on.
    """

    d_in: int = 256
    d_sae: int = 1024
    k: int = 16
    batch: int = 256
    steps: int = 1000
    lr: float = 8e-4
    seeds: int = 2
    held_out: int = 32_512

    @property
    def rise(self) -> int:
        """Steps in which the learning rate rises."""
        return self.steps // 20

    @property
    def fall(self) -> int:
        """Steps, at the end, in which it falls."""
        return self.steps // 5

    @property
    def dead(self) -> int:
        """A latent silent for so many tokens is dead."""
        return int(WINDOW * self.steps * self.batch)

    @property
    def widths(self) -> list[int]:
        """Of the nested SAEs."""
        return [self.d_sae >> level for level in reversed(range(LEVELS))]


@dataclass(frozen=True)
class Task:
    """A training: of what, from what seed, at what L1 coefficient, on what activations in a file of batches."""

    work: Work
    variant: str
    seed: int
    price: float
    folder: Path

    def batches(self, size: float = 1.0) -> Iterator[Tensor]:
        """The activations, multiplied by a size."""
        whole = np.load(self.folder / "train.npy", mmap_mode="r")
        for first in range(0, len(whole), self.work.batch):
            yield torch.from_numpy(np.array(whole[first : first + self.work.batch])) * size


def ours(task: Task) -> dict[str, Tensor]:
    """A stack of one cell."""
    from faithful.sae.config import StackConfig
    from faithful.sae.stack import Stack
    from faithful.sae.variant import find_variant

    work = task.work
    some = torch.cat([x for x, _ in zip(task.batches(), range(64), strict=False)])
    config = StackConfig(
        work.d_in, work.d_sae, work.k, (task.seed,), work.steps, work.lr, work.dead,
        variant=find_variant(task.variant, {}),
    )  # fmt: skip
    stack = Stack(config, some.mean(0), float(some.square().sum(1).mean().rsqrt()), "cpu")
    for x in task.batches():
        stack.step(x)
    sae = stack.sae(0)
    variance = float((some - some.mean(0)).square().sum() / some.square().sum())
    price = stack.report(0).get("price", 0.0) * variance
    return {name: getattr(sae, name) for name in sae.tensors} | {"price": torch.tensor(price)}


def saelens(task: Task) -> dict[str, Tensor]:
    """SAELens' trainer; its SAE as it would be saved."""
    from sae_lens import BatchTopKTrainingSAEConfig, MatryoshkaBatchTopKTrainingSAEConfig, StandardTrainingSAEConfig
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.registry import get_sae_training_class
    from sae_lens.training.sae_trainer import SAETrainer

    work = task.work
    shape = {"d_in": work.d_in, "d_sae": work.d_sae}
    wanted: Any = {
        "batchtopk": lambda: BatchTopKTrainingSAEConfig(**shape, k=work.k),
        "matryoshka": lambda: MatryoshkaBatchTopKTrainingSAEConfig(**shape, k=work.k, matryoshka_widths=work.widths),
        "standard": lambda: StandardTrainingSAEConfig(**shape, l1_coefficient=task.price * work.d_in**0.5),
    }[task.variant]()
    torch.manual_seed(task.seed)
    sae = get_sae_training_class(wanted.architecture())[0](wanted)
    config = SAETrainerConfig(
        total_training_samples=work.steps * work.batch, train_batch_size_samples=work.batch, lr=work.lr, lr_end=work.lr,
        lr_warm_up_steps=work.rise, lr_decay_steps=work.fall, dead_feature_window=work.dead // work.batch,
        logger=LoggingConfig(log_to_wandb=False),
    )  # fmt: skip
    trained = SAETrainer(config, sae, task.batches()).fit()
    state = trained.state_dict()
    trained.process_state_dict_for_saving_inference(state)
    made = {name: state[name].detach() for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    if not trained.cfg.apply_b_dec_to_input:
        made["b_enc"] = made["b_enc"] + made["b_dec"] @ made["W_enc"]
    return made | {"threshold": state.get("threshold", torch.zeros(work.d_sae))}


def dictionary_learning(task: Task) -> dict[str, Tensor]:
    """dictionary_learning's trainer, on activations divided by √d."""
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.trainers.standard import StandardTrainer
    from dictionary_learning.training import trainSAE

    work, trainers = task.work, []
    shares = [width / work.d_sae for width in np.diff([0, *work.widths])]
    kind, rest = {
        "batchtopk": (BatchTopKTrainer, {"k": work.k, "threshold_start_step": work.rise}),
        "matryoshka": (
            MatryoshkaBatchTopKTrainer,
            {"k": work.k, "group_fractions": shares, "threshold_start_step": work.rise},
        ),
        "standard": (StandardTrainer, {"l1_penalty": task.price, "sparsity_warmup_steps": work.rise}),
    }[task.variant]

    def build(**config: Any) -> Any:
        trainers.append(kind(**config))
        trainers[0].dead_feature_threshold = work.dead
        return trainers[0]

    config = {
        "trainer": build, "steps": work.steps, "activation_dim": work.d_in, "dict_size": work.d_sae, "layer": LAYER,
        "lm_name": "tiny", "lr": work.lr, "warmup_steps": work.rise, "decay_start": work.steps - work.fall,
        "device": "cpu", "seed": task.seed, **rest,
    }  # fmt: skip
    trainSAE(task.batches(work.d_in**-0.5), [config], work.steps, device="cpu")
    ae, size = trainers[0].ae, work.d_in**0.5
    if task.variant == "matryoshka":
        made = {"W_enc": ae.W_enc, "b_enc": ae.b_enc, "W_dec": ae.W_dec, "b_dec": ae.b_dec}
    else:
        bias = ae.bias if task.variant == "standard" else ae.b_dec
        made = {"W_enc": ae.encoder.weight.T, "b_enc": ae.encoder.bias, "W_dec": ae.decoder.weight.T, "b_dec": bias}
    threshold = size * float(getattr(ae, "threshold", 0.0))
    made = {name: tensor.detach() * (size if name.startswith("b_") else 1) for name, tensor in made.items()}
    return made | {"threshold": torch.full((work.d_sae,), threshold)}


TRAINERS: dict[str, Callable[[Task], dict[str, Tensor]]] = {
    "ours": ours,
    "saelens": saelens,
    "dictionary_learning": dictionary_learning,
}


@torch.no_grad()
def measure(sae: dict[str, Tensor], x: Tensor, k: int) -> dict[str, float]:
    """Figures of an SAE f = pre · (pre > max(threshold, 0)) on x [N, d]: `fvu`, `l0` and the share of latents that `never`
    fire as saved, and `fvu_at_k` where the N·k largest of pre · ‖row‖ fire."""
    pre = (x - sae["b_dec"]) @ sae["W_enc"] + sae["b_enc"]
    codes = pre * (pre > sae["threshold"].clamp_min(0))
    spread = (x - x.mean(0)).square().sum()
    sizes = pre * torch.linalg.vector_norm(sae["W_dec"], dim=1)
    best = sizes >= sizes.flatten().topk(k * len(x)).values.min()

    def fvu(found: Tensor) -> float:
        return float((x - found @ sae["W_dec"] - sae["b_dec"]).square().sum() / spread)

    return {
        "fvu": fvu(codes), "fvu_at_k": fvu(pre.relu() * best), "l0": float((codes > 0).sum() / len(x)),
        "never": float((~(codes > 0).any(0)).float().mean()),
    }  # fmt: skip


def prepare(work: Work, folder: Path) -> None:
    """Write `train.npy` and `held_out.npy`, of different contexts, each in a random order."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from benchmarks.training_peers import _contexts
    from faithful.hooks.hook import Hook
    from faithful.hooks.truncated import TruncatedModel
    from faithful.models.presets import tiny_path

    rows = torch.from_numpy(_contexts(AutoTokenizer.from_pretrained(tiny_path()), 128))
    model = AutoModelForCausalLM.from_pretrained(tiny_path(), dtype=torch.float32).eval()
    truncated = TruncatedModel(model, Hook(LAYER, "resid_pre"))
    counts = {"held_out": work.held_out, "train": work.steps * work.batch}
    size, first = 0.0, 0
    for name, count in counts.items():
        last = first + -(-count // 127)
        x = torch.cat([truncated(part)[:, 1:].flatten(0, 1) for part in rows[first:last].split(32)])
        size = size or float(x.square().mean().sqrt())
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:count]
        np.save(folder / f"{name}.npy", (x[order] / size).numpy())
        first = last


class Runs:
    """Trainings in processes of their own, measured here."""

    def __init__(self, work: Work, folder: Path, python: dict[str, str]) -> None:
        self.work, self.folder, self.python = work, folder, python
        self.held_out = torch.from_numpy(np.load(folder / "held_out.npy"))

    def __call__(self, system: str, variant: str, seed: int, price: float = 0.0) -> dict[str, float]:
        """Figures of one; raises RuntimeError where it does not run."""
        wanted = json.dumps(asdict(self.work))
        arguments = [__file__, system, variant, str(seed), str(price), str(self.folder), wanted]
        done = subprocess.run(
            [self.python.get(system, sys.executable), *arguments], capture_output=True, text=True, check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError("".join(done.stderr.strip().splitlines()[-1:]) or f"exit code {done.returncode}")
        with np.load(self.folder / "sae.npz") as stored:
            sae = {name: torch.from_numpy(stored[name]) for name in stored.files}
        found = measure(sae, self.held_out, self.work.k) | {"threshold": float(sae["threshold"].mean())}
        found["price"] = float(sae["price"]) if "price" in sae else price
        shown = ", ".join(f"{name} {value:.4f}" for name, value in found.items())
        print(f"  {variant} {system} seed {seed}: {shown}", flush=True)
        return found

    def at_l0(self, system: str, variant: str, seed: int, wanted: float, price: float) -> dict[str, float]:
        """Search the price, by its power law, until L0 is within `NEAR` of what is wanted; the nearest that was found."""
        tried: list[tuple[float, dict[str, float]]] = []
        for _ in range(TRIES):
            run = self(system, variant, seed, price)
            off = math.log(max(run["l0"], 1e-3) / wanted)
            tried.append((off, run))
            if abs(off) <= NEAR:
                break
            above, below = (min([t for t in tried if (t[0] > 0) == up], key=_far, default=None) for up in (True, False))
            if above and below:
                part = min(0.9, max(0.1, above[0] / (above[0] - below[0])))
                price = above[1]["price"] ** (1 - part) * below[1]["price"] ** part
            else:
                price *= math.exp(max(-1.0, min(1.0, off)))
        off, nearest = min(tried, key=_far)
        if abs(off) > NEAR:
            print(
                f"{system} {variant}, seed {seed}: L0 {nearest['l0']:.2f} is the nearest to {wanted:.2f} that was found"
            )
        return nearest


def _far(tried: tuple[float, dict[str, float]]) -> float:
    return abs(tried[0])


def quality(python: str, quick: bool, only: list[str] | None) -> None:
    """Train all, and print ours over the best peer."""
    from benchmarks.shared import machine

    torch.set_num_threads(1)
    work = Work(d_sae=256, k=8, steps=100, seeds=1, held_out=2032) if quick else Work()
    print(f"{machine()}; one thread; {work}; load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        prepare(work, Path(scratch))
        runs = Runs(work, Path(scratch), {"dictionary_learning": python})
        for variant in [name for name in VARIANTS if not only or name in only]:
            figure = "fvu" if variant == "standard" else "fvu_at_k"
            mine = [runs("ours", variant, seed) for seed in range(work.seeds)]
            best = {}
            for system in SYSTEMS:
                try:
                    theirs, price = [], fmean(run["price"] for run in mine)
                    for seed, run in enumerate(mine):
                        if variant == "standard":
                            theirs.append(runs.at_l0(system, variant, seed, run["l0"], price))
                            price = theirs[-1]["price"]
                        else:
                            theirs.append(runs(system, variant, seed))
                except RuntimeError as error:
                    print(f"  {variant} {system}: not measured: {error}")
                    continue
                best[system] = fmean(run[figure] for run in theirs)
            report(variant, figure, fmean(run[figure] for run in mine), best)
    print(f"load {os.getloadavg()[0]:.1f}")


def report(variant: str, figure: str, mine: float, peers: dict[str, float]) -> None:
    """One line: means over seeds, and ours over the least of the others."""
    shown = ", ".join(f"{system} {value:.4f}" for system, value in peers.items())
    ratio = f"; ours over the best {mine / min(peers.values()):.3f} (target 1.01 at most)" if peers else ""
    print(f"{variant}, {figure}: ours {mine:.4f}, {shown}{ratio}", flush=True)


def main() -> None:
    system, variant, seed, price, folder, wanted = sys.argv[1:]
    torch.set_num_threads(1)
    task = Task(Work(**json.loads(wanted)), variant, int(seed), float(price), Path(folder))
    made = TRAINERS[system](task)
    np.savez(task.folder / "sae.npz", **{name: tensor.detach().float().numpy() for name, tensor in made.items()})


if __name__ == "__main__":
    main()

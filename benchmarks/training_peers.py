"""One SAE trainer in a process of its own: `python -m benchmarks.training_peers SYSTEM FOLDER SEEDS FIRST count|no`.

FOLDER holds what all systems share, made by `prepare`: `workload.json`, `model/`, `corpus/`, `rows.npy` (the same contexts)
and `held_out.npy` (activations to evaluate on). Every system runs by its own trainer and its own activation buffer, each
set to the workload's learning rate, batch, k, buffer and contexts per forward pass; the rest is its default. Activations
have unit root mean square by the model's weights, so that nobody needs a pass to normalise them. Where a buffer keeps a part
back to the end, as many activations are trained on, from a pool that is larger by that part. The clock covers forward passes
and steps: not imports, loading, initialisation, nor writing.
"""

import contextlib
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.training_flops import THREADS, Counter, Workload

BOS = 0
WRITERS = (
    "wte.weight", "wpe.weight", "c_proj.weight", "c_proj.bias", "embed_tokens.weight", "o_proj.weight", "down_proj.weight"
)  # fmt: skip
"""Weights that write to the residual stream, in GPT-2 and in Llama."""
CHUNK = 1016
PACKAGES = ("torch", "transformers", "sae-lens", "dictionary-learning", "nnsight", "eai-sparsify")
NOTES = {
    "saelens": "LanguageModelSAETrainingRunner, one run per seed, stopping at the hook (transformer.h.N)",
    "saelens-multi": "MultiSAETrainingRunner, one forward pass for all seeds",
    "dictionary_learning": "trainSAE with a TopKTrainer per seed on one ActivationBuffer; activations divided by √d_in, as"
    " its norm factor does; nnsight 0.3 pads contexts by a call that newer tokenizers refuse, so ours are stacked for it",
    "sparsify": "Trainer, one seed (two or more fail with a KeyError), Adam, AuxK 1/32, all layers run; it does not save",
}

Coder = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Activations [N, d_in] → reconstructions [N, d_in] and which latents fired, bool [F]."""


class Meter:
    """Time, FLOPs and activations of a training and of its forward passes.

    Attributes:
        seconds: of the training.
        forward, read, flops: seconds of the forward passes, activations that came from them, their FLOPs where counted.
        before: KiB resident when the clock started.
    """

    def __init__(self, counter: Counter | None = None) -> None:
        self.counter = counter
        self.seconds = self.forward = 0.0
        self.read = self.flops = self.before = 0

    @contextlib.contextmanager
    def clock(self) -> Iterator[None]:
        """Time what happens inside."""
        self.before = self.before or resident("VmRSS")
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began

    def around(self, function: Callable[..., Any], given: Callable[[Any], int]) -> Callable[..., Any]:
        """The same function, noted as a forward pass whose result holds so many activations."""

        def noted(*args: Any, **kwargs: Any) -> Any:
            flops, began = self.counter.flops if self.counter else 0, time.perf_counter()
            result = function(*args, **kwargs)
            self.forward += time.perf_counter() - began
            self.flops += self.counter.flops - flops if self.counter else 0
            self.read += given(result)
            return result

        return noted


def prepare(work: Workload, folder: Path) -> float:
    """Write what all systems share. Contexts are pieces of the embedded novels, in the model's token ids or `tiny`'s.

    Weights that write to the residual stream are multiplied so that the hook's activations have unit root mean square.

    Returns:
        Root mean square of the held-out activations.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config

    from faithful.hooks.hook import Hook
    from faithful.hooks.truncated import TruncatedModel
    from faithful.models.load import load_model
    from faithful.models.presets import tiny_path
    from faithful.models.spec import resolve_model
    from faithful.models.tokenizer import load_tokenizer
    from tests.own import write_external

    if work.model in ("random", "tiny"):
        tokenizer, bos = AutoTokenizer.from_pretrained(tiny_path()), BOS
    else:
        named = resolve_model(work.model, dtype="float32")
        tokenizer, bos = load_tokenizer(named.files, named.hub_revision()), named.bos_id
    rows = _contexts(tokenizer, work.context, bos)
    trained = work.contexts + work.fresh
    if len(rows) < trained + work.held_out:
        raise SystemExit(f"The embedded text gives {len(rows):,} contexts; use fewer --tokens.")
    if work.model == "tiny":
        model = AutoModelForCausalLM.from_pretrained(tiny_path(), dtype=torch.float32).eval()
    elif work.model == "random":
        config = GPT2Config(
            vocab_size=work.vocab, n_embd=work.d_in, n_layer=work.layers, n_head=work.heads, bos_token_id=BOS,
            eos_token_id=BOS,
        )  # fmt: skip
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    else:
        model = load_model(named, "cpu")
    truncated = TruncatedModel(model, Hook(work.layer, "resid_pre"))
    held_out = torch.from_numpy(rows[trained : trained + work.held_out])
    for _ in range(2):
        size = float(truncated(held_out[:16])[:, 1:].square().mean().sqrt())
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name.endswith(WRITERS):
                    weight.div_(size)
    x = torch.cat([truncated(part)[:, 1:].flatten(0, 1) for part in held_out.split(work.forward_contexts)])
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    spec = resolve_model(str(folder / "model"), dtype="float32")
    documents = {"train": list(rows[: work.contexts, 1:]), "test": list(held_out[:, 1:].numpy())}
    write_external(folder / "corpus", spec, documents)
    np.save(folder / "rows.npy", rows[:trained])
    np.save(folder / "held_out.npy", x.numpy())
    (folder / "workload.json").write_text(json.dumps(asdict(work)), encoding="utf-8")
    return float(x.square().mean().sqrt())


def _contexts(tokenizer: Any, context: int, bos: int) -> np.ndarray:
    """Contexts [n, context] of the embedded novels in a random order, int64, BOS first."""
    import zstandard

    packed = (resources.files("faithful.embedded") / "texts" / "prose.jsonl.zst").read_bytes()
    lines = zstandard.ZstdDecompressor().decompress(packed, max_output_size=2**30).splitlines()
    width = context - 1
    pieces = []
    for line in lines:
        ids = np.array(tokenizer(json.loads(line)["text"], add_special_tokens=False)["input_ids"], np.int64)
        pieces.append(ids[: len(ids) // width * width].reshape(-1, width))
    bodies = np.concatenate(pieces)
    bodies = bodies[np.random.default_rng(0).permutation(len(bodies))]
    return np.concatenate([np.full((len(bodies), 1), bos), bodies], axis=1)


def build_ours(work: Workload, folder: Path, seeds: list[int], meter: Meter | None = None) -> tuple[Any, Any]:
    """The stream and the stack, set up as `faithful train` sets them up; the first filling of the buffer is timed."""
    from faithful.activations.stream import ActivationStream, StreamConfig, stream_rows
    from faithful.hooks.hook import Hook
    from faithful.models.load import load_model
    from faithful.models.spec import resolve_model
    from faithful.sae.config import StackConfig
    from faithful.sae.stack import Stack

    meter = meter or Meter()
    spec = resolve_model(str(folder / "model"), dtype="float32")
    config = StreamConfig(
        hook=Hook(work.layer, "resid_pre"), context=work.context, tokens=work.activations, batch=work.batch,
        buffer=max(work.buffer, 2 * work.context), rows_per_forward=work.forward_contexts,
    )  # fmt: skip
    stream = ActivationStream(load_model(spec, "cpu"), stream_rows(folder / "corpus", spec, "train", config), config)
    with meter.clock():
        mean, scale = meter.around(stream.moments, lambda _: 0)()
    wanted = StackConfig(
        d_in=work.d_in, d_sae=work.d_sae, k=work.k, init_seeds=tuple(seeds), steps=stream.steps, lr=work.lr,
        dead_tokens=work.dead_tokens,
    )  # fmt: skip
    return stream, Stack(wanted, mean, scale, "cpu")


def ours(work: Workload, folder: Path, seeds: list[int], meter: Meter) -> list[Coder]:
    """One stream and one stack."""
    stream, stack = build_ours(work, folder, seeds, meter)
    batches = iter(stream)
    take = meter.around(lambda: next(batches, None), lambda x: 0 if x is None else len(x))
    with meter.clock():
        while (x := take()) is not None:
            stack.step(x)

    def coder(sae: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        codes = sae.encode(x)
        return sae.decode(codes), (codes > 0).any(0)

    return [partial(coder, stack.sae(cell)) for cell in range(len(seeds))]


def saelens(work: Workload, folder: Path, seeds: list[int], meter: Meter) -> list[Coder]:
    """One run of SAELens per seed; its own `seed` decides nothing, so the global one is set."""
    from sae_lens import LanguageModelSAERunnerConfig, LanguageModelSAETrainingRunner

    saes = []
    for seed in seeds:
        torch.manual_seed(seed)
        runner = LanguageModelSAETrainingRunner(
            LanguageModelSAERunnerConfig(
                sae=_saelens_sae(work), hook_name=work.module, verbose=False, **_saelens(work, folder)
            ),
            override_dataset=_dataset(work, folder),
            override_model=_saelens_model(work, folder),
        )
        store = runner.activations_store
        store.get_filtered_llm_batch = meter.around(store.get_filtered_llm_batch, len)
        with meter.clock():
            saes.append(runner.run())
    return [partial(_dense_coder, sae.encode, sae.decode, 1.0) for sae in saes]


def saelens_multi(work: Workload, folder: Path, seeds: list[int], meter: Meter) -> list[Coder]:
    """All seeds in SAELens' multi-SAE runner."""
    from sae_lens import MultiSAETrainingRunner, MultiSAETrainingRunnerConfig
    from sae_lens.registry import get_sae_training_class

    hook = work.module
    configs = {f"seed-{seed}": _saelens_sae(work) for seed in seeds}
    build, _ = get_sae_training_class("topk")
    saes = {}
    for seed, (name, config) in zip(seeds, configs.items(), strict=True):
        torch.manual_seed(seed)
        saes[name] = build(config)
    runner = MultiSAETrainingRunner(
        MultiSAETrainingRunnerConfig(saes=configs, hook_names=hook, **_saelens(work, folder)),
        override_dataset=_dataset(work, folder),
        override_model=_saelens_model(work, folder),
        override_saes=saes,
    )
    store = runner.activations_store
    read = store._get_filtered_multi_hook_llm_batch
    store._get_filtered_multi_hook_llm_batch = meter.around(read, lambda found: len(found[hook]))
    with meter.clock():
        trained = runner.run()
    return [partial(_dense_coder, sae.encode, sae.decode, 1.0) for sae in trained.values()]


def dictionary_learning(work: Workload, folder: Path, seeds: list[int], meter: Meter) -> list[Coder]:
    """A TopKTrainer per seed on one ActivationBuffer."""
    from dictionary_learning.buffer import ActivationBuffer
    from dictionary_learning.trainers.top_k import TopKTrainer
    from dictionary_learning.training import trainSAE
    from nnsight import LanguageModel
    from transformers import AutoModelForCausalLM, AutoTokenizer, BatchEncoding

    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    tokenizer.pad_token = tokenizer.eos_token

    def pad(rows: list[dict[str, Any]], **_: Any) -> Any:
        ids = torch.stack([torch.as_tensor(row["input_ids"]) for row in rows])
        return BatchEncoding({"input_ids": ids, "attention_mask": torch.ones_like(ids)})

    tokenizer.pad = pad
    model = LanguageModel(AutoModelForCausalLM.from_pretrained(folder / "model").eval(), tokenizer=tokenizer)
    buffer = ActivationBuffer(
        iter(_rows(work, folder).tolist()), model, model.get_submodule(work.module), d_submodule=work.d_in,
        n_ctxs=work.buffer // (work.context - 1), ctx_len=work.context - 1, refresh_batch_size=work.forward_contexts,
        out_batch_size=work.batch, remove_bos=True,
    )  # fmt: skip
    refill = buffer.refresh

    def refresh() -> int:
        waiting = int((~buffer.read).sum())
        refill()
        return len(buffer.activations) - waiting

    buffer.refresh = meter.around(refresh, int)
    trainers: list[Any] = []

    def build(**config: Any) -> Any:
        trainer = TopKTrainer(**config)
        trainer.dead_feature_threshold = work.dead_tokens
        trainers.append(trainer)
        return trainer

    wanted = {
        "trainer": build, "steps": work.steps, "activation_dim": work.d_in, "dict_size": work.d_sae, "k": work.k,
        "layer": work.layer, "lm_name": "gpt2", "lr": work.lr, "warmup_steps": work.warmup,
        "decay_start": work.steps - work.decay if work.decay else None, "device": "cpu",
    }  # fmt: skip
    norm = work.d_in**0.5
    batches = (x / norm for x in itertools.islice(buffer, work.steps))
    with meter.clock():
        trainSAE(batches, [wanted | {"seed": seed} for seed in seeds], work.steps, device="cpu")
    if trainers[0].scheduler.last_epoch != work.steps:
        raise SystemExit(f"{trainers[0].scheduler.last_epoch} of {work.steps} steps were made: the contexts ran out.")
    return [partial(_dense_coder, trainer.ae.encode, trainer.ae.decode, norm) for trainer in trainers]


def sparsify(work: Workload, folder: Path, seeds: list[int], meter: Meter) -> list[Coder]:
    """Sparsify's trainer with the one seed that it can run."""
    from sparsify import SaeConfig, TrainConfig, Trainer
    from transformers import AutoModel

    config = TrainConfig(
        SaeConfig(num_latents=work.d_sae, k=work.k), batch_size=work.batch_contexts, optimizer="adam", lr=work.lr,
        lr_warmup_steps=work.warmup, auxk_alpha=1 / 32, dead_feature_threshold=work.dead_tokens,
        exclude_tokens=[int(_rows(work, folder)[0, 0])],
        hookpoints=[f"h.{work.layer - 1}"], init_seeds=seeds, log_to_wandb=False, save_every=work.steps + 1,
    )  # fmt: skip
    dataset = _dataset(work, folder).select(range(work.contexts)).with_format("torch")
    trainer = Trainer(config, dataset, AutoModel.from_pretrained(folder / "model").eval())
    trainer.save = lambda: None
    with meter.clock():
        trainer.fit()

    def coder(sae: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        found = sae(x)
        fired = torch.zeros(sae.num_latents, dtype=torch.bool)
        fired[found.latent_indices[found.latent_acts > 0]] = True
        return found.sae_out, fired

    return [partial(coder, sae) for sae in trainer.saes.values()]


SYSTEMS = {
    "ours": ours,
    "saelens": saelens,
    "saelens-multi": saelens_multi,
    "dictionary_learning": dictionary_learning,
    "sparsify": sparsify,
}


def _saelens_sae(work: Workload) -> Any:
    from sae_lens import TopKTrainingSAEConfig

    return TopKTrainingSAEConfig(d_in=work.d_in, d_sae=work.d_sae, k=work.k)


def _saelens(work: Workload, folder: Path) -> dict[str, Any]:
    """What SAELens' two runners share. `lr_end` is where its final decay begins."""
    from sae_lens import LoggingConfig

    return {
        "model_name": "gpt2", "model_class_name": "AutoModelForCausalLM", "context_size": work.context,
        "n_batches_in_buffer": max(1, work.buffer // work.context), "training_tokens": work.activations,
        "store_batch_size_prompts": work.forward_contexts, "train_batch_size_tokens": work.batch, "lr": work.lr,
        "lr_end": work.lr, "lr_warm_up_steps": work.warmup, "lr_decay_steps": work.decay, "prepend_bos": True,
        "dead_feature_window": max(1, work.dead_tokens // work.batch),
        "exclude_special_tokens": [int(_rows(work, folder)[0, 0])],
        "logger": LoggingConfig(log_to_wandb=False), "checkpoint_path": None, "output_path": None, "device": "cpu",
    }  # fmt: skip


def _saelens_model(work: Workload, folder: Path) -> Any:
    from sae_lens.load_model import HookedProxyLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    return HookedProxyLM(model, tokenizer, hook_names=[work.module])


def _rows(work: Workload, folder: Path) -> np.ndarray:
    """Contexts [contexts + fresh, context], int64, BOS first."""
    return np.load(folder / "rows.npy")[: work.contexts + work.fresh]


def _dataset(work: Workload, folder: Path) -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"input_ids": _rows(work, folder)})


def _dense_coder(encode: Any, decode: Any, norm: float, x: Tensor) -> tuple[Tensor, Tensor]:
    codes = encode(x / norm)
    return decode(codes) * norm, (codes > 0).any(0)


def resident(field: str) -> int:
    """KiB resident in memory now (`VmRSS`) or at most so far (`VmHWM`)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith(field)).split()[1])


@torch.no_grad()
def quality(coder: Coder, x: Tensor) -> tuple[float, float]:
    """Fvu Σ‖x − x̂‖² / Σ‖x − mean‖² over held-out activations, and the share of latents that never fire on them."""
    spread = float((x.double() - x.double().mean(0)).square().sum())
    error, fired = 0.0, None
    for part in x.split(CHUNK):
        found, now = coder(part)
        error += float((part.double() - found.double()).square().sum())
        fired = now if fired is None else fired | now
    return error / spread, 1 - float(fired.double().mean())


def measure(system: str, folder: Path, seeds: list[int], count: bool) -> dict[str, Any]:
    """Train once by the clock, evaluate, and on request train one seed on a few contexts more to count FLOPs.

    Buffers that keep a part of themselves back at the end have run forward passes for it, which a long run would hardly
    notice: their share of the forward's time is taken off `seconds` and stated as `unused`.
    """
    work = Workload(**json.loads((folder / "workload.json").read_text(encoding="utf-8")))
    train, meter = SYSTEMS[system], Meter()
    coders = train(work, folder, seeds, meter)
    peak = resident("VmHWM")
    used = work.activations * (len(seeds) if system == "saelens" else 1)
    unused = meter.forward * (1 - used / meter.read) if meter.read else 0.0
    held_out = torch.from_numpy(np.load(folder / "held_out.npy"))
    found = [quality(coder, held_out) for coder in coders]
    del coders
    return {
        "seconds": meter.seconds - unused,
        "unused": unused,
        "forward": meter.forward - unused,
        "peak_kib": peak,
        "before_kib": meter.before,
        "fvu": [fvu for fvu, _ in found],
        "never": [never for _, never in found],
        "flops": _count(train, work, folder, seeds[0]) if count else None,
        "versions": {name: installed for name in PACKAGES if (installed := _version(name))},
    }


def _count(train: Any, work: Workload, folder: Path, seed: int) -> dict[str, float]:
    """Counted FLOPs per activation: of the forward passes (0 where these cannot be told apart), and of the rest."""
    small = replace(work, contexts=4, batch_contexts=1, buffer_batches=2, forward_contexts=1, dead_share=None)
    counter = Counter()
    meter = Meter(counter)
    with counter:
        train(small, folder, [seed], meter)
    return {
        "forward": meter.flops / meter.read if meter.read else 0.0,
        "cell": (counter.flops - meter.flops) / small.activations,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def main() -> None:
    system, folder, seeds, first, count = sys.argv[1:]
    torch.set_num_threads(THREADS)
    found = measure(system, Path(folder), list(range(int(first), int(first) + int(seeds))), count == "count")
    print("RESULT" + json.dumps(found))


if __name__ == "__main__":
    main()

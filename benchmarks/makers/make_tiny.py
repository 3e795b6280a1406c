"""Train the embedded model `tiny` from this Python's standard library: `python -m benchmarks.makers.make_tiny --out DIR`.

The result holds the model, its tokenizer, the held-out source files (`stdlib.jsonl.zst`, the frozen snapshot that the
embedded corpus `stdlib` is made of) and `training.json` (seed, data manifest, loss curve, held-out loss). Training
writes a checkpoint every `--checkpoint-every` steps and resumes from it.
"""

import argparse
import hashlib
import json
import math
import platform
import sysconfig
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zstandard
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from faithful.embedded.passages import Passage, all_passages, normalised

EOS = "<|endoftext|>"
EOS_ID = 0
ROW = 256
CONTEXT = 128


def source_files() -> dict[str, str]:
    """Every UTF-8 `.py` file of this installation's standard library: relative path → text, sorted by path."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = {}
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if "site-packages" in name or "__pycache__" in name:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if text.strip():
            files[name] = text
    return files


def held_out(text: str) -> bool:
    """One file in ten, by a hash of its content: the same file always falls on the same side."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 10 == 0


def train_tokenizer(texts: list[str], vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def pack(passages: list[Passage], order: np.ndarray, window: int = 2048) -> list[list[int]]:
    """Best-fit packing of passages (by index, in `order`) into rows of at most ROW tokens, window by window."""
    rows: list[list[int]] = []
    for begin in range(0, len(order), window):
        open_rows: dict[int, list[list[int]]] = {}
        batch = sorted(order[begin : begin + window], key=lambda i: -len(passages[i].token_ids))
        for index in batch:
            size = len(passages[index].token_ids)
            room = next((r for r in range(size, ROW + 1) if open_rows.get(r)), None)
            row = open_rows[room].pop() if room is not None else []
            row.append(int(index))
            left = (room if room is not None else ROW) - size
            open_rows.setdefault(left, []).append(row)
        rows.extend(row for group in open_rows.values() for row in group)
    return rows


def collate(passages: list[Passage], rows: list[list[int]]) -> dict[str, Tensor]:
    """Rows of packed passages → inputs (each passage shifted right behind BOS), targets, positions, segments."""
    shape = (len(rows), ROW)
    inputs, targets = np.zeros(shape, np.int64), np.full(shape, -100, np.int64)
    positions, segments = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for r, row in enumerate(rows):
        at = 0
        for s, index in enumerate(row, start=1):
            ids = passages[index].token_ids
            end = at + len(ids)
            inputs[r, at] = EOS_ID
            inputs[r, at + 1 : end] = ids[:-1]
            targets[r, at:end] = ids
            positions[r, at:end] = np.arange(len(ids))
            segments[r, at:end] = s
            at = end
    names = ("inputs", "targets", "positions", "segments")
    return {name: torch.from_numpy(a) for name, a in zip(names, (inputs, targets, positions, segments), strict=True)}


def loss_of(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Summed next-token cross-entropy and number of targets of one packed batch."""
    same = batch["segments"][:, :, None] == batch["segments"][:, None, :]
    mask = (same & torch.ones(ROW, ROW, dtype=torch.bool).tril())[:, None]
    logits = model(
        input_ids=batch["inputs"], attention_mask=mask, position_ids=batch["positions"], use_cache=False
    ).logits
    loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), batch["targets"].flatten(), reduction="sum")
    return loss, (batch["targets"] >= 0).sum()


def initialise(model: GPT2LMHeadModel, generator: torch.Generator) -> None:
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            scale = 0.02 / math.sqrt(2 * model.config.n_layer) if name.endswith("c_proj.weight") else 0.02
            parameter.data.normal_(0.0, scale, generator=generator)


class Muon(torch.optim.Optimizer):
    """Momentum with an orthogonalised update (Jordan et al. 2024), in float32: torch's own uses bfloat16."""

    def __init__(self, params: list[torch.nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                buffer = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                buffer.lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(buffer, group["momentum"])
                scale = max(1.0, parameter.shape[1] / parameter.shape[0]) ** 0.5
                parameter.add_(orthogonalised(update), alpha=-group["lr"] * scale)


def orthogonalised(matrix: Tensor, steps: int = 5) -> Tensor:
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrix."""
    x = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


@torch.no_grad()
def evaluate(model: Any, passages: list[Passage], rows_per_batch: int) -> float:
    rows = pack(passages, np.arange(len(passages)))
    total, count = 0.0, 0
    for begin in range(0, len(rows), rows_per_batch):
        batch_rows = rows[begin : begin + rows_per_batch]
        batch_rows += [[]] * (rows_per_batch - len(batch_rows))
        loss, tokens = loss_of(model, collate(passages, batch_rows))
        total, count = total + loss.item(), count + int(tokens)
    return total / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--rows", type=int, default=24, help="rows of 256 tokens per step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vocab-size", type=int, default=4096)
    parser.add_argument("--matrix-lr", type=float, default=0.02)
    parser.add_argument("--adam-lr", type=float, default=2e-3)
    parser.add_argument("--checkpoint-every", type=int, default=100)
    parser.add_argument("--keep-step", type=int, default=None, help="also export the model after this many steps")
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    files = source_files()
    train_files = {name: text for name, text in files.items() if not held_out(text)}
    test_files = {name: text for name, text in files.items() if held_out(text)}
    tokenizer_path = args.out / "tokenizer.json"
    if not tokenizer_path.exists():
        train_tokenizer(list(train_files.values()), args.vocab_size).save(str(tokenizer_path))
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=EOS,
        eos_token=EOS,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    train = all_passages(train_files.values(), tokenizer, EOS_ID)
    seen = {normalised(passage.text) for passage in train}
    test_all = all_passages(test_files.values(), tokenizer, EOS_ID)
    test = [passage for passage in test_all if normalised(passage.text) not in seen]
    snapshot = "".join(json.dumps({"path": n, "text": t}) + "\n" for n, t in test_files.items()).encode()
    (args.out / "stdlib.jsonl.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(snapshot))
    manifest = {
        "python": platform.python_version(),
        "files": len(files),
        "characters": sum(map(len, files.values())),
        "files_sha256": hashlib.sha256(
            "".join(f"{n} {hashlib.sha256(t.encode()).hexdigest()}\n" for n, t in files.items()).encode()
        ).hexdigest(),
        "train": {"files": len(train_files), "passages": len(train), "tokens": sum(len(p.token_ids) for p in train)},
        "held_out": {
            "files": len(test_files),
            "sha256": hashlib.sha256(snapshot).hexdigest(),
            "passages": len(test),
            "tokens": sum(len(p.token_ids) for p in test),
            "dropped_also_in_training": len(test_all) - len(test),
        },
    }
    print(json.dumps(manifest, indent=1), flush=True)

    settings: Any = GPT2Config
    config = settings(
        vocab_size=args.vocab_size,
        n_positions=CONTEXT,
        n_ctx=CONTEXT,
        n_embd=256,
        n_layer=4,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=EOS_ID,
        eos_token_id=EOS_ID,
        attn_implementation="sdpa",
    )
    model = GPT2LMHeadModel(config)
    initialise(model, torch.Generator().manual_seed(args.seed))
    hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and ".h." in n]
    chosen = {id(p) for p in hidden}
    others = [p for p in model.parameters() if id(p) not in chosen]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(hidden, lr=args.matrix_lr),
        torch.optim.AdamW(others, lr=args.adam_lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    base_lrs = [args.matrix_lr, args.adam_lr]
    compiled = model if args.no_compile else torch.compile(model)

    def export(folder: Path) -> None:
        half = GPT2LMHeadModel(config)
        half.load_state_dict(model.state_dict())
        half.half().save_pretrained(folder)
        fast.save_pretrained(folder)

    state_path = args.out / "state.pt"
    step, curve = 0, []
    if state_path.exists():
        state = torch.load(state_path, weights_only=False)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, curve = state["step"], state["curve"]

    rows: list[list[int]] = []
    epoch = -1
    rows_done, start, running, counted = step * args.rows, time.time(), 0.0, 0
    while step < args.steps:
        at_epoch = 0 if not rows else rows_done // len(rows)
        if at_epoch != epoch:
            epoch = at_epoch
            order_rng = np.random.default_rng([args.seed, epoch])
            rows = pack(train, order_rng.permutation(len(train)))
            order_rng.shuffle(rows)
            rows = rows[: len(rows) // args.rows * args.rows]
            continue
        cursor = rows_done % len(rows)
        batch = collate(train, rows[cursor : cursor + args.rows])
        fraction = step / args.steps
        factor = min(1.0, (step + 1) / 50) * min(1.0, (1 - fraction) / 0.6)
        for optimizer, lr in zip(optimizers, base_lrs, strict=True):
            optimizer.param_groups[0]["lr"] = lr * factor
        loss, count = loss_of(compiled, batch)
        (loss / count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step, rows_done = step + 1, rows_done + args.rows
        running, counted = running + loss.item(), counted + int(count)
        if step % 20 == 0:
            curve.append([step, round(running / counted, 4)])
            print(f"step {step} loss {running / counted:.4f} {counted / (time.time() - start):.0f} tok/s", flush=True)
            start, running, counted = time.time(), 0.0, 0
        if step % args.checkpoint_every == 0 or step == args.steps:
            saved = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers]}
            torch.save({**saved, "step": step, "curve": curve}, state_path.with_suffix(".tmp"))
            state_path.with_suffix(".tmp").replace(state_path)
        if step == args.keep_step:
            export(args.out / f"step-{step}")

    export(args.out / "model")
    record = {
        "seed": args.seed,
        "steps": args.steps,
        "tokens_per_step": args.rows * ROW,
        "optimizer": {"matrices": f"Muon {args.matrix_lr}", "others": f"AdamW {args.adam_lr}"},
        "versions": {"torch": torch.__version__},
        "data": manifest,
        "held_out_loss": round(evaluate(compiled, test, args.rows), 4),
        "train_loss_curve": curve,
    }
    (args.out / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    print(f"held-out loss {record['held_out_loss']} nats/token", flush=True)


if __name__ == "__main__":
    main()

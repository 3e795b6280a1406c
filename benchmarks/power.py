"""Power of the certificate: `python -m benchmarks.power [--checkpoint DIR] [--report]`.

For each deviation 20 disjoint corpora of 8,000 and of 32,000 tokens (the first 8,000 of a corpus are its small set),
scored as T 1 unless the table says otherwise, no stored log p (as for a text that somebody hands over). Detected: some
test has a Holm-corrected p below 0.001. Sampled and scored by the transformers engine from `tiny`; about an hour on two
cores, one line per corpus in `benchmarks/results/power.jsonl`, samples cached beside it; running it again goes on where it
stopped, `--report` prints what is there. The order is such that stopping early leaves a useful table: ten repetitions of
every deviation at 8,000 tokens, then the rest of those that were not always detected, these at 32,000, and what is left.
What each deviation is exactly: the comments at DEVIATIONS.
"""

import argparse
import fcntl
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.shared import RESULTS, Doc, Draw, cut_to, fill, machine, one_thread, read_units, summary, write_unit
from generation.sampling.distribution import Sampling
from generation.sampling.engine import Request, Sample
from generation.sampling.seeds import sample_seed, uniforms

SIZES = (8000, 32000)
REPETITIONS = 20
GROUPS = 4
ALPHA = 0.001
SLOTS = 96
OWN = Sampling()
HIDDEN = 32
Docs = list[np.ndarray]
Select = Callable[[list[Doc], int, "Context"], Docs]


@dataclass(frozen=True)
class Truth:
    """What really drew the tokens.

    Attributes:
        sampling: the real settings.
        model: `tiny`, `checkpoint`, `noise-1e-2`, `noise-1e-3`, `bfloat16`, or an alteration of `tiny`'s decoding.
        strip: tokens to drop at the beginning of each sample.
    """

    sampling: Sampling = OWN
    model: str = "tiny"
    strip: int = 0


@dataclass(frozen=True)
class Deviation:
    """One row of the table.

    Attributes:
        name: as printed.
        truth: key of TRUTHS, or of the texts.
        declared: what the certificate is told.
        select: makes the corpus of a repetition from its samples.
        factor: samples needed, in tokens per token kept.
        before: prototype's figures: rejected at 8k / 32k, gap, z at 8k.
    """

    name: str
    truth: str
    declared: Sampling = OWN
    select: Select | None = None
    factor: float = 1.0
    before: str = ""


@dataclass(frozen=True)
class Context:
    """What `select` may need: tokenizer, end-of-text id, longest sample, human passages of the repetition."""

    tokenizer: Any
    eos: int
    longest: int
    human: Callable[[int], Docs]


def _each(change: Callable[[np.ndarray, int, int, Context], Docs]) -> Select:
    """`select` that maps every document by itself: (ids, repetition, index, context) → documents."""

    def select(docs: list[Doc], repetition: int, context: Context) -> Docs:
        return [new for i, doc in enumerate(docs) for new in change(doc.ids, repetition, i, context) if len(new)]

    return select


def _retokenised(ids: np.ndarray, repetition: int, index: int, context: Context) -> Docs:
    ended = bool(ids[-1] == context.eos)
    text = context.tokenizer.decode(ids[:-1] if ended else ids, clean_up_tokenization_spaces=False)
    new = context.tokenizer.encode(text, add_special_tokens=False)
    return [np.array([*new, context.eos] if ended else new, np.int64)[: context.longest]]


def _shuffled(ids: np.ndarray, repetition: int, index: int, context: Context) -> Docs:
    body = ids[:-1] if ids[-1] == context.eos else ids
    order = np.random.default_rng([repetition, index]).permutation(len(body))
    return [np.concatenate([body[order], ids[len(body) :]])]


def _human_mix(docs: list[Doc], repetition: int, context: Context) -> Docs:
    """5 % of the documents, each chosen by its own uniform, replaced by held-out passages."""
    seeds = np.array([sample_seed(repetition, "mix", index) for index in range(len(docs))])
    human = iter(context.human(repetition))
    return [next(human) if u < 0.05 else doc.ids for doc, u in zip(docs, uniforms(seeds, 1)[:, 0], strict=True)]


def _repeats(docs: list[Doc], repetition: int, context: Context) -> Docs:
    """Documents 50, 150, 250 … replaced by a copy of an earlier one, chosen at random among those before."""
    generator = np.random.default_rng([repetition, 1])
    return [docs[int(generator.integers(0, i))].ids if i % 100 == 50 else doc.ids for i, doc in enumerate(docs)]


def _best_of_two(by_mean: bool) -> Select:
    def value(doc: Doc) -> float:
        return float(doc.log_p.mean() if by_mean else doc.log_p.sum())

    def select(docs: list[Doc], repetition: int, context: Context) -> Docs:
        return [max(pair, key=value).ids for pair in zip(docs[::2], docs[1::2], strict=False)]

    return select


def _without_worst(docs: list[Doc], repetition: int, context: Context) -> Docs:
    """Of each ten consecutive documents the one with the highest perplexity dropped."""
    kept: Docs = []
    for begin in range(0, len(docs) - 9, 10):
        ten = docs[begin : begin + 10]
        worst = int(np.argmin([doc.log_p.mean() for doc in ten]))
        kept += [doc.ids for place, doc in enumerate(ten) if place != worst]
    return kept


TRUTHS = {
    "own": Truth(),
    "T 1.02": Truth(Sampling(temperature=1.02)),
    "T 0.98": Truth(Sampling(temperature=0.98)),
    "T 1.1": Truth(Sampling(temperature=1.1)),
    "top-k 50": Truth(Sampling(top_k=50)),
    "top-p 0.9": Truth(Sampling(top_p=0.9)),
    "min-p 0.02": Truth(Sampling(min_p=0.02)),
    "top-p 0.99": Truth(Sampling(top_p=0.99)),
    "repetition penalty 1.05": Truth(Sampling(repetition_penalty=1.05)),
    "checkpoint": Truth(model="checkpoint"),
    "noise 1e-2": Truth(model="noise-1e-2"),
    "noise 1e-3": Truth(model="noise-1e-3"),
    "bfloat16": Truth(model="bfloat16"),
    "T 0.8 top-p 0.97": Truth(Sampling(temperature=0.8, top_p=0.97)),
    "top-k 40": Truth(Sampling(top_k=40)),
    "doubled BOS": Truth(model="doubled-bos", strip=1),
    "missing BOS": Truth(model="missing-bos"),
    "missing BOS, uniform": Truth(model="missing-bos-uniform"),
    "late end": Truth(model="late-end"),
    "masked": Truth(model="masked"),
}

# In order of importance. `own` is the null.
DEVIATIONS = [
    Deviation("as declared (null)", "own"),
    Deviation("T 1.02", "T 1.02", before=".54/1 +.107 +4.1"),
    Deviation("T 0.98", "T 0.98", before=".75/1 -.111 -4.4"),
    Deviation("top-p 0.99", "top-p 0.99", before=".58/1 -.064 -2.3"),
    Deviation("repetition penalty 1.05", "repetition penalty 1.05", before="1/1 +.139 +5.2"),
    Deviation("checkpoint at 95 % of training", "checkpoint", before="0/1 +.073 +2.4"),
    # Every document twice, side by side.
    Deviation(
        "every document twice",
        "own",
        select=_each(lambda ids, *_: [ids, ids]),
        factor=0.5,
        before="1/1 -.003 0",
    ),
    Deviation("1 % repeated samples", "own", select=_repeats),
    # Held-out standard-library passages (those that also occur in training left out), shuffled, dealt to repetitions.
    Deviation("held-out text of the training distribution", "stdlib", before="1/1 -.276 -10"),
    # Long descriptions (README texts) of the packages installed beside, cut to passages like the training text.
    Deviation("prose (package descriptions)", "prose", before="1/1 +.111 +5.4"),
    Deviation("5 % human text mixed in", "own", select=_human_mix, factor=1.05),
    Deviation("decoded and re-tokenised", "own", select=_each(_retokenised), factor=1.15, before=".38/1 +.084 +3.4"),
    Deviation(
        "declared T 0.8 top-p 0.95, really 0.97",
        "T 0.8 top-p 0.97",
        Sampling(temperature=0.8, top_p=0.95),
        before=".80/1",
    ),
    Deviation("declared top-k 50, really 40", "top-k 40", Sampling(top_k=50), before="1/1 -.081 -4.8"),
    # BOS BOS x₁ x₂ …: the second BOS at position 1; x is stored (at most 126 tokens).
    Deviation("doubled BOS", "doubled BOS"),
    # x₁ drawn from q(·; BOS); then decoding goes on from x₁ at position 0 with no BOS before it.
    Deviation("missing BOS after a right first token", "missing BOS"),
    # x₁ uniform over all ids but end-of-text, at position 0, no BOS before it.
    Deviation("missing BOS, uniform first token", "missing BOS, uniform"),
    Deviation("end-of-text banned for 16 tokens", "late end"),
    Deviation("ids >= 90 % of the vocabulary masked", "masked"),
    # The first 32 tokens of each sample dropped (samples of at most 32 tokens left out): what is stored was sampled after
    # 32 tokens, and at positions, that the certificate does not see.
    Deviation(
        "32 hidden tokens of context",
        "own",
        select=_each(lambda ids, *_: [ids[HIDDEN:]]),
        factor=1.6,
        before=".67/1 +.092 late -4.4",
    ),
    Deviation(
        "only documents that ended kept",
        "own",
        select=_each(lambda ids, _repetition, _index, context: [ids] if ids[-1] == context.eos else []),
        factor=2.0,
        before="0/.75 -.022 eos +2.2",
    ),
    Deviation(
        "only full-length documents kept",
        "own",
        select=_each(lambda ids, _repetition, _index, context: [ids] if len(ids) == context.longest else []),
        factor=2.0,
        before=".16/1 +.013 eos -3.1",
    ),
    Deviation(
        "best of two by total log-probability",
        "own",
        select=_best_of_two(by_mean=False),
        factor=2.6,
        before=".19/1 -.082 -3.2",
    ),
    Deviation("best of two by log-probability per token", "own", select=_best_of_two(by_mean=True), factor=2.1),
    Deviation("worst-perplexity tenth dropped", "own", select=_without_worst, factor=1.15, before="0/.14 -.030 -1.1"),
    # w (1 + ε n), n standard normal, one draw for all weights and repetitions.
    Deviation("weights with relative noise 1e-2", "noise 1e-2", before="0/0 +.011"),
    Deviation("own tokens shuffled in the document", "own", select=_each(_shuffled), before="1/1 +3.6 +134"),
    Deviation("T 1.1", "T 1.1", before="1/1 +.562 +21"),
    Deviation("top-k 50", "top-k 50", before="1/1 -1.22 -45"),
    Deviation("top-p 0.9", "top-p 0.9", before="1/1 -.506 -19"),
    Deviation("min-p 0.02", "min-p 0.02", before="1/1 -1.24 -47"),
    Deviation("weights with relative noise 1e-3", "noise 1e-3", before="0/0 +.001"),
    Deviation("sampled in bfloat16, scored in float32", "bfloat16"),
]
BY_NAME = {deviation.name: deviation for deviation in DEVIATIONS}


class Altered(torch.nn.Module):
    """`tiny` decoded wrongly in a stated way; called as the transformers engine calls a model, one column a step."""

    def __init__(self, model: Any, kind: str, bos: int, eos: int) -> None:
        super().__init__()
        self.model, self.config, self.kind, self.bos, self.eos = model, model.config, kind, bos, eos

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor, **rest: Any
    ) -> Any:
        age = position_ids[:, 0]
        marker = int(self.config.vocab_size) - 1
        if self.kind == "doubled-bos":
            input_ids = torch.where(position_ids == 1, self.bos, input_ids)
        if self.kind.startswith("missing-bos"):
            started = (age > 0).nonzero()[:, 0]
            attention_mask = attention_mask.clone()
            attention_mask[started, (attention_mask.shape[1] - 1 - age[started]).clamp(min=0)] = False
            position_ids = (position_ids - 1).clamp(min=0)
        output = self.model(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, **rest)
        logits = output.logits
        new = age == 0
        if self.kind == "doubled-bos":  # the second BOS comes in as a marker, which the next step replaces
            logits[new] = float("-inf")
            logits[new, :, marker] = 0.0
        elif self.kind == "missing-bos-uniform":
            logits[new] = 0.0
            logits[new, :, self.eos] = float("-inf")
        elif self.kind == "late-end":
            logits[age < 16, :, self.eos] = float("-inf")
        elif self.kind == "masked":
            logits[:, :, int(0.9 * self.config.vocab_size) :] = float("-inf")
        return output


class Workshop:
    """What a process needs to make and score corpora: models, caches, texts."""

    def __init__(self, args: argparse.Namespace) -> None:
        from faithful.models.load import load_model
        from faithful.models.spec import resolve_model
        from faithful.models.tokenizer import load_tokenizer

        self.args, self.caches = args, args.results.with_suffix("")
        self.spec = resolve_model("tiny")
        self.model = load_model(self.spec, "cpu")
        self.longest = self.spec.positions - 1
        tokenizer = load_tokenizer(self.spec.source, None)
        self.context = Context(tokenizer, self.spec.eos_ids[0], self.longest, lambda rep: self._texts("stdlib")[rep])
        self.texts: dict[str, list[Docs]] = {}

    def corpus(self, deviation: Deviation, tokens: int, group: int) -> Iterator[tuple[int, Docs]]:
        """The corpora of the group's repetitions."""
        repetitions = range(group, REPETITIONS, GROUPS)
        if deviation.truth not in TRUTHS:
            for repetition in repetitions:
                yield repetition, _first(self._texts(deviation.truth)[repetition], tokens)
            return
        strip = TRUTHS[deviation.truth].strip
        needed = tokens * deviation.factor + strip * tokens / 20
        while True:
            pool = self._pool(deviation.truth, group, repetitions, int(needed))
            made = {repetition: self._select(deviation, pool[repetition], repetition) for repetition in repetitions}
            if all(sum(map(len, docs)) >= tokens for docs in made.values()):
                break
            needed *= 1.2
        for repetition, docs in made.items():
            yield repetition, _first(docs, tokens)

    def certify(self, deviation: Deviation, documents: Docs, seed: int) -> dict[str, Any]:
        from generation.certificate.score_part import score_part
        from generation.scoring.scored_part import ScoredPart

        part = ScoredPart(documents, np.arange(len(documents)), None, "every document")
        return score_part(part, self.model, self.spec, deviation.declared, as_declared=True, seed=seed)

    def _select(self, deviation: Deviation, docs: list[Doc], repetition: int) -> Docs:
        strip = TRUTHS[deviation.truth].strip
        if strip:
            docs = [Doc(doc.ids[strip:], doc.log_p[strip:]) for doc in docs if len(doc.ids) > strip]
        return deviation.select(docs, repetition, self.context) if deviation.select else [doc.ids for doc in docs]

    def _pool(self, truth: str, group: int, repetitions: Sequence[int], tokens: int) -> dict[int, list[Doc]]:
        name = truth.replace(" ", "-").replace(",", "")
        self.caches.mkdir(parents=True, exist_ok=True)
        with (self.caches / f"{name}-{group}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = self.caches / f"{name}-{group}.npz"
            pool = fill(path, repetitions, tokens, f"power/{truth}", lambda requests: self._draw(truth)(requests))
        # Only what was asked for, so that what a corpus holds does not depend on what others asked for before.
        return {repetition: cut_to(docs, tokens) for repetition, docs in pool.items()}

    def _draw(self, truth: str) -> Draw:
        from faithful.models.load import load_model
        from faithful.models.spec import resolve_model
        from generation.sampling.transformers_engine import TransformersEngine

        kind = TRUTHS[truth].model
        spec, model = self.spec, self.model
        if kind == "checkpoint":
            spec = resolve_model(str(self.args.checkpoint))
            model = load_model(spec, "cpu")
        elif kind == "bfloat16":
            spec = replace(spec, dtype="bfloat16")
            model = load_model(spec, "cpu")
        elif kind.startswith("noise-"):
            model = noisy(load_model(spec, "cpu"), float(kind.removeprefix("noise-")))
        elif kind != "tiny":
            model = Altered(model, kind, spec.bos_id, spec.eos_ids[0])
        engine = TransformersEngine(model, spec, TRUTHS[truth].sampling, SLOTS)

        def run(requests: Iterator[Request]) -> Iterator[Sample]:
            return engine.run(requests)

        return run

    def _texts(self, name: str) -> list[Docs]:
        """Passages of a text, dealt to the repetitions."""
        if name not in self.texts:
            path = self.caches / f"{name}.npz"
            self.caches.mkdir(parents=True, exist_ok=True)
            with (self.caches / f"{name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not path.exists():
                    docs = passages(name, self.spec.source, self.args.stdlib, self.spec.eos_ids[0], self.longest)
                    lengths = np.array([len(doc) for doc in docs])
                    np.savez(path, ids=np.concatenate(docs).astype(np.uint16), lengths=lengths)
            stored = np.load(path)
            docs = np.split(stored["ids"].astype(np.int64), np.cumsum(stored["lengths"])[:-1])
            self.texts[name] = [docs[repetition::REPETITIONS] for repetition in range(REPETITIONS)]
        return self.texts[name]


def _first(docs: Docs, tokens: int) -> Docs:
    ends = np.cumsum([len(doc) for doc in docs])
    return docs[: int(np.searchsorted(ends, tokens)) + 1]


@torch.no_grad()
def noisy(model: Any, epsilon: float, seed: int = 0) -> Any:
    """Every weight times (1 + ε n), n standard normal."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.mul_(1 + epsilon * torch.randn(parameter.shape, generator=generator))
    return model


def passages(name: str, source: str, stdlib: Path, eos: int, limit: int) -> Docs:
    """Passages of `stdlib` (held out of training) or `prose` (package descriptions), shuffled, none twice."""
    import json
    from importlib.metadata import distributions

    import zstandard
    from tokenizers import Tokenizer

    from benchmarks.makers.make_tiny import held_out, source_files
    from faithful.embedded.passages import all_passages, normalised

    tokenizer = Tokenizer.from_file(str(Path(source) / "tokenizer.json"))
    if name == "stdlib":
        raw = zstandard.ZstdDecompressor().decompress(stdlib.read_bytes(), max_output_size=2**30)
        texts = [json.loads(line)["text"] for line in raw.splitlines()]
        train = [text for text in source_files().values() if not held_out(text)]
        seen = {normalised(passage.text) for passage in all_passages(train, tokenizer, eos, limit)}
    else:
        found = {
            d.metadata["Name"]: str(d.metadata.get_payload() or d.metadata["Description"] or "")
            for d in distributions()
        }
        texts, seen = [text for _, text in sorted(found.items()) if len(text) > 500], set()
    docs: Docs = []
    for passage in all_passages(texts, tokenizer, eos, limit):
        key = normalised(passage.text)
        if key not in seen:
            seen.add(key)
            docs.append(np.array(passage.token_ids, np.int64))
    order = np.random.default_rng(0).permutation(len(docs))
    return [docs[place] for place in order]


def key_of(unit: dict[str, Any]) -> tuple[str, int, int]:
    return unit["deviation"], unit["size"], unit["repetition"]


def next_task(
    names: list[str], sizes: list[int], groups: list[int], units: list[dict[str, Any]]
) -> tuple[str, int, int] | None:
    """The next (deviation, size, group of repetitions) that is not complete, in the order of the module's docstring."""
    done = {key_of(unit) for unit in units}
    missed = {unit["deviation"] for unit in units if unit["p_holm"] >= ALPHA}

    def stage(name: str, size: int, group: int) -> int:
        early, small = group < GROUPS // 2, size == min(SIZES)
        if small and early:
            return 0
        if name in missed:
            return 1 if small else 2 if early else 3
        return 4 if small else 5

    todo = [
        (stage(name, size, group), rank, size, group, name)
        for rank, name in enumerate(names)
        for size in sizes
        for group in groups
        if any((name, size, repetition) not in done for repetition in range(group, REPETITIONS, GROUPS))
    ]
    if not todo:
        return None
    _, _, size, group, name = min(todo)
    return name, size, group


def work(groups: list[int], names: list[str], args: argparse.Namespace) -> None:
    """Do all tasks of some groups of repetitions."""
    one_thread()
    workshop = Workshop(args)
    while task := next_task(names, args.sizes, groups, read_units(args.results)):
        name, size, group = task
        began = time.time()
        done = {key_of(unit) for unit in read_units(args.results)}
        for repetition, documents in workshop.corpus(BY_NAME[name], size, group):
            if (name, size, repetition) in done:
                continue
            result = workshop.certify(BY_NAME[name], documents, repetition)
            unit = {"deviation": name, "size": size, "repetition": repetition}
            write_unit(args.results, unit | summary(result))
        took = time.time() - began
        print(f"{time.strftime('%H:%M:%S')} group {group} {size} {name}: {took:.0f} s", flush=True)


def report(units: list[dict[str, Any]]) -> None:
    """Print the table: one row per deviation and size."""
    print(f"detected = p_holm < {ALPHA}; tests: share rejected by itself (Holm p < {ALPHA}), shares of at least .1")
    print(
        f"{'deviation':44} {'size':>5} {'n':>2} {'det.':>4} {'gap':>7} {'z':>6} {'p_holm':>8}  prototype 8k/32k gap z | tests"
    )
    sizes = sorted({unit["size"] for unit in units})
    for deviation in DEVIATIONS:
        for size in sizes:
            rows = [unit for unit in units if unit["deviation"] == deviation.name and unit["size"] == size]
            if rows:
                print(_row(deviation, size, rows))
    for size in sizes:
        rows = [unit for unit in units if unit["size"] == size]
        if rows:
            print(
                f"\nmedian z of surprise, repeat, eos, late, serial; median p of pit, first_token, copy; support; {size}"
            )
        for deviation in DEVIATIONS:
            chosen = [unit for unit in rows if unit["deviation"] == deviation.name]
            if chosen:
                print(f"{deviation.name:44} {_medians(chosen)}")


def _row(deviation: Deviation, size: int, rows: list[dict[str, Any]]) -> str:
    detected = np.mean([unit["p_holm"] < ALPHA for unit in rows])
    gap, z, p_holm = (float(np.median([unit[name] for unit in rows])) for name in ("surprise_gap", "z", "p_holm"))
    by_test = {
        test: float(np.mean([unit["tests"][test].get("p_holm", 1.0) < ALPHA for unit in rows]))
        for test in rows[0]["tests"]
    }
    found = " ".join(f"{t} {s:.2f}" for t, s in sorted(by_test.items(), key=lambda item: -item[1]) if s >= 0.1)
    verdicts = {unit["verdict"] for unit in rows}
    close = sum(unit["verdict"] == "close" for unit in rows)
    note = f" (close {close})" if close else ""
    wide = sum(unit["p_holm"] >= ALPHA and unit["verdict"].startswith("not from") for unit in rows)
    note += f" ({wide} 'not from' by the interval alone)" if wide and verdicts else ""
    before = deviation.before if size == SIZES[0] else ""
    return (
        f"{deviation.name:44} {size:5} {len(rows):2} {detected:4.2f} {gap:+7.3f} {z:+6.1f} {p_holm:8.1e}"
        f"  {before:22} | {found}{note}"
    )


def _medians(rows: list[dict[str, Any]]) -> str:
    parts = []
    for test in ("surprise", "repeat", "eos", "late", "serial"):
        z = [unit["tests"][test]["z"] for unit in rows if unit["tests"][test].get("z") is not None]
        parts.append(f"{np.median(z):+7.2f}" if z else "      -")
    for test in ("pit", "first_token", "copy"):
        p = [unit["tests"][test]["p"] for unit in rows if unit["tests"][test].get("p") is not None]
        parts.append(f"{np.median(p):8.1e}" if p else "       -")
    parts.append(f"{np.median([unit['impossible_share'] for unit in rows]):.4f}")
    return " ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help=f"processes of one thread each, at most {GROUPS}")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="tokens per corpus")
    parser.add_argument("--only", nargs="+", help="deviations by name")
    parser.add_argument("--checkpoint", type=Path, help="folder of the model at 95 %% of its training steps")
    parser.add_argument(
        "--stdlib",
        type=Path,
        default=Path("faithful/embedded/tiny/stdlib.jsonl.zst"),
        help="held-out text of the training",
    )
    parser.add_argument("--results", type=Path, default=RESULTS / "power.jsonl")
    parser.add_argument("--report", action="store_true", help="only print the table of what is there")
    args = parser.parse_args()
    print(machine())
    if not args.report:
        names = [
            name
            for name, deviation in BY_NAME.items()
            if (not args.only or name in args.only) and (deviation.truth != "checkpoint" or args.checkpoint)
        ]
        jobs = min(args.jobs, GROUPS)
        context = multiprocessing.get_context("spawn")
        shares = [list(range(GROUPS))[job::jobs] for job in range(jobs)]
        processes = [context.Process(target=work, args=(share, names, args)) for share in shares]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    report(read_units(args.results))


if __name__ == "__main__":
    main()

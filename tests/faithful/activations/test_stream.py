"""The activation stream: every activation once, the same for all who read it, resumed bit for bit, bounded."""

import copy
import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from faithful.activations.stream import (
    ActivationStream,
    StreamConfig,
    kept_activations,
    stream_rows,
    tokens_of_a_pass,
)
from faithful.base.errors import FaithfulError
from faithful.hooks.hook import Hook
from faithful.hooks.hook_points import decoder_layers
from faithful.hooks.truncated import TruncatedModel
from faithful.models.spec import ModelSpec
from faithful.store.corpus import Corpus
from faithful.store.token_rows import TokenRows, plan_tokens
from generation.sampling.distribution import Sampling
from tests.faithful.store.test_token_rows import documents
from tests.own import write_external, write_own

Models = Callable[[str], tuple[ModelSpec, Any]]
HOOK = Hook(1, "resid_pre")
CONFIG = StreamConfig(hook=HOOK, context=20, batch=32, buffer=128, rows_per_forward=4)


@pytest.fixture(scope="module")
def corpora(family_model: Models, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A corpus for a family, made once."""
    root, made = tmp_path_factory.mktemp("streams"), {}

    def corpus(family: str) -> Path:
        if family not in made:
            spec, _ = family_model(family)
            texts = {"train": documents(spec, 50), "test": documents(spec, 12, seed=1)}
            made[family] = write_external(root / family, spec, texts)
        return made[family]

    return corpus


def stream_of(model: Any, spec: ModelSpec, folder: Path, split: str, config: StreamConfig) -> ActivationStream:
    return ActivationStream(model, stream_rows(folder, spec, split, config), config)


def open_stream(
    family: str,
    family_model: Models,
    corpora: Callable[[str], Path],
    config: StreamConfig = CONFIG,
    split: str = "train",
) -> ActivationStream:
    spec, model = family_model(family)
    return stream_of(model, spec, corpora(family), split, config)


def assert_same_rows(found: Tensor, expected: Tensor) -> None:
    """Equal up to the order of rows and to rounding, each as often."""
    assert found.shape == expected.shape
    _, columns = linear_sum_assignment(torch.cdist(found, expected).numpy())
    torch.testing.assert_close(found, expected[columns], atol=1e-4, rtol=1e-3)


def everything(stream: ActivationStream, passes: int = 1) -> Tensor:
    """Each context alone, unpadded: the activations of its ordinary tokens, in the order of the passes."""
    rows, model, found = stream._rows, stream._model, []
    for epoch in range(passes):
        order = rows.ordered(stream.config.data_seed, epoch)
        for row in order.rows(0, len(order.kept)):
            found.append(model(torch.from_numpy(row)[None])[0][torch.from_numpy(rows.ordinary[row])])
    return torch.cat(found)


@pytest.mark.parametrize("layout", ["aligned", "packed"])
def test_every_ordinary_token_of_every_context_comes_once(
    family: str, family_model: Models, corpora: Callable[[str], Path], layout: str
) -> None:
    stream = open_stream(family, family_model, corpora, replace(CONFIG, layout=layout, batch=1))
    found, expected = torch.cat(list(stream)), everything(stream)
    assert_same_rows(found, expected)
    assert not torch.allclose(found, expected, atol=1e-2)
    counts, plan = stream.counts, plan_tokens(Corpus(corpora(family)), CONFIG.context, layout)
    in_pass = len(stream._rows.ordered(stream.config.data_seed).kept)
    assert counts.rows == in_pass
    assert layout == "packed" or in_pass == plan.rows
    assert counts.activations == len(expected) == counts.positions.sum()
    assert counts.positions[0] == 0
    if layout == "aligned":
        assert counts.tokens == plan.usable
        assert counts.special == plan.rows + plan.usable - len(expected)
    else:
        assert counts.special == in_pass * CONFIG.context - len(expected)


def test_an_own_corpus_streams_up_to_the_hook(family_model: Models, tmp_path: Path) -> None:
    spec, model = family_model("mistral")
    folder = write_own(tmp_path / "own", spec, model, Sampling(max_tokens=30), {"train": 600, "test": 200})
    for split in ("train", "test"):
        stream = stream_of(model, spec, folder, split, replace(CONFIG, batch=16))
        batches = list(stream)
        assert len(batches) == stream.steps > 5
        assert all(x.shape == (16, stream.d_in) and x.dtype == torch.float32 for x in batches)
        assert stream.hook_path == "model.layers.1.input"


def test_two_readers_get_the_same_bits_whatever_else_is_drawn(
    family_model: Models, corpora: Callable[[str], Path]
) -> None:
    first = list(open_stream("llama", family_model, corpora))
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    state = torch.get_rng_state()
    second = list(open_stream("llama", family_model, corpora))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(torch.stack(first), torch.stack(second))
    other = list(open_stream("llama", family_model, corpora, replace(CONFIG, data_seed=1)))
    assert len(other) == len(first)
    assert not torch.allclose(torch.stack(other), torch.stack(first), atol=1e-2)


def test_the_order_does_not_depend_on_contexts_per_forward(
    family_model: Models, corpora: Callable[[str], Path]
) -> None:
    for layout in ("aligned", "packed"):
        config = replace(CONFIG, layout=layout)
        one, four, many = (
            torch.stack(list(open_stream("gemma2", family_model, corpora, replace(config, rows_per_forward=n))))
            for n in (1, 4, None)
        )
        torch.testing.assert_close(one, four, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(one, many, atol=1e-4, rtol=1e-3)


def test_the_buffer_mixes_contexts(family_model: Models, corpora: Callable[[str], Path]) -> None:
    stream = open_stream("gpt2", family_model, corpora, replace(CONFIG, batch=16, buffer=256))
    expected = everything(stream)
    source = np.concatenate([np.full(n, row) for row, n in enumerate(stream._rows.ordered(0).kept)])
    for x in list(stream)[:-1]:
        nearest = torch.cdist(x, expected).argmin(1)
        assert len(set(source[nearest])) >= 6


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"layout": "packed"},
        {"epochs": 2.5},
        {"layout": "packed", "epochs": 2.0},
        {"drop_outliers": True},
        {"tokens": 300},
        {"buffer": 100_000},
    ],
)
def test_a_resumed_stream_goes_on_bit_for_bit(
    family_model: Models, corpora: Callable[[str], Path], change: dict[str, Any]
) -> None:
    config = replace(CONFIG, **change)
    whole = open_stream("gpt_neox", family_model, corpora, config)
    expected = list(whole)
    for stop in {0, 1, 4, len(expected) - 1, len(expected)}:
        first = open_stream("gpt_neox", family_model, corpora, config)
        batches = iter(first)
        taken = [next(batches) for _ in range(stop)]
        file = io.BytesIO()
        torch.save(first.state(), file)
        file.seek(0)
        second = open_stream("gpt_neox", family_model, corpora, config)
        second.load_state(torch.load(file, weights_only=False))
        taken += list(second)
        assert all(torch.equal(a, b) for a, b in zip(taken, expected, strict=True))
        assert second.counts.positions.tolist() == whole.counts.positions.tolist()
        assert replace(second.counts, positions=0) == replace(whole.counts, positions=0)
        assert torch.equal(second.moments().mean, whole.moments().mean)
        assert second.moments().scale == whole.moments().scale


def test_a_state_of_another_stream_is_refused(family_model: Models, corpora: Callable[[str], Path]) -> None:
    state = open_stream("gpt_neox", family_model, corpora).state()
    for change in ({"data_seed": 1}, {"rows_per_forward": 5}, {"tokens": 100}):
        with pytest.raises(FaithfulError, match="another corpus or other settings"):
            open_stream("gpt_neox", family_model, corpora, replace(CONFIG, **change)).load_state(state)
    elsewhere = state | {"of": state["of"] | {"hook_path": "gpt_neox.layers.0.output"}}
    with pytest.raises(FaithfulError, match="another corpus or other settings"):
        open_stream("gpt_neox", family_model, corpora).load_state(elsewhere)


def test_epochs_repeat_the_prefix_in_new_orders(family_model: Models, corpora: Callable[[str], Path]) -> None:
    config = replace(CONFIG, batch=1, buffer=1000)
    usable = plan_tokens(Corpus(corpora("llama")), CONFIG.context, "aligned").usable
    stream = open_stream("llama", family_model, corpora, replace(config, epochs=3.0, tokens=3 * usable))
    found = torch.cat(list(stream))
    assert_same_rows(found, everything(stream, 3))
    assert stream.counts.tokens == 3 * usable
    half = open_stream("llama", family_model, corpora, replace(config, epochs=1.5, tokens=int(1.5 * usable)))
    list(half)
    assert half.counts.rows == 75
    assert abs(half.counts.tokens / usable - 1.5) < 0.1


def test_the_prefix_of_a_pass_is_never_longer_than_what_the_passes_were_counted_of() -> None:
    """Whatever their number with two decimals: a budget is `int(epochs · usable)`."""
    for hundredths in range(100, 500, 7):
        epochs = hundredths / 100
        usable = np.random.default_rng(hundredths).integers(100, 10**8, 500).tolist()
        wrong = [one for one in [28_675, *usable] if not one - 1 <= tokens_of_a_pass(int(epochs * one), epochs) <= one]
        assert wrong == [], epochs
    assert tokens_of_a_pass(7, 0.5) == 7 and tokens_of_a_pass(7, 2) == 4


def test_every_pass_is_read_whole_where_passes_differ_in_length(
    family_model: Models, corpora: Callable[[str], Path]
) -> None:
    """Packed contexts of a model whose BOS is its end-of-text: how many there are depends on the order of the documents."""
    seen = set()
    for data_seed in range(5):
        config = replace(CONFIG, layout="packed", context=7, batch=1, data_seed=data_seed, epochs=3.5)
        stream = open_stream("gpt2", family_model, corpora, config)
        passes = [stream._rows.ordered(data_seed, epoch) for epoch in range(4)]
        lengths = [len(order.kept) for order in passes]
        found = torch.cat(list(stream))
        half = stream.counts.rows - sum(lengths[:3])
        assert abs(half - lengths[3] / 2) <= 5
        kept = np.concatenate([order.kept for order in passes])[: stream.counts.rows]
        stored = np.concatenate([order.stored for order in passes])[: stream.counts.rows]
        assert stream.steps == len(found) == kept.sum()
        assert stream.counts.tokens == stored.sum()
        expected = everything(stream, 4)[: len(found)]
        assert_same_rows(found, expected)
        seen |= set(lengths)
    assert len(seen) > 1


def test_a_budget_takes_the_first_documents_alone(
    family_model: Models, corpora: Callable[[str], Path], tmp_path: Path
) -> None:
    spec, model = family_model("llama")
    config = replace(CONFIG, tokens=200)
    expected = list(open_stream("llama", family_model, corpora, config))
    grown = write_external(tmp_path / "grown", spec, {"train": documents(spec, 50) + documents(spec, 9, 7), "test": []})
    stream = stream_of(model, spec, grown, "train", config)
    assert torch.equal(torch.stack(list(stream)), torch.stack(expected))
    assert 200 <= stream.counts.tokens < 200 + CONFIG.context


def test_steps_are_known_before_and_what_is_left_over_is_counted(
    family_model: Models, corpora: Callable[[str], Path]
) -> None:
    for change in ({}, {"batch": 23}, {"layout": "packed", "epochs": 2.0}, {"tokens": 333}):
        stream = open_stream("gpt2", family_model, corpora, replace(CONFIG, **change))
        assert stream.steps == len(list(stream)) > 0
        counts = stream.counts
        assert counts.activations == stream.steps * stream.config.batch
        assert counts.activations + counts.left_over == counts.positions.sum()
        assert counts.left_over < stream.config.batch
        assert list(stream) == []


def test_moments_are_those_of_the_first_filling_and_cost_nothing(
    family_model: Models, corpora: Callable[[str], Path]
) -> None:
    config = replace(CONFIG, buffer=100_000, batch=1)
    stream = open_stream("gemma2", family_model, corpora, config)
    mean, scale = stream.moments()
    found = torch.cat(list(stream)).double()
    torch.testing.assert_close(mean, found.mean(0).float())
    assert scale == pytest.approx(float(found.square().sum(1).mean() ** -0.5), rel=1e-6)
    assert torch.equal(found.float(), torch.cat(list(open_stream("gemma2", family_model, corpora, config))))


def with_sink(family_model: Models) -> tuple[ModelSpec, Any, int]:
    """A model in which one token has an activation of a hundred times the usual norm."""
    spec, model = family_model("gpt2")
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.transformer.wte.weight[17] *= 1000
    return spec, model, 17


def test_outliers_are_counted_and_left_out_on_request(family_model: Models, tmp_path: Path) -> None:
    spec, model, sink = with_sink(family_model)
    texts = documents(spec, 40)
    for text in texts[::4]:
        text[0] = sink
    sinks = sum(int((text[: CONFIG.context - 1] == sink).sum()) for text in texts)
    folder = write_external(tmp_path / "c", spec, {"train": texts, "test": []})
    config = replace(CONFIG, hook=Hook(0, "resid_pre"), batch=1, buffer=200)
    kept, dropped = (
        stream_of(model, spec, folder, "train", replace(config, drop_outliers=drop)) for drop in (False, True)
    )
    all_of_them, rest = torch.cat(list(kept)), torch.cat(list(dropped))
    assert kept.counts.outliers == dropped.counts.outliers == sinks >= 10
    assert kept.counts.positions.tolist() == dropped.counts.positions.tolist()
    assert len(all_of_them) == kept.steps
    assert len(rest) == len(all_of_them) - sinks
    assert rest.norm(dim=1).max() < 10 * all_of_them.norm(dim=1).median() < all_of_them.norm(dim=1).max()


def test_activations_that_are_not_finite_are_refused(family_model: Models, corpora: Callable[[str], Path]) -> None:
    spec, model = family_model("gpt_neox")
    broken = copy.deepcopy(model)
    with torch.no_grad():
        decoder_layers(broken)[1][0].mlp.dense_4h_to_h.weight[3, 5] = float("nan")
    with pytest.raises(FaithfulError, match=r"at resid_pre\.1 are not finite"):
        list(stream_of(broken, spec, corpora("gpt_neox"), "train", CONFIG))
    assert len(list(stream_of(broken, spec, corpora("gpt_neox"), "train", replace(CONFIG, hook=Hook(0, "resid_pre")))))


def test_sixteen_bits_halve_the_buffer(family_model: Models, corpora: Callable[[str], Path]) -> None:
    spec, model = family_model("llama")
    half = copy.deepcopy(model).bfloat16()
    stream = stream_of(half, spec, corpora("llama"), "train", CONFIG)
    x = next(iter(stream))
    assert x.dtype == torch.float32
    assert torch.equal(x, x.bfloat16().float())
    full = open_stream("llama", family_model, corpora)
    assert (next(iter(full)) - x).norm() / x.norm() < 0.05
    assert 2 * stream._buffer._memory.nbytes == full._buffer._memory.nbytes


def test_the_buffer_holds_what_was_stated_and_never_more_than_there_is(
    family_model: Models, corpora: Callable[[str], Path]
) -> None:
    stream = open_stream("gpt_neox", family_model, corpora)
    assert stream._buffer is None
    stream.moments()
    assert stream._buffer._memory.nbytes == 128 * stream.d_in * 4
    assert stream.state()["buffer"]["waiting"].nbytes <= stream._buffer._memory.nbytes
    small = open_stream("gpt_neox", family_model, corpora, replace(CONFIG, buffer=10**9))
    small.moments()
    assert small._buffer._memory.nbytes == everything(small).nbytes


def test_layers_above_never_run_and_forwards_share_contexts_of_like_length(
    family_model: Models, corpora: Callable[[str], Path]
) -> None:
    _, model = family_model("mistral")
    shapes: list[tuple[int, int]] = []
    above = [0]

    def look(_: Any, __: Any, output: Tensor) -> None:
        shapes.append(tuple(output.shape[:2]))

    def run(*_: Any) -> None:
        above[0] += 1

    layers = decoder_layers(model)[1]
    stream = open_stream("mistral", family_model, corpora)
    handles = [layers[0].register_forward_hook(look), layers[1].mlp.register_forward_hook(run)]
    handles.append(model.lm_head.register_forward_hook(run))
    list(stream)
    for handle in handles:
        handle.remove()
    assert above == [0]
    computed = sum(rows * length for rows, length in shapes)
    real = stream.counts.special + int(stream.counts.positions.sum())
    assert real <= computed < 1.35 * real
    assert max(rows for rows, _ in shapes) == 4


def test_contexts_without_an_ordinary_token_are_no_trouble(family_model: Models, tmp_path: Path) -> None:
    spec, model = family_model("gpt2")
    ends = [np.array(spec.eos_ids)] * 30
    texts = [*ends, *documents(spec, 20), *ends]
    folder = write_external(tmp_path / "c", spec, {"train": texts, "test": ends})
    stream = stream_of(model, spec, folder, "train", replace(CONFIG, buffer=64))
    assert len(list(stream)) == stream.steps
    assert stream.counts.rows == len(texts)
    with pytest.raises(FaithfulError, match="gives 0 activations, less than one batch of 32"):
        stream_of(model, spec, folder, "test", CONFIG)


def test_kept_activations_come_context_after_context(family_model: Models, corpora: Callable[[str], Path]) -> None:
    spec, model = family_model("llama")
    truncated, rows = TruncatedModel(model, HOOK), TokenRows(Corpus(corpora("llama")), spec, 20, split="test")
    contexts = rows.ordered(None).rows(0, rows.count)
    seen: list[int] = []
    for places, activations in kept_activations(truncated, contexts, rows.ordinary, 3):
        parts = activations.split([int(rows.ordinary[contexts[place]].sum()) for place in places])
        for place, part in zip(places, parts, strict=True):
            alone = truncated(torch.from_numpy(contexts[place])[None])[0][
                torch.from_numpy(rows.ordinary[contexts[place]])
            ]
            torch.testing.assert_close(part, alone, atol=1e-4, rtol=1e-3)
        seen += places.tolist()
    assert sorted(seen) == [place for place, row in enumerate(contexts) if rows.ordinary[row].any()]


def test_settings_that_cannot_work_are_refused(family_model: Models, corpora: Callable[[str], Path]) -> None:
    for change, said in (
        ({"buffer": 63}, "give it at least 64"),
        ({"context": 100, "buffer": 128}, "give it at least 200"),
        ({"batch": 0}, "at least one activation"),
        ({"batch": 10_000, "buffer": 20_000}, "less than one batch"),
        ({"epochs": 0.0}, "epochs are above 0"),
        ({"data_seed": -1}, "data seed is at least 0"),
        ({"tokens": 0}, "at least one token"),
        ({"tokens": 10**6}, r"that is 1,\d\d\d\.\d\d epochs"),
        ({"hook": Hook(2, "resid_pre")}, "has layers 0 to 1, not 2"),
    ):
        with pytest.raises(FaithfulError, match=said):
            open_stream("gpt2", family_model, corpora, replace(CONFIG, **change))


def test_the_stream_needs_no_heavy_packages() -> None:
    code = (
        "import sys; import faithful.activations.stream, faithful.activations.quality;"
        "print([name for name in ('polars', 'datasets', 'sae_lens', 'vllm', 'scipy', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Variants of the SAE by name: the worked example of CONTRIBUTING.md, added as the one file it is, and what is refused."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from faithful.cli import app
from faithful.formats.files import load_sae
from faithful.models.spec import ModelSpec
from faithful.sae import variants
from faithful.sae.config import StackConfig
from faithful.sae.sparse import top_k
from faithful.sae.stack import Stack
from faithful.sae.variant import Phase, find_variant, variant_names
from faithful.sae.variants.topk import TopK
from faithful.store.saes import find_saes
from faithful.training import corpus_pass
from faithful.training.config import TrainConfig
from faithful.training.identity import recorded_variant
from faithful.training.settings import settle
from generation.sampling.distribution import Sampling
from studies.seeds.gaussian import recorded_config
from tests.own import write_own
from tests.test_contributing import blocks

Model = Callable[[str], tuple[ModelSpec, Any]]


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str, str], None]]:
    """Adds a variant: one file on the path of the folder of variants, nothing else."""
    folder = tmp_path / "variants"
    folder.mkdir()
    monkeypatch.setattr(variants, "__path__", [*variants.__path__, str(folder)])
    names: list[str] = []

    def add(name: str, code: str) -> None:
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
        names.append(name)

    yield add
    for name in names:
        sys.modules.pop(f"{variants.__name__}.{name}", None)
        vars(variants).pop(name, None)


@pytest.fixture
def thrifty(added: Callable[[str, str], None]) -> None:
    (code,) = blocks("A new SAE variant", "python")
    added("thrifty", code)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> Path:
    spec, model = family_model("gpt2")
    folder = tmp_path_factory.mktemp("variants") / "corpora" / "own"
    return write_own(folder, spec, model, Sampling(max_tokens=31), {"train": 3000, "test": 800})


def trained(corpus: Path, out: Path, *stated: str) -> Any:
    """What `faithful train` says of a small grid."""
    line = (
        f"train --corpus {corpus} --out {out} --seeds 0,1 --layer 1 --d-sae 64 --k 4 --lr 0.003 --tokens 2800"
        " --context 32 --batch 64 --buffer 256 --eval-tokens 400 --device cpu --checkpoint-minutes 1e-9"
    )
    return CliRunner().invoke(app, [*line.split(), *stated])


PLAIN = "resid_pre.1-f64-k4"
SHAPE = f"{PLAIN}-thrifty"
OTHERWISE = f"{SHAPE}-s3-p0.05"


@pytest.mark.usefixtures("thrifty")
def test_one_file_is_a_variant_of_the_command_line(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained, killed and gone on with, saved, found and loaded; beside it TopK's SAEs of the same shape."""
    stated = ("--variant", "thrifty", "--set", "thrifty.price=0.05", "--set", "thrifty.start=3")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert trained(corpus, whole, *stated).exit_code == 0
    real, steps = corpus_pass.Stack.step, iter(range(1000))

    def step(self: Any, x: torch.Tensor) -> None:
        if next(steps) == 9:
            raise KeyboardInterrupt
        real(self, x)

    with monkeypatch.context() as patched:
        patched.setattr(corpus_pass.Stack, "step", step)
        assert trained(corpus, killed, *stated).exit_code != 0
    assert list((killed / "own" / ".checkpoints").glob("*.pt"))
    assert trained(corpus, killed, *stated).exit_code == 0
    assert trained(corpus, whole).exit_code == 0
    for seed in (0, 1):
        folders = [place / "own" / OTHERWISE / f"seed-{seed}" for place in (whole, killed)]
        a, b = (load_file(folder / "sae_weights.safetensors") for folder in folders)
        assert all(torch.equal(a[name], b[name]) for name in a)
        rows = [json.loads(line) for line in (folders[0] / "train.jsonl").read_text().splitlines()]
        assert (rows[0]["k"], rows[-1]["k"]) == (12, 4) and rows[-1]["objective"] > 0
        config = json.loads((folders[0] / "cfg.json").read_text())
        assert (config["architecture"], config["k"], load_sae(folders[0]).k) == ("topk", 4, 4)
        assert config["metadata"]["training_architecture"] == "thrifty"
        assert config["metadata"]["training_architecture_details"] == {"k": 4, "start": 3, "until": 0.5, "price": 0.05}
        identity = config["metadata"]["faithful"]["identity"]
        assert identity["variant"] == "thrifty"
        assert identity["parameters"] == {"start": 3, "until": 0.5, "price": 0.05}
        plain = json.loads((whole / "own" / PLAIN / f"seed-{seed}" / "cfg.json").read_text())
        assert not {"variant", "variant_version", "parameters"} & plain["metadata"]["faithful"]["identity"].keys()
        assert "training_architecture" not in plain["metadata"]
    assert [sae.shape for sae in find_saes([whole])] == [PLAIN] * 2 + [OTHERWISE] * 2
    card = " ".join((killed / "README.md").read_text(encoding="utf-8").replace("\\", " ").split())
    assert "| variant thrifty | start 3, until 0.5, price 0.05 |" in card and "- thrifty" in card and "topk" not in card
    assert "2 thrifty sparse autoencoders" in card
    made_again = "--variant thrifty --set thrifty.start=3 --set thrifty.until=0.5 --set thrifty.price=0.05"
    assert made_again in card
    both = (whole / "README.md").read_text(encoding="utf-8")
    assert "4 TopK and thrifty sparse autoencoders" in both
    assert made_again.replace("--variant thrifty", "--variant topk,thrifty") in " ".join(
        both.replace("\\", " ").split()
    )
    again = trained(corpus, whole, *stated)
    assert again.exit_code == 0 and "nothing to do" in again.stderr
    as_recorded = recorded_config({"identity": identity}, 64, 20, (0,))
    assert as_recorded is not None and as_recorded.phase(0).k == 12


@pytest.mark.usefixtures("thrifty")
def test_saelens_reads_an_sae_of_a_variant(corpus: Path, tmp_path: Path) -> None:
    sae_lens = pytest.importorskip("sae_lens")
    assert trained(corpus, tmp_path / "saes", "--variant", "thrifty").exit_code == 0
    folder = tmp_path / "saes" / "own" / SHAPE / "seed-0"
    theirs, ours = sae_lens.SAE.load_from_disk(str(folder)), load_sae(folder)
    x = torch.randn(64, ours.d_in, generator=torch.Generator().manual_seed(0)) * 3
    assert torch.allclose(theirs(x), ours.reconstruct(x), atol=1e-5)


@pytest.mark.usefixtures("thrifty")
@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (("--variant", "thrify"), "There is no variant 'thrify'; choose one with --variant: topk,"),
        (("--variant", "thrify"), "Did you mean thrifty?"),
        (("--variant", "thrifty,topk,thrifty"), "Name each variant once: --variant thrifty; values with commas"),
        (("--set", "thrifty.price=1"), "is of no variant of this grid, which has topk. Add --variant thrifty."),
        (("--variant", "thrifty", "--set", "thrity.price=1"), "which has thrifty. Did you mean thrifty?"),
        (("--set", "topk.price=1"), "variant topk cannot be trained so: `price` is not known; it has no settings"),
        (("--set", "price=1"), "'price=1' is no setting of a variant; write --set VARIANT.NAME=VALUE"),
        (("--variant", "thrifty", "--set", "thrifty.price"), "is no setting of a variant"),
        (("--variant", "thrifty", "--set", "thrifty.price=0,-1"), "`price` is -1, and a number of at least 0 is meant"),
        (("--variant", "thrifty", "--set", "thrifty.start=2.5"), "`start` is 2.5, and a whole number is meant"),
        (("--variant", "thrifty", "--set", "thrifty.start=2,17"), "the variant thrifty would keep 68 of 64 latents"),
        (("--variant", "thrifty", "--set", "thrifty.price=1", "--set", "thrifty.price=2"), "states thrifty.price twice"),
        (
            ("--variant", "topk,thrifty", "--set", "thrifty.prize=1"),
            "`prize` is not known; its settings are start, until, price. Did you mean price?",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence_before_work_starts(
    stated: tuple[str, ...], said: str, corpus: Path, tmp_path: Path
) -> None:
    done = trained(corpus, tmp_path / "saes", *stated)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "saes" / "own").exists()


@pytest.mark.usefixtures("thrifty")
def test_a_grid_of_variants_trains_from_one_pass_and_equals_its_cells_alone(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle and gone on with in two parts, or each by itself: the same bytes in the same places."""
    stated = ("--variant", "topk", "--variant", "thrifty", "--set", "thrifty.start=1,2,3")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    passes: list[int] = []
    real_run, real_step = corpus_pass.TrainingPass.run, corpus_pass.Stack.step
    monkeypatch.setattr(
        corpus_pass.TrainingPass,
        "run",
        lambda self, report: (passes.append(len(self.stacks)), real_run(self, report))[1],
    )
    assert trained(corpus, whole, *stated).exit_code == 0
    assert passes == [4]
    shapes = [PLAIN, SHAPE, f"{SHAPE}-s1", f"{SHAPE}-s3"]
    assert sorted(path.name for path in (whole / "own").iterdir() if not path.name.startswith(".")) == shapes
    assert sorted({sae.shape for sae in find_saes([whole])}) == shapes
    steps = iter(range(1000))

    def step(self: Any, x: torch.Tensor) -> None:
        if next(steps) == 30:
            raise KeyboardInterrupt
        real_step(self, x)

    with monkeypatch.context() as patched:
        patched.setattr(corpus_pass.Stack, "step", step)
        assert trained(corpus, parts, *stated).exit_code != 0
    assert trained(corpus, parts, "--variant", "thrifty", "--set", "thrifty.start=3").exit_code == 0
    assert [path.parent.parent.name for path in parts.rglob("cfg.json")] == [f"{SHAPE}-s3"] * 2
    assert trained(corpus, parts, *stated).exit_code == 0
    assert passes == [4, 4, 1, 3] and not list(parts.rglob("*.pt"))
    for shape in shapes:
        for seed in (0, 1):
            a, b = (
                load_file(out / "own" / shape / f"seed-{seed}" / "sae_weights.safetensors") for out in (whole, parts)
            )
            assert all(torch.equal(a[name], b[name]) for name in a)
    planned = json.loads(trained(corpus, tmp_path / "no", *stated, "--dry-run", "--json").stdout)
    assert planned["cells"] == 8
    assert [shape[3] for shape in planned["shapes"]] == ["topk", "thrifty-s1", "thrifty", "thrifty-s3"]


def test_what_variants_say_of_themselves_and_where_they_fire_is_kept(corpus: Path, tmp_path: Path) -> None:
    """Those that fire above thresholds as SAELens' own, known by what they are; figures in the log and the record."""
    sae_lens = pytest.importorskip("sae_lens")
    out = tmp_path / "saes"
    free = ("--set", "standard.price=0.001", "--set", "standard.rate=0")  # so short a training cannot find a price
    done = trained(corpus, out, "--variant", "batchtopk,standard,compression", *free)
    assert done.exit_code == 0, done.stderr
    kinds = {"batchtopk": "jumprelu", "standard-p0.001-r0": "standard", "compression": "topk"}
    for shape, architecture in kinds.items():
        name, folder = shape.partition("-")[0], out / "own" / f"{PLAIN}-{shape}" / "seed-0"
        config = json.loads((folder / "cfg.json").read_text())
        assert config["architecture"] == architecture
        sae, theirs = load_sae(folder), sae_lens.SAE.load_from_disk(str(folder))
        assert sae.architecture == f"{name}-k4"
        x = torch.randn(64, sae.d_in, generator=torch.Generator().manual_seed(0)) * 3
        assert torch.allclose(theirs(x), sae.reconstruct(x), atol=1e-5)
        rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
        assert config["metadata"]["faithful"]["training"] == rows[-1]
        told = Stack(
            StackConfig(sae.d_in, 64, 4, (0,), 1, 0.1, 1, variant=find_variant(name, {})), x.mean(0), 1.0, "cpu"
        )
        assert rows[-1].keys() >= told.report(0).keys()
    assert {sae.shape for sae in find_saes([out])} == {f"{PLAIN}-{name}" for name in kinds}


@pytest.mark.usefixtures("thrifty")
def test_a_variant_joins_a_grid_as_it_began(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "saes"
    assert trained(corpus, out).exit_code == 0
    wish = TrainConfig((corpus,), out, seeds=(0,), layer=1, d_sae=(64,), k=(4,), device="cpu", variant=("thrifty",))
    settings, _ = settle(wish, "cpu")
    assert (settings.tokens, settings.batch, settings.buffer, settings.lrs) == (2800, 64, 256, (0.003,))
    assert [shape.name for shape in settings.shapes] == ["f64-k4-thrifty"]


def test_the_shipped_variants_and_their_parameters(corpus: Path, tmp_path: Path) -> None:
    assert variant_names()[0] == "topk"
    for name in variant_names():
        assert find_variant(name, {}).name == name
    topk = find_variant("topk", {})
    assert topk == TopK() and topk.phase(0.3, 4, 0.5) == Phase(4, 0.5)
    scores = torch.randn(7, 40, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(topk.select(scores, 3), top_k(scores, 3), strict=True))
    settings, _ = settle(TrainConfig((corpus,), tmp_path / "saes", device="cpu", batch=64), "cpu")
    assert [shape.variant for shape in settings.shapes] == [TopK()]


def test_a_recorded_variant_is_the_one_of_this_version_or_none(added: Callable[[str, str], None]) -> None:
    plain = {"objective": None, "schedule": None}
    assert recorded_variant(plain) == TopK()
    (code,) = blocks("A new SAE variant", "python")
    named = plain | {"variant": "thrifty", "variant_version": 1, "parameters": {"start": 3, "until": 0.5, "price": 0.0}}
    assert recorded_variant(named) is None
    added("thrifty", code)
    found = recorded_variant(named)
    assert found is not None and found.phase(0.0, 4, 0.0).k == 12
    assert recorded_variant(named | {"variant_version": 2}) is None
    assert recorded_variant(named | {"parameters": {"beginning": 3}}) is None
    assert recorded_variant(named | {"variant": "os"}) is None

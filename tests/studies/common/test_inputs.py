"""What a study works with: models by the names of others, widths, contexts, corpora that are gone, controls."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.cli import app
from faithful.hooks.hook import Hook
from faithful.models import spec as spec_module
from faithful.models.spec import ModelSpec
from faithful.store.corpora_of_saes import remember_corpora
from faithful.store.corpus import read_manifest, write_manifest
from generation.configs.derive import DedupConfig, MixConfig, ShuffleConfig, SubsampleConfig
from generation.derived.dedup import dedup
from generation.derived.mix import mix
from generation.derived.shuffle import shuffle
from generation.derived.subsample import subsample
from generation.sampling.distribution import Sampling
from studies.common.config import StudyConfig
from studies.common.inputs import StudyInput, model_called, resolve_input
from studies.corpora.config import CorporaConfig
from studies.corpora.study import study_corpora
from tests.own import write_external, write_own
from tests.studies.random_saes import write_plain, write_recorded

Model = Callable[[str], tuple[ModelSpec, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> Path:
    """Two corpora, an SAE of each; never change it."""
    spec, model = family_model("gpt2")
    folder, sizes = tmp_path_factory.mktemp("made"), {"train": 400, "test": 400}
    sampling = Sampling(max_tokens=31)
    corpora = [
        write_own(folder / "corpora" / "own", spec, model, sampling, sizes),
        write_own(folder / "corpora" / "cool", spec, model, sampling.with_changes(temperature=0.7), sizes, seed=3),
    ]
    for corpus in corpora:
        write_recorded(folder / "saes", corpus.name, 0, model.config.hidden_size, 24)
    remember_corpora(folder / "saes", corpora)
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(made, tmp_path / "runs" / "tried")


def resolved(run: Path, *saes: Path, **values: Any) -> StudyInput:
    return resolve_input(StudyConfig(saes=saes or (run / "saes",), out=run / "out", device="cpu", **values))


@pytest.mark.parametrize(
    ("name", "loaded"),
    [
        ("gpt2-small", "gpt2"), ("gpt2-xl", "openai-community/gpt2-xl"), ("gemma-2-2b", "gemma-2-2b"),
        ("google/gemma-2-2b", "gemma-2-2b"), ("pythia-70m-deduped", "EleutherAI/pythia-70m-deduped"),
        ("someone/gpt2-mine", "someone/gpt2-mine"), ("", ""),
    ],
)  # fmt: skip
def test_models_are_found_by_the_names_that_saelens_uses(name: str, loaded: str) -> None:
    assert model_called(name) == loaded


def test_an_sae_of_another_width_is_refused_in_a_sentence(run: Path) -> None:
    odd = write_plain(run / "odd", 7, 16)
    with pytest.raises(FaithfulError, match=r"odd reads activations of 7 dimensions and .* has \d+; name SAEs of"):
        resolved(run, run / "saes", odd)


def test_the_context_is_that_of_the_saes_where_no_training_of_ours_says(run: Path) -> None:
    corpora = (run / "corpora" / "own",)
    plain = write_plain(run / "plain", json.loads((next((run / "saes").rglob("cfg.json"))).read_text())["d_in"], 16,
                        context_size=24)  # fmt: skip
    assert resolved(run, plain, corpora=corpora).context == 24
    assert resolved(run, plain, corpora=corpora, context=16).context == 16
    assert resolved(run).context == 32


def test_the_context_is_read_as_stated_or_refused(run: Path) -> None:
    folder = run / "corpora" / "own"
    sentence = r"A context of 129 tokens does not fit tiny-gpt2: use 2 to 128\."
    plain = write_plain(run / "plain", 64, 16, context_size=129)
    for saes, stated in (((), {"context": 129}), ((plain,), {})):
        with pytest.raises(FaithfulError, match=sentence):
            resolved(run, *saes, corpora=(folder,), **stated)
    edited(folder, positions=0)
    assert resolved(run, corpora=(folder,), context=1024).context == 1024, "a model of any length"
    with pytest.raises(FaithfulError, match="use 2 to any number"):
        resolved(run, corpora=(folder,), context=1)


def test_corpora_that_are_gone_are_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolved(run).missing_corpora == ()
    shutil.rmtree(run / "corpora" / "cool")
    found = resolved(run)
    assert list(found.corpora) == ["own"] and found.missing_corpora == ("cool",)
    assert resolved(run, corpora=(run / "corpora" / "own",)).missing_corpora == ()
    monkeypatch.chdir(run)
    typed = ["study", "reconstruction", "saes", "--out", "there", "--tokens", "200", "--device", "cpu", "--set", "ks=1"]
    done = CliRunner().invoke(app, typed)
    assert done.exit_code == 0, done.output
    assert "Not in the panel: held-out text of cool" in done.stderr
    assert json.loads((run / "there" / "summary.json").read_text())["missing_corpora"] == ["cool"]


def test_controls_are_what_was_made_of_the_own_corpus_alone(run: Path) -> None:
    own, cool = run / "corpora" / "own", run / "corpora" / "cool"
    like = subsample(SubsampleConfig(own, like=cool, out=own.parent / "own-like-cool")).folder
    mixed = shuffle(ShuffleConfig(own, out=own.parent / "own-shuffled")).folder
    other = subsample(SubsampleConfig(cool, like=own, out=own.parent / "cool-like-own")).folder
    found = resolved(run, corpora=(own, cool, like, mixed, other))
    assert found.controls == {"own-like-cool": "cool", "own-shuffled": "own"}
    assert found.heading("fakes", 3)["controls"] == found.controls and found.heading("fakes", 3)["seed"] == 3


def test_text_of_the_own_corpus_is_never_foreign_however_it_came_there(run: Path) -> None:
    own, cool = run / "corpora" / "own", run / "corpora" / "cool"
    twin = shutil.copytree(cool, run / "other" / "own")
    once = dedup(DedupConfig(own)).folder
    two = mix(MixConfig((twin, own), out=own.parent / "both")).folder
    made = [
        once,
        shuffle(ShuffleConfig(once)).folder,
        two,
        subsample(SubsampleConfig(two, tokens=200)).folder,
    ]
    like = subsample(SubsampleConfig(cool, like=own)).folder
    found = resolved(run, corpora=(own, cool, like, *made))
    assert read_manifest(two).identity["derivation"]["inputs"][1]["name"] == "own#2"
    assert found.foreign == ("cool", like.name) and found.matched == ("own",)


@pytest.mark.parametrize("setting", ["tokens=1000", "device=cpu", "dtype=float32", "seed=1"])
def test_an_option_given_as_a_setting_is_refused_in_a_sentence(tmp_path: Path, setting: str) -> None:
    done = CliRunner().invoke(app, ["study", "fakes", str(tmp_path), "--out", str(tmp_path / "x"), "--set", setting])
    name, value = setting.split("=")
    assert done.exit_code == 2 and f"write --{name} {value} without --set" in " ".join(done.output.split())


def test_a_setting_that_is_not_known_is_answered_with_those_that_set_takes(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["study", "seeds", str(tmp_path), "--out", str(tmp_path / "x"), "--set", "foo=1"])
    said = "choose among context, layout, panel_seed, gaussian_seeds, gaussian_steps, examples."
    assert done.exit_code == 2 and said in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"device": "mps"}, "'mps' is not a device"),
        ({"device": "cuda"}, "no GPU here"),
        ({"seed": -1}, "--seed must not be negative"),
    ],
)
def test_devices_and_seeds_are_checked_before_anything_is_read(
    stated: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(FaithfulError, match=said):
        resolve_input(StudyConfig(saes=("nowhere",), out=tmp_path / "out", **stated))
    with pytest.raises(FaithfulError, match=said):
        study_corpora(CorporaConfig(folders=(Path("nowhere"),), out=tmp_path / "out", **stated))


def edited(folder: Path, **model: Any) -> Path:
    """Let a corpus say something else of its model."""
    manifest = read_manifest(folder)
    manifest.identity["model"] |= model  # type: ignore[typeddict-item]
    write_manifest(folder, manifest)
    return folder


def record(sae: Path, spec: ModelSpec) -> None:
    """Let an SAE's record name the model that it was trained on."""
    config = json.loads((sae / "cfg.json").read_text())
    config["metadata"]["faithful"]["identity"] |= {"model": spec.name, "revision": spec.revision}
    (sae / "cfg.json").write_text(json.dumps(config))


def test_saes_trained_on_another_model_are_refused_whatever_their_width(run: Path, family_model: Model) -> None:
    ours, other = family_model("gpt2")[0], family_model("gpt_neox")[0]
    saes = sorted(path.parent for path in (run / "saes").rglob("cfg.json"))
    for sae in saes:
        record(sae, ours)
    assert resolved(run).spec.revision == ours.revision
    record(saes[1], replace(other, name=ours.name))
    is_other, reads = (rf"tiny-gpt2 \({spec.revision[:19]}\)" for spec in (other, ours))
    sentence = f"seed-0 is of {is_other} and {reads} would read the text; name SAEs of"
    for model in (None, ours.source):
        with pytest.raises(FaithfulError, match=sentence):
            resolved(run, model=model)


def test_text_of_another_model_is_not_own_and_its_model_does_not_read(run: Path, family_model: Model) -> None:
    spec, own = family_model("gpt2")[0], run / "corpora" / "own"
    big = edited(shutil.copytree(own, run / "corpora" / "big"), revision="a" * 40)
    write_recorded(run / "saes", "big", 0, 64, 24)
    for sae in (run / "saes").rglob("cfg.json"):
        record(sae.parent, spec)
    for model in (None, spec.source):
        found = resolved(run, corpora=(big, own), model=model)
        assert (found.spec.revision, found.own, found.foreign) == (spec.revision, "own", ("big",))
    called = shutil.copytree(big, run / "other" / "own")
    assert resolved(run, corpora=(called,), model=spec.source).own is None
    assert resolved(run, corpora=(big,), model=spec.source).own == "own", "which is not in the panel"


def test_saes_from_elsewhere_are_refused_where_both_names_are_known(run: Path, family_model: Model) -> None:
    known = {"pythia-160m": "pythia-160m", "gpt2-medium": "gpt2-medium", "google/gemma-2-2b": "gemma-2-2b"}
    unsure = dict.fromkeys(("gpt2-small", "openai-community/gpt2", "someone/gpt2-mine", ""), "64 dimensions")
    sentences = {model: f"is of {name} and gpt2 .* would read" for model, name in known.items()} | unsure
    spec = replace(family_model("gpt2")[0], name="gpt2")
    web = write_external(run / "corpora" / "web", spec, {split: [np.arange(9, 40)] for split in ("train", "test")})
    for model, sentence in sentences.items():
        plain = write_plain(run / "plain", 64, 16, model_name=model)
        with pytest.raises(FaithfulError, match=sentence):
            resolved(run, plain, corpora=(web,))
    with pytest.raises(FaithfulError, match="64 dimensions"):
        resolved(run, write_plain(run / "plain", 64, 16, model_name="gpt2-medium"), corpora=(web,), model="gpt2")


def test_the_model_begins_as_the_corpora_do(run: Path, family_model: Model) -> None:
    spec, model = family_model("gpt2")
    assert spec.bos_id != 7
    begun = write_own(
        run / "b" / "own", replace(spec, bos_id=7), model, Sampling(max_tokens=31), {"train": 90, "test": 90}
    )
    copy = shutil.copytree(spec.source, run / "copy")
    for named in (None, spec.source, str(copy)):
        found = resolved(run, corpora=(begun,), model=named).spec
        assert (found.bos_id, found.revision) == (7, spec.revision)
    assert resolved(run, model=spec.source).spec.bos_id == spec.bos_id
    with pytest.raises(FaithfulError, match="begin with different tokens"):
        resolved(run, corpora=(begun, run / "corpora" / "cool"))


def test_two_corpora_of_one_name_and_a_type_that_is_none_are_refused(run: Path) -> None:
    twin = shutil.copytree(run / "corpora" / "own", run / "twin" / "own")
    with pytest.raises(FaithfulError, match="Two corpora are named own; a corpus' name is its folder's name"):
        resolved(run, corpora=(run / "corpora" / "own", twin))
    assert list(resolved(run, corpora=(run, run / "corpora" / "own")).corpora) == ["cool", "own"], "one named twice"
    with pytest.raises(FaithfulError, match="'float31' is not a dtype"):
        resolved(run, dtype="float31")


@pytest.mark.parametrize("name", ["panel", "random tokens"])
def test_a_corpus_is_not_called_as_tables_call_another_text(name: str, run: Path) -> None:
    other = shutil.copytree(run / "corpora" / "cool", run / "corpora" / name)
    with pytest.raises(FaithfulError, match=f"Studies call something else '{name}'; give the folder .*{name} another"):
        resolved(run, corpora=(run / "corpora" / "own", other))


def write_identity(folder: Path, d_in: int, hook: str, **metadata: Any) -> Path:
    """A standard SAE that gives back exactly what is left of an activation without its mean."""
    ones = torch.full((d_in, 1), d_in**-0.5)
    basis = torch.linalg.qr(
        torch.cat([ones, torch.randn(d_in, d_in - 1, generator=torch.Generator().manual_seed(0))], 1)
    )
    rows = torch.cat([basis[0][:, 1:].T, -basis[0][:, 1:].T]).contiguous()
    folder.mkdir(parents=True)
    tensors = {"W_enc": rows.T.contiguous(), "b_enc": torch.zeros(len(rows)), "W_dec": rows, "b_dec": torch.zeros(d_in)}
    save_file(tensors, folder / "sae_weights.safetensors")
    config = {"architecture": "standard", "metadata": {"model_name": "tiny-gpt2", "hook_name": hook} | metadata}
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("is_centred", [True, False])
def test_an_sae_of_centred_weights_reads_activations_without_their_mean(run: Path, is_centred: bool) -> None:
    d_in = json.loads(next((run / "saes").rglob("cfg.json")).read_text())["d_in"]
    kwargs = {"center_writing_weights": is_centred}
    sae = write_identity(run / "sae", d_in, "blocks.1.hook_resid_pre", model_from_pretrained_kwargs=kwargs)
    found = resolved(run, sae, corpora=(run / "corpora" / "own",))
    assert found.hook == Hook(1, "resid_pre", centred=is_centred)
    h = found.truncated(torch.arange(5, 25)[None])[0]
    error = found.saes[0].load().reconstruct(h) - h
    assert bool(error.abs().max() < 1e-4) == is_centred


def test_saes_that_read_different_things_are_refused(run: Path) -> None:
    d_in = json.loads(next((run / "saes").rglob("cfg.json")).read_text())["d_in"]
    corpora = (run / "corpora" / "own",)
    for number, (metadata, name) in enumerate([
        ({"model_from_pretrained_kwargs": {"center_writing_weights": True}}, "resid_pre.1-centred"),
        ({"prepend_bos": False}, "resid_pre.1-nobos"),
    ]):  # fmt: skip
        other = write_plain(run / f"other{number}", d_in, 16, **metadata)
        with pytest.raises(FaithfulError, match=rf"read different things \(resid_pre\.1, {name}\)"):
            resolved(run, run / "saes", other, corpora=corpora)
        assert resolved(run, other, corpora=corpora).hook.name == name
    odd = write_plain(run / "odd", d_in, 16, hook_name="blocks.1.hook_resid_mid")
    with pytest.raises(FaithfulError, match=r"odd reads 'blocks\.1\.hook_resid_mid'; studies read resid_pre"):
        resolved(run, odd, corpora=corpora)


def test_a_modules_output_and_what_is_added_are_one_place_where_they_are(run: Path) -> None:
    d_in = json.loads(next((run / "saes").rglob("cfg.json")).read_text())["d_in"]
    ours = write_plain(run / "a", d_in, 16, hook_name="blocks.1.hook_mlp_out")
    theirs = write_plain(run / "b", d_in, 16, hook_name="transformer.h.1.mlp")
    inner = write_plain(run / "c", d_in, 16, hook_name="transformer.h.1.ln_2")
    corpora = (run / "corpora" / "own",)
    assert resolved(run, theirs, corpora=corpora).hook == Hook(1, "module", "mlp")
    assert resolved(run, ours, theirs, corpora=corpora).hook == Hook(1, "mlp_out")
    with pytest.raises(FaithfulError, match=r"read different things \(mlp_out\.1, layers\.1\.ln_2\)"):
        resolved(run, ours, inner, corpora=corpora)


def test_the_hook_of_an_sae_trained_with_sae_lens_on_a_hugging_face_model_is_read(run: Path) -> None:
    d_in = json.loads(next((run / "saes").rglob("cfg.json")).read_text())["d_in"]
    named = {"hook_name": "transformer.h.0", "model_class_name": "AutoModelForCausalLM"}
    plain = write_plain(run / "plain", d_in, 16, **named)
    assert resolved(run, plain, corpora=(run / "corpora" / "own",)).hook == Hook(0, "resid_post")
    assert resolved(run, run / "saes", plain).hook == Hook(1, "resid_pre")


def test_text_and_saes_of_the_model_quantised_otherwise_are_said_to_be_another_models(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FaithfulError, match="--shard-model spreads a model over several GPUs"):
        resolved(run, shard_model=True)
    assert resolved(run).own == "own" and "loads" not in resolved(run).heading("fakes", 0)
    folder = run / "corpora" / "own"
    manifest = read_manifest(folder)
    manifest.identity["model"]["load"] = manifest.provenance["model"]["load"] = "4bit"
    write_manifest(folder, manifest)
    found = resolved(run)
    assert found.spec.load is None and found.own is None, "the SAEs are of the model as it is"
    width = json.loads(next((run / "saes").rglob("cfg.json")).read_text())["d_in"]
    elsewhere = resolved(run, write_plain(run / "plain", width, 16), corpora=(folder,))
    assert elsewhere.spec.load is None and elsewhere.loads == found.loads, "SAEs of others are, too"
    (said,) = found.heading("fakes", 0)["loads"]
    assert said.startswith("own was sampled from") and "quantised to 4bit, and" in said and "as it is reads it" in said
    monkeypatch.setattr(spec_module, "require_quantising", lambda _: None)
    other = resolved(run, load="4bit")
    assert (other.spec.load, other.own) == ("4bit", "own")
    name = other.spec.name
    assert other.loads[-1] == (
        f"SAEs were trained on {name} as it is, and {name} quantised to 4bit reads the text: to them another model."
    )
    assert other.heading("fakes", 0)["model"]["dtype"] == "float32, 4bit"

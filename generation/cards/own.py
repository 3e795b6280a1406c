"""The card of a corpus that was sampled: what decided the samples, its certificate, the command that makes it again."""

import json
from typing import Any

from faithful.hub.licences import licence_paragraph
from faithful.hub.templates import render_template
from faithful.models.gguf import ENDING
from faithful.models.presets import find_preset
from faithful.models.real import PREFIX
from faithful.options.line import command_line, folded
from faithful.store.corpus import Corpus, Manifest
from faithful.store.manifest_parts import Certificate, Statistics
from faithful.training.config import TrainConfig
from generation.cards.made_by import made_by
from generation.cards.parts import (
    Address,
    config_entry,
    figures_beside,
    sample_texts,
    statistics_rows,
    texts_metadata,
)
from generation.configs.export import ExportConfig
from generation.sampling.distribution import Sampling
from generation.writing.identity import sampling_of


def own_metadata(corpus: Corpus) -> dict[str, Any]:
    """The card's YAML: only what is known."""
    manifest = corpus.manifest
    language = manifest.provenance["model"].get("language")
    return texts_metadata(_title(manifest), [manifest], [config_entry(manifest)], ["original"], language)


def render_own(corpus: Corpus, at: Address) -> str:
    """The generated part of the card, Markdown."""
    manifest = corpus.manifest
    identity, sampling = manifest.identity, sampling_of(manifest)
    model = identity["model"]
    provenance = manifest.provenance["model"]
    certificate, statistics = manifest.certificate, manifest.statistics or {}
    model_import, model_id = _in_python(provenance["source"])
    figures = figures_beside(certificate)
    return render_template(
        "corpus.md.jinja",
        title=_title(manifest),
        tokens=f"{manifest.tokens():,} training and {manifest.tokens('test'):,} held-out",
        model=model,
        identity=identity,
        sampling=sampling,
        verdict_sentence=f"Certificate: **{certificate['verdict']}**." if certificate else "",
        at=at,
        train_command=command_line(TrainConfig, corpora=(at.typed,), seeds=TrainConfig.seeds),
        export_command=command_line(ExportConfig, folder=at.typed, context=sampling.max_tokens + 1, out="input_ids"),
        sae=_sae_settings(model["name"]),
        has_kl="first_token_kl" in figures,
        round_trip_remark=_round_trip_remark(statistics),
        model_import=model_import,
        model_id=model_id,
        training_tokens=manifest.tokens(),
        context=sampling.max_tokens + 1,
        token_type="uint16" if model["vocab_size"] <= 2**16 else "uint32",
        sampling_rows=sampling_rows(manifest, sampling),
        not_applied=", ".join(f"`{k}: {v}`" for k, v in manifest.provenance["generation_config_not_applied"].items()),
        command=folded(made_by(manifest)),
        promise=_promise(manifest),
        certificate=certificate
        and {
            "verdict": certificate["verdict"],
            "reason": certificate["reason"],
            "tokens": f"{certificate['tokens_scored']:,}",
            "of": f"{certificate['split_tokens']:,}",
            "part": certificate["part"],
        },
        certificate_rows=certificate_rows(certificate) if certificate else [],
        test_rows=test_rows(certificate) if certificate else [],
        has_picture="pit_counts" in (certificate or {}),
        no_certificate="The sampling has no randomness, so there is nothing to certify."
        if sampling.deterministic
        else "Not certified yet: run `faithful corpus certify`.",
        statistics_rows=statistics_rows(statistics | figures),
        samples=sample_texts(corpus, 3),
        length_remark=_length_remark(statistics, sampling),
        remarks=_remarks(statistics),
        licence=licence_paragraph(provenance),
    )


def _in_python(source: str) -> tuple[str, str]:
    """What loads a model with transformers, as an expression, and the import line that it needs."""
    if source == "tiny":
        return "from faithful.models.presets import tiny_path\n", "str(tiny_path())"
    if source.startswith(PREFIX) or source.lower().endswith(ENDING):
        return "import faithful\n", f"faithful.resolve_model({json.dumps(source)}).weights"
    preset = find_preset(source)
    return "", json.dumps(preset.source if preset else source)


def _sae_settings(model: str) -> dict[str, str]:
    """Settings for other trainers, in Python: the preset's, else the rule for models without one, as an expression.

    `resid_pre` of a layer is what the block before it gives, which is where they take it.
    """
    preset = find_preset(model)
    if preset:
        block = f"{preset.layer - 1}"
        return {"d_sae": f"{preset.d_sae}", "k": f"{preset.k}", "lr": f"{preset.lr:g}", "block": block, "place": block}
    d_sae, block = "8 * shape.hidden_size", "round(shape.num_hidden_layers * 2 / 3) - 1"
    return {
        "d_sae": d_sae,
        "k": "32",
        "lr": f"2e-4 / ({d_sae} / 2**14) ** 0.5",
        "block": block,
        "place": f"{{{block}}}",
    }


def sampling_rows(manifest: Manifest, sampling: Sampling) -> list[tuple[str, str]]:
    """Everything that decides the samples, as a table."""
    identity = manifest.identity
    model, engine = identity["model"], identity["engine"]
    versions = ", ".join(f"{name} {version}" for name, version in engine["versions"].items())
    cards = f"{engine['tensor_parallel']} × " if "tensor_parallel" in engine else ""
    return [
        ("model", f"{model['name']} at `{model['revision']}`"),
        ("dtype", model["dtype"]),
        *(
            [("weights", f"quantised to {model['load']} by bitsandbytes (`--load {model['load']}`)")]
            if model.get("load")
            else []
        ),
        ("start token (BOS)", f"id {model['bos_id']}, from {manifest.provenance['model']['bos_from']}"),
        ("end-of-text ids", ", ".join(map(str, model["eos_ids"])) or "none"),
        *declared_rows(sampling),
        ("mode", f"{sampling.mode}, at most {sampling.max_tokens} tokens"),
        ("ids without a string", "masked" if sampling.mask_unmapped else "part of the distribution"),
        ("run seed", str(identity["seed"])),
        ("engine", f"{engine['name']} on {cards}{engine['device']} ({versions})"),
    ]


def declared_rows(sampling: Sampling) -> list[tuple[str, str]]:
    """What makes q of the model."""
    return [
        ("temperature", f"{sampling.temperature:g}"),
        ("top-p / top-k / min-p", f"{sampling.top_p:g} / {sampling.top_k or 'off'} / {sampling.min_p:g}"),
        ("repetition penalty", f"{sampling.repetition_penalty:g}"),
    ]


def certificate_rows(certificate: Certificate) -> list[tuple[str, str]]:
    """Headline figures of a certificate."""
    low, high = certificate["ci95"]
    return [
        ("surprise gap", f"{certificate['surprise_gap']:+.4f} nats/token ({low:+.4f} to {high:+.4f})"),
        ("smallest corrected p", f"{certificate['p_holm']:.3g}"),
        ("tokens outside the support", f"{certificate['impossible_share']:.3g}"),
        ("tokens on its boundary", f"{certificate['boundary_share']:.3g}"),
        ("cross-entropy, entropy", f"{certificate['ce']:.4f}, {certificate['entropy']:.4f} nats/token"),
    ]


def test_rows(certificate: Certificate) -> list[tuple[str, str, str, str]]:
    """One row per test: name, statistic, p, corrected p."""
    rows = []
    for name, test in certificate["tests"].items():
        if test["p"] is None:
            rows.append((name, f"left out: {test['left_out']}", "", ""))
            continue
        statistic = next(
            text
            for key, text in (
                ("chi2", f"χ² = {test.get('chi2', 0):.1f} on {test.get('df', 0)}"),
                ("z", f"z = {test.get('z', 0):+.2f}"),
                ("log_e_value", f"log e-value = {test.get('log_e_value', 0):.2f}"),
                ("count", f"{test.get('count', 0)} outside"),
            )
            if key in test
        )
        rows.append((name, statistic, f"{test['p']:.3g}", f"{test['p_holm']:.3g}"))
    return rows


test_rows.__test__ = False  # type: ignore[attr-defined]


def _promise(manifest: Manifest) -> str:
    engine = manifest.identity["engine"]
    if len(manifest.segments) > 1:
        return "The engine changed while the corpus grew, so equal bytes are not promised: equal seeds, equal distribution."
    if engine["promise"] == "bytes":
        return (
            "The same command gives the same bytes with these package versions and this instruction set"
            f" ({engine.get('instructions', engine['device'])}), whatever the number of workers and restarts."
        )
    return (
        "The same command gives the same seeds and the same distribution; equal bytes are not promised by this engine."
    )


def _round_trip_remark(statistics: Statistics) -> str:
    kept = statistics.get("round_trip_rate")
    return "" if kept is None else f"; {1 - kept:.1%} of the samples would change if their text were tokenised again"


def _length_remark(statistics: Statistics, sampling: Sampling) -> str:
    if sampling.mode == "streams":
        return f"Every sample is a stream of {sampling.max_tokens} tokens that runs over end-of-text."
    cut = 1 - statistics.get("eos_rate", 0.0)
    return f"{cut:.1%} of the samples were cut at {sampling.max_tokens} tokens and are beginnings of documents."


def _remarks(statistics: Statistics) -> list[str]:
    remarks = []
    if statistics.get("unmapped_rate"):
        remarks.append(f"{statistics['unmapped_rate']:.3%} of the tokens are ids that the tokenizer has no string for.")
    if (statistics.get("repetition_rate") or 0) > 0.01:
        remarks.append(f"{statistics['repetition_rate']:.1%} of the samples end in a loop.")
    return remarks


def _title(manifest: Manifest) -> str:
    return f"Faithful corpus of {manifest.identity['model']['name'].split('/')[-1]} ({manifest.name})"

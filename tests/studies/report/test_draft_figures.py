"""The first author's draft figures beside ours."""

from studies.report.draft_figures import draft_runs, drafts_like, reference_tables


def test_draft_figures_stand_beside_ours_where_model_and_setting_agree() -> None:
    assert len(draft_runs()) == 29
    shape = "resid_pre.8-f12288-k16"
    assert [run.corpus for run in drafts_like("openai-community/gpt2", shape)] == [
        "faithful-gpt2-small", "fineweb", "pile-uncopyrighted",
    ]  # fmt: skip
    corpora = {"mine": {"fake_contrast": {"value": 0.004}, "fake_density_1": 0.2, "fake_density_1_of_bound": 0.3}}
    summary = {"model": {"name": "gpt2"}, "own": "mine", "shape": shape, "corpora": corpora}
    table = reference_tables("fakes", summary, {})[0]
    title, header, rows = table.title, table.header, table.rows
    assert title.endswith("(draft: lr 0.0003, context 128, 24,413 steps, seeds 42 and 49; ours: not recorded)")
    assert header == ("corpus in the draft", "draft count", "draft share", "our fake_contrast", "our fake_density_1")
    assert rows[0] == ("faithful-gpt2-small", "36, 38", "0.301%", "0.400%", "20.000%")
    assert rows[1] == ("fineweb", "34, 33", "0.273%", "–", "–")
    score = {name: [{"size": 9, "value": 0.1}, {"size": 99, "value": 0.75}] for name in ("accuracy", "macro_f1")}
    probes = summary | {
        "by_task": {"sst2": {"mine": {"f": score, "h_hat": score}}},
        "tasks": {"sst2": {"baseline": {"accuracy": 0.8, "macro_f1": 0.7}}},
    }
    assert reference_tables("probes", probes, {})[0].rows[:2] == [
        ("faithful-gpt2-small", "sst2", "accuracy", "76.0%", "63.8%", "58.2%", "80.0%", "75.0%", "75.0%"),
        ("faithful-gpt2-small", "sst2", "macro-F1", "74.4%", "63.2%", "50.5%", "70.0%", "75.0%", "75.0%"),
    ]
    assert reference_tables("fakes", summary | {"shape": "resid_pre.8-f12288-k32"}, {}) == []
    assert reference_tables("fakes", summary | {"model": {"name": "pythia-1.4b"}}, {}) == []
    assert reference_tables("seeds", summary, {}) == []


def test_where_our_settings_differ_from_the_draft_s_is_said() -> None:
    shape = "resid_pre.8-f12288-k16"
    corpora = {"mine": {"fake_contrast": {"value": 0.004}}}
    summary = {"model": {"name": "gpt2"}, "own": "mine", "shape": shape, "corpora": corpora}
    same = {"lr": 0.0003 * (1 + 1e-12), "context": 128, "tokens": 100_000_000, "steps": 24_413}
    ours = [same | {"init_seed": seed} for seed in (42, 49, 0)]
    title = reference_tables("fakes", summary, {shape: ours})[0].title
    assert title.endswith("ours: lr 0.0003, context 128, 100,000,000 tokens in 24,413 steps, seeds 42, 49 and 0)")
    other = [one | {"lr": 0.001, "steps": 999} for one in ours]
    title = reference_tables("fakes", summary, {shape: other})[0].title
    assert "ours: lr 0.001, context 128" in title and title.endswith("; differs in lr and steps)")

"""`faithful study probes`: how much do the features of an SAE tell about the text, beside the activations they are made of?

One probe each reads the activations h (the baseline), the codes f and the reconstructions ĥ, pooled over the tokens of a
text. Every text is read by the model once for all SAEs; what is finished for an SAE and a task is kept by their hashes.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from faithful.base.digest import digest
from faithful.base.files import folder_lock
from faithful.base.progress import Progress, Reporter, counted, remark, remarks_of, silent
from faithful.executor.jobs import Crew
from faithful.executor.parts import end_part, own
from faithful.models.presets import tiny_path
from faithful.store.corpus import Corpus
from faithful.store.saes import TrainedSae, ordered_shapes, seed_numbers
from generation.writing.grams import GRAM
from studies.common.cache import ResultCache
from studies.common.controls import PERMUTED, UNTRAINED, ControlSae, beside, control_saes, frozen_shapes
from studies.common.inputs import StudyInput, resolve_input
from studies.common.panel import load_panel
from studies.common.results import Done, Row, write_results
from studies.common.workers import study_crew
from studies.probes import figures as probe_figures
from studies.probes.bench import Bench
from studies.probes.config import HEADLINE, OURS, WITH_BOS, ProbesConfig, held_out_examples, refuse, train_examples
from studies.probes.features import Pooled, pool_features, text_rows, with_bos
from studies.probes.fit import CS
from studies.probes.overlap import overlaps
from studies.probes.score import BOS, DRAWS, FULL, SPARSE, plan_probes
from studies.probes.scores import (
    SCORES,
    START,
    ProbeScores,
    entry_of,
    mean_of,
    name_of,
    stable_weight,
    stable_weights,
    task_found,
    write_weights,
)
from studies.probes.silence import SILENCE, SILENCES
from studies.probes.summary import Entry, ProbesSizes, ProbesStatistics, ProbesSummary, WordsFound
from studies.probes.tasks.embedded import EmbeddedText
from studies.probes.tasks.examples import Draw, TaskData
from studies.probes.tasks.levels import FINE, by_level
from studies.probes.tasks.packaged import tasks_of
from studies.probes.tasks.read import load_task
from studies.probes.tasks.task import embedded_names, hub_names
from studies.probes.words import FORMAT as WORDS_FORMAT
from studies.probes.words import as_read, words_floor
from studies.statistics.estimates import Figures, estimate
from studies.statistics.parts import Parts
from studies.statistics.records import Beside
from studies.statistics.stable import read_stable
from studies.statistics.verdicts import NORMAL, summarise

FORMAT = 3
CEILING = 0.95
PER_EXAMPLE = 0.2
"""Standard deviation over test examples of the difference between two corpora in the share of SAEs whose probe is right."""
BASELINE = "no SAE"
AT_CEILING = f"on every task the activations alone reach more than {CEILING:.0%}, so that none can tell"


def study_probes(config: ProbesConfig, report: Reporter = silent) -> Done:
    """Probe every SAE on every task.

    Memory: the texts of one source at a time, 4 bytes × texts × Σ (d_sae + 2 d_in) over the SAEs at most, less where codes
    are sparse.

    Raises:
        FaithfulError: settings that make no probe; what `resolve_input`, `tasks_of`, `load_task` and `load_panel` refuse.
    """
    refuse(config)
    found = resolve_input(config)
    study = _Probes(config, found, report)
    with folder_lock(config.out):
        summary = study.run()
        write_results(config.out, summary, study.rows())
        write_weights(config.out, study.cells, study.plans, study.saes)
        probe_figures.draw(summary, config.out / "figures")
    return Done(config.out, summary, summary["reused"])


def probes_leave_open(found: StudyInput, tests: Sequence[int]) -> str | None:
    """What to say before probes with so many test examples of each task; None where the margin can be resolved."""
    if not tests:
        return None
    reach = NORMAL * PER_EXAMPLE * math.sqrt(sum(1 / count for count in tests)) / len(tests)
    wanted = math.ceil((NORMAL * PER_EXAMPLE / HEADLINE.margin) ** 2 / len(tests) / 10) * 10
    return found.leaves_open(HEADLINE, reach, f"--set test_size={wanted}")


class _Probes:
    """The study.

    Attributes:
        panel: held-out text of the corpora; None without any.
        every: the SAEs, and behind them the untrained starts that are probed too.
        stable: which latents of SAEs are stable, by their places, where `study seeds` of the same run has said so.
        data: the tasks by name.
        plans: how each is probed.
        cells: entries of `probe_cell` by (task, place of the SAE, None for the activations alone; of the untrained start of
            an SAE its place in `every`).
    """

    def __init__(self, config: ProbesConfig, found: StudyInput, report: Reporter) -> None:
        self.config, self.found, self.report = config, found, report
        self.saes = found.saes
        self.panel = load_panel(found, config.tokens) if found.corpora else None
        self.embedded = EmbeddedText(lambda: found.tokenizer, found.spec, found.context)
        self.data = self._load()
        self.plans = {
            name: plan_probes(data, config.folds, config.curve_points, config.ks, config.seed, tuple(config.methods))
            for name, data in self.data.items()
        }
        self.cells: dict[tuple[str, int | None], list[Entry]] = {}
        self.every = [*self.saes, *self._starts()]
        self.accuracies: dict[str, Mapping[str, Figures]] = {}
        known = read_stable(config.out.parent / "seeds")
        self.stable = {place: known[sae.sha256] for place, sae in enumerate(self.saes) if sae.sha256 in known}
        self._cache = ResultCache(config.out / "cells", FORMAT)
        self._overlapping = ResultCache(config.out / "overlap", FORMAT)

    def run(self) -> ProbesSummary:
        """Probe what is not finished, and summarise."""
        if warning := probes_leave_open(self.found, [len(data.test.y) for data in self.data.values()]):
            self.report(remark(warning))
        bench = Bench(self.found, self.every, self.panel, self.data, self.plans, self.config.pooling)
        with study_crew(Bench.do, bench, self.found, self.config.workers) as crew:
            for names in self._same_texts():
                self._probe(names, bench, crew)
        end_part(len(self.cells), self._cache.reused, self._left)
        self.words = self._words()
        self.overlap = self._overlaps()
        self.marked = [name for name in self.data if self._baseline(name)["accuracy"] > CEILING]
        self.unmarked = [name for name in self.data if name not in self.marked]
        first, *_ = shapes = ordered_shapes(self.saes)
        found = {name: self._shape(saes, name == first) for name, saes in shapes.items()}
        return {
            **self.found.heading("probes", self.config.seed),
            "shape": first,
            "sizes": {**self._sizes()},
            **found[first],
            "shapes": {**found},
            "tasks": {
                name: task_found(
                    data, self.plans[name], self.cells, self.words[name], self.overlap[name], name in self.marked
                )
                for name, data in self.data.items()
            },
            "beside": self._beside(first) if self.unmarked else [],
            "unmarked": self.unmarked,
            "reused": self._cache.reused,
        }

    def rows(self) -> list[Row]:
        """Every score as rows of results.parquet: `accuracy:TASK:INPUT` over training sizes, `k_sparse_…` over k."""
        rows = []
        for (name, place), entries in self.cells.items():
            sae = None if place is None else self.every[place]
            corpus, seed, shape = (sae.corpus, sae.seed, sae.shape) if sae else (BASELINE, None, None)
            for entry in entries:
                for metric in SCORES:
                    if metric not in entry:
                        continue
                    kind = {FULL: "", SPARSE: "k_sparse_"}.get(entry["probe"], f"{name_of(entry['probe'])}_")
                    label = f"{kind}{metric}:{name}:{entry['input']}"
                    ends = {"accuracy": entry.get("accuracy_ci95"), "macro_f1": entry.get("macro_f1_ci95")}
                    low, high = ends[metric] or (None, None)
                    at = float(entry["size"] if entry["k"] is None else entry["k"])
                    rows.append(Row("probes", corpus, label, entry[metric], at, low, high, seed=seed, shape=shape))
                for figure in SILENCES if entry["probe"] == SILENCE else ():
                    label = f"coarse_{figure}:{name.removesuffix(FINE)}"
                    rows.append(Row("probes", corpus, label, entry[figure], seed=seed, shape=shape))
            if place in self.stable:
                value = stable_weight(entries, self.plans[name].sizes[-1], self.stable[place])
                rows.append(Row("probes", corpus, f"stable_weight:{name}", value, seed=seed, shape=shape))
        for name, data in self.data.items():
            rows.append(Row("probes", BASELINE, f"majority:{name}", data.majority))
            words, (low, high) = self.words[name], self.words[name]["accuracy_ci95"]
            rows.append(Row("probes", BASELINE, f"words:{name}", words["accuracy"], low=low, high=high))
            for corpus, sides in self.overlap.get(name, {}).items():
                for side, one in sides.items():
                    rows.append(Row("probes", corpus, f"overlap_texts:{name}:{side}", one["texts"]))
                    rows.append(Row("probes", corpus, f"overlap_13grams:{name}:{side}", one["grams"]))
        return rows

    def _beside(self, shape: str) -> list[Beside]:
        """The SAEs of a shape beside untrained starts, seed by seed, and frozen SAEs; a permuted decoder has their codes."""
        trained = self.accuracies[shape]
        starts: dict[str, dict[Any, float | None]] = {}
        for place, sae in enumerate(self.every[len(self.saes) :], len(self.saes)):
            found = [
                entry_of(self.cells[name, place], START, FULL, size=self.plans[name].sizes[-1])
                for name in self.unmarked
            ]
            starts.setdefault(sae.corpus, {})[sae.seed] = mean_of([one["accuracy"] for one in found])
        frozen = {name: self.accuracies[one] for name, one in frozen_shapes(self.saes, shape).items()}
        return beside(HEADLINE.metric, trained, {PERMUTED: trained, UNTRAINED: starts, **frozen})

    def _load(self) -> dict[str, TaskData]:
        config, device = self.config, self.found.device
        sizes = (train_examples(device, 0), held_out_examples(device, 0))
        draw = Draw(config.train_size or sizes[0], config.test_size or sizes[1], config.seed, config.folds)
        is_tiny = Path(self.found.spec.source) == tiny_path()
        wishes = config.tasks or tuple(embedded_names() if is_tiny else hub_names())
        tasks = tasks_of(wishes, config.text_column, config.label_column)
        data: dict[str, TaskData] = {}
        for done, task in enumerate(tasks):
            of_levels = by_level(load_task(task, draw, self.embedded, config.out / "tasks"))
            data |= {one.task.name: one for one in of_levels}
            self.report(Progress("tasks", done + 1, len(tasks), "tasks"))
        return data

    def _words(self) -> dict[str, WordsFound]:
        """By task: what words alone tell."""
        context = self.found.spec.tokenizer_sha256, self.found.context
        cache, found = ResultCache(self.config.out / "words", WORDS_FORMAT, *context), {}
        for done, (name, data) in enumerate(self.data.items()):
            floor = partial(self._words_of, data)
            found[name] = cache.once(floor, data.sha256, self.config.folds, self.config.seed, label=name)
            self.report(Progress("words", done + 1, len(self.data), "tasks"))
        return found

    def _words_of(self, data: TaskData) -> WordsFound:
        return words_floor(as_read(data, self.embedded.encoder), self.plans[data.task.name])

    def _same_texts(self) -> list[list[str]]:
        """Tasks by name, those of the same texts together: they are read together."""
        groups: dict[str, list[str]] = {}
        for name, data in self.data.items():
            groups.setdefault(digest(data.texts), []).append(name)
        return list(groups.values())

    def _probe(self, names: Sequence[str], bench: Bench, crew: Crew) -> None:
        """Take finished cells of some tasks as they are, and make the others from one forward pass."""
        places = own([None, *range(len(self.every))])
        missing = []
        for name in names:
            for place in places:
                kept = self._cache.get(*self._key(name, place), label=name)
                if kept is None:
                    missing.append((name, place))
                else:
                    self.cells[name, place] = kept["entries"]
        if not missing:
            return
        wanted = sorted({place for _, place in missing if place is not None})
        title = "+".join(names)
        if crew.inherits:
            self.found.truncated  # noqa: B018 (loaded here once)
            bench.load(wanted)
        rows = text_rows(self.data[names[0]].texts, self.embedded.encoder, self.found.spec.bos_id)
        pooled = pool_features(
            rows,
            self.saes[0].d_in,
            [self.every[place].d_sae for place in wanted],
            lambda batches: crew.each([(wanted, batch) for batch in batches], remarks_of(self.report)),
            counted(self.report, f"features {title}", "contexts"),
        )
        jobs = [(name, self._inputs(pooled, place, wanted, rows, bench)) for name, place in missing]
        for done, (at, entries) in enumerate(crew.each(jobs, remarks_of(self.report))):
            self._cache.put({"entries": entries}, *self._key(*missing[at]), label=missing[at][0])
            self.cells[missing[at]] = entries
            self.report(Progress(f"probes {title}", done + 1, len(missing), "fits"))
        for one in product(names, places):  # in the order of an undisturbed study, whichever was done first
            self.cells[one] = self.cells.pop(one)

    def _left(self) -> int:
        places = [None, *range(len(self.every))]
        return sum(not self._cache.has(*self._key(*one), label=one[0]) for one in product(self.data, places))

    def _inputs(
        self, pooled: Pooled, place: int | None, wanted: Sequence[int], rows: Sequence[np.ndarray], bench: Bench
    ) -> dict[str, Any]:
        """What probes of an SAE, or of the activations alone, read."""
        if place is not None and place >= len(self.saes):
            return {START: pooled.codes[wanted.index(place)]}
        inputs: dict[str, Any] = {"h": pooled.h} if place is None else pooled.of(wanted.index(place))
        if WITH_BOS in self.config.methods:
            name = "h" if place is None else "f"
            counts = np.array([int(bench.ordinary[row].sum()) for row in rows])
            inputs[name + BOS] = with_bos(inputs[name], bench.of_bos(place), counts)
        return inputs

    def _key(self, name: str, place: int | None) -> list[Any]:
        """All that decides a cell; BOS stands in it where the tokenizer names another one."""
        config, spec = self.config, self.found.spec
        begins = [] if spec.bos_id == self.found.tokenizer.bos_token_id else [{"bos": spec.bos_id}]
        return [
            None if place is None else self.every[place].sha256, self.data[name].sha256, spec.revision,
            spec.precision, self.found.hook.name, self.found.context, config.pooling, config.folds, config.curve_points,
            sorted(config.ks), config.seed, *([sorted(config.methods)] if config.methods != (OURS,) else []),
            *([self.panel.sha256] if self.panel and place is not None and place >= len(self.saes) else []), *begins,
        ]  # fmt: skip

    def _baseline(self, name: str) -> Entry:
        return entry_of(self.cells[name, None], "h", FULL, size=self.plans[name].sizes[-1])

    def _shape(self, saes: Sequence[TrainedSae], is_headline: bool) -> ProbesStatistics:
        """Statistics of the SAEs of one shape."""
        numbers = zip(saes, seed_numbers(saes), strict=True)
        seeds = {self.saes.index(sae): (sae.corpus, number) for sae, number in numbers}
        names = [name for name in self.found.names if any(sae.corpus == name for sae in saes)]
        scores = ProbeScores(self.data, self.plans, self.cells, self.unmarked, seeds, names, self.config.seed)
        figures = scores.figures()
        tasks = {name: figures[f"accuracy:{name}"] for name in self.unmarked}
        self.accuracies[saes[0].shape] = figures[HEADLINE.metric]
        carried = stable_weights(
            self.cells, {name: self.plans[name].sizes[-1] for name in self.unmarked}, self.stable, seeds
        )
        positions = self.panel.positions(self.found.names, self.found.context) if self.panel else {}
        statistics = summarise(
            HEADLINE, figures, self.found.own, Parts(tasks), positions, is_headline=is_headline,
            controls=self.found.controls, undefined=None if self.unmarked else AT_CEILING,
        )  # fmt: skip
        for name, corpus in statistics["corpora"].items():
            corpus |= {metric: estimate(of).summary() for metric, of in carried.get(name, {}).items()}
            for metric in SCORES:
                corpus[f"{metric}_h"] = mean_of([self._baseline(name)[metric] for name in self.unmarked])
            corpus["majority"] = mean_of([self.data[name].majority for name in self.unmarked])
            corpus["words"] = mean_of([self.words[name]["accuracy"] for name in self.unmarked])
        return {**statistics, "by_task": {name: scores.by_task(name) for name in self.data}}

    def _overlaps(self) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
        """By task, corpus and side: examples that stand in the corpus' training text."""
        found: dict[str, dict[str, dict[str, dict[str, int]]]] = {name: {} for name in self.data}
        for done, (corpus, folder) in enumerate(self.found.corpora.items()):
            opened = Corpus(folder)
            shards = [shard.sha256 for shard in opened.manifest.shards["train"]]
            identity = [digest(opened.manifest.identity), shards, self.found.context]
            identity += [data.sha256 for data in self.data.values()]
            values = self._overlapping.once(partial(self._overlap, opened), *identity, label=corpus)["entries"]
            for place, name in enumerate(self.data):
                found[name][corpus] = {"train": values[2 * place], "test": values[2 * place + 1]}
            self.report(Progress("overlap", done + 1, len(self.found.corpora), "corpora"))
        return found

    def _overlap(self, corpus: Corpus) -> dict[str, list[dict[str, int]]]:
        sides = []
        for data in self.data.values():
            for side in (data.train, data.test):
                rows = text_rows(side.texts, self.embedded.encoder, self.found.spec.bos_id)
                sides.append((side.origins, [row[1:] for row in rows]))
        return {"entries": [vars(one) for one in overlaps(corpus, sides)]}

    def _starts(self) -> list[ControlSae]:
        """The untrained starts that are probed too: of the first seeds of each corpus' SAEs of the first shape."""
        first = next(iter(ordered_shapes(self.saes).values())) if self.panel else []
        controls = control_saes(first, self.config.controls, self.config.seed)
        return [one for one in controls if one.control == UNTRAINED]

    def _sizes(self) -> ProbesSizes:
        config = self.config
        return {
            "saes": len(self.saes),
            "train": {name: len(data.train.y) for name, data in self.data.items()},
            "test": {name: len(data.test.y) for name, data in self.data.items()},
            "curve": {name: list(plan.sizes) for name, plan in self.plans.items()},
            "ks": sorted(config.ks),
            "folds": config.folds,
            "cs": list(CS),
            "pooling": config.pooling,
            "context": self.found.context,
            "bootstrap_draws": DRAWS,
            "overlap_run_tokens": GRAM,
        }

"""What `faithful study probes` is told, and its record."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from faithful.base.errors import FaithfulError
from faithful.options.marks import SETTING, CountOrNone, Names, names
from studies.common.config import PanelConfig
from studies.common.forecast import StudyCost, Work, by_device, panel_tokens
from studies.common.study import Study
from studies.statistics.headlines import Headline, Wording

POOLINGS = ("mean", "last", "max")
OURS, SAEBENCH, WITH_BOS = "ours", "saebench", "saebench-bos"
METHODS = (OURS, SAEBENCH, WITH_BOS)
"""How sparse probes are made: ours; SAEBench's; SAEBench's on features whose mean BOS is part of."""
TASKS, CLASSES = 4, 2
"""Where they are not known before the work. SAEBench's probes are of each class."""
PROBE_SECONDS, PROBE_ENTRY_SECONDS = 0.03, 1e-7
"""Of a probe with its cross-validation, and per entry of its features, on the CPU on any device: 0.03 s for 256 × 512, 1.1 s
for 1,000 × 12,288 (`benchmarks/bench_probes.py`)."""


@dataclass(frozen=True)
class ProbesConfig(PanelConfig):
    """What to probe. `tokens` is the held-out text that the corpora's positions are compared on."""

    COMMAND: ClassVar = "study probes"

    tasks: Annotated[Names, names("--task")] = ()
    """Names, sae-probes:NAME (a pattern too), or PLACE:TEXT:LABEL, a folder, file or data set and its columns; default: the
    four on the Hub, for the embedded model those made of the embedded text."""
    text_column: Annotated[str | None, SETTING] = None
    """Column of the text, of places that state none; by default text."""
    label_column: Annotated[str | None, SETTING] = None
    """Column of the label, of places that state none; by default label."""
    pooling: Annotated[str, SETTING] = "mean"
    """mean, last or max, over the tokens of a text that are no special ones."""
    train_size: Annotated[CountOrNone | None, SETTING] = None
    """Training examples of a task, at most; by default 256 on a CPU and 2,000 on a GPU."""
    test_size: Annotated[CountOrNone | None, SETTING] = None
    """Test examples of a task, at most; by default 400 on a CPU and 2,000 on a GPU."""
    curve_points: Annotated[CountOrNone, SETTING] = 3
    """Training-set sizes, each a quarter of the next; the last is all."""
    ks: Annotated[tuple[int, ...], SETTING] = (1, 2, 5, 10, 20, 50)
    """Features of the k-sparse probes."""
    folds: Annotated[CountOrNone, SETTING] = 4
    """Of the cross-validation of C."""
    controls: Annotated[CountOrNone, SETTING] = 3
    """Seeds of each corpus whose SAE is probed as it was before its first step too."""
    methods: Annotated[Names, SETTING] = ("ours",)
    """How k-sparse probes are made: ours, beside it saebench (balanced classes, C = 1) and saebench-bos (the same with BOS
    among the tokens of the mean)."""


train_examples = by_device(256, 2_000)
held_out_examples = by_device(400, 2_000)
"""Training and test examples of a task, at most."""


def _cost(config: ProbesConfig, work: Work) -> StudyCost:
    """Every text is read once for all SAEs, the panel once for the untrained starts; probes are fitted on codes and
    reconstructions at every size of the curve, on few codes with all examples by each method, on the codes of starts."""
    from studies.probes.tasks.packaged import find_tasks

    tasks = sum(len(find_tasks(wish)) for wish in config.tasks) or TASKS
    examples = config.train_size or train_examples(work.device, work.context)
    texts = examples + (config.test_size or held_out_examples(work.device, work.context))
    read = tasks * texts * work.context
    sizes = sum(examples / 4**point for point in range(config.curve_points))
    entries = sum(sizes * (d_sae + work.d_model) for d_sae, _ in work.shapes)
    sparse = len(config.ks) * (1 + CLASSES * (len(config.methods) - 1))
    fits = len(work.shapes) * (2 * config.curve_points + sparse)
    starts, width = work.trained * min(config.controls, work.seeds), max(d_sae for d_sae, _ in work.shapes)
    seconds = work.trained * work.seeds * tasks * (PROBE_ENTRY_SECONDS * entries + PROBE_SECONDS * fits)
    seconds += starts * tasks * (PROBE_ENTRY_SECONDS * sizes * width + PROBE_SECONDS * config.curve_points)
    panel = (config.tokens or panel_tokens(work.device, work.context)) if starts else 0
    encode = work.encode + starts * 2.0 * work.d_model * width
    return StudyCost(read + panel, read * (work.forward + encode) + panel * work.forward, seconds)


def refuse(config: ProbesConfig) -> None:
    """Refuse settings that make no probe, and tasks that are not there, before anything is read.

    Raises:
        FaithfulError: see `tasks_of` too.
    """
    from studies.probes.tasks.packaged import tasks_of

    if config.pooling not in POOLINGS:
        raise FaithfulError(f"'{config.pooling}' is no pooling; choose {', '.join(POOLINGS)}.")
    unknown = [name for name in config.methods if name not in METHODS]
    if unknown or OURS not in config.methods:
        raise FaithfulError(
            f"methods is {OURS}, and beside it {', '.join(METHODS[1:])}, not {','.join(config.methods)}."
        )
    if config.methods != (OURS,) and config.pooling != "mean":
        raise FaithfulError("SAEBench pools by the mean; leave pooling out, or methods.")
    for name, value, least in (
        ("train_size", config.train_size, 4),
        ("test_size", config.test_size, 2),
        ("curve_points", config.curve_points, 1),
        ("controls", config.controls, 0),
        ("folds", config.folds, 2),
        *(("ks", k, 1) for k in config.ks),
    ):
        if value is not None and value < least:
            raise FaithfulError(f"{name} is at least {least}; {value} makes no probe.")
    tasks_of(config.tasks, config.text_column, config.label_column)


HEADLINE = Headline(
    metric="accuracy",
    margin=0.01,
    wording=Wording(
        claim="probes on the codes of {a}-corpus SAEs are {amount} {more} accurate than on those of {b}-corpus SAEs",
        subject="the accuracy of probes on the codes",
        more=("more", "less"),
        listing="in accuracy, probes on the codes of {a}-corpus SAEs reach {parts} than those of {b}-corpus SAEs",
        drawn="test examples",
    ),
)
STUDY = Study(
    name="probes",
    question="How much do the features tell about the text?",
    meaning="A logistic regression reads a label off the SAE's codes (f), beside the same on the activations (h) and on the"
    " reconstruction (ĥ). The headline is the accuracy on the codes.",
    config=ProbesConfig,
    after=("seeds",),
    cost=_cost,
    shares_out="probes",
    headline=HEADLINE,
    check=refuse,
    sizes={"tokens": panel_tokens, "train_size": train_examples, "test_size": held_out_examples},
    captions={
        "forest": "Accuracy of the probes on each task",
        "learning_curves": "Accuracy over the number of training examples",
        "k_sparse": "Accuracy of probes on few latents",
    },
    details=("Accuracy on each task", "accuracy: the same one by one"),
    of_seeds_alone="Intervals of macro_f1 and stable_weight are over the seeds alone.",
    notes=lambda summary: [
        "accuracy_h, macro_f1_h, words and majority are single values that no seed changes: one probe on the activations, one"
        " on the words of the texts, one count of classes per task; intervals over the test examples are in the table of the"
        " tasks. Features that tell no more than words alone tell nothing about the model."
    ],
)

"""What `faithful study probes` is told."""

from dataclasses import dataclass

from studies.common.config import StudyConfig


@dataclass(frozen=True)
class ProbesConfig(StudyConfig):
    """What to probe. `tokens` is the held-out text that the corpora's positions are compared on.

    Attributes:
        tasks: names, or `PLACE:TEXT:LABEL`, a folder, file or data set and its columns; by default the four on the Hub, for
            the embedded model those made of the embedded text.
        text_column, label_column: of places that state none; by default `text` and `label`.
        pooling: `mean`, `last` or `max`, over the tokens of a text that are no special ones.
        train_size, test_size: examples of a task, at most; by default 256 and 400 on a CPU and 2,000 each on a GPU.
        curve_points: training-set sizes, each a quarter of the next; the last is all.
        ks: features of the k-sparse probes.
        folds: of the cross-validation of C.
    """

    tasks: tuple[str, ...] = ()
    text_column: str | None = None
    label_column: str | None = None
    pooling: str = "mean"
    train_size: int | None = None
    test_size: int | None = None
    curve_points: int = 3
    ks: tuple[int, ...] = (1, 2, 5, 10, 20, 50)
    folds: int = 4

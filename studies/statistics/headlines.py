"""What a study's verdict is about: its figure, its margin, its words, and the text that the figure is measured on."""

from dataclasses import dataclass

MATCHED, FOREIGN = "matched", "foreign"


@dataclass(frozen=True)
class Wording:
    """How a study's headline is put into words.

    Attributes:
        claim: `{a}`, `{b}` are the corpora, `{more}` one of `more`, `{amount}` the difference without its sign.
        subject: what is compared, as a noun.
        more: words for a positive and a negative difference.
        listing: the claim part by part; `{parts}` are amounts such as `0.263 more on own`. By default the claim with them
            where it says how much.
        scale: 100 where figures are shares and the sentence speaks of points, else 1.
        unit: after an interval: ` points` or nothing.
        decimals: digits after the point, at least.
        drawn: what the figures are measured on, as a noun.
        replicate: what the figures are replicated over, as a noun in the singular.
    """

    claim: str
    subject: str
    more: tuple[str, str]
    listing: str = ""
    scale: float = 100.0
    unit: str = " points"
    decimals: int = 1
    drawn: str = "contexts of text"
    replicate: str = "seed"

    @property
    def by_parts(self) -> str:
        """The listing."""
        return self.listing or self.claim.replace("{amount} {more}", "{parts}")


@dataclass(frozen=True)
class Headline:
    """What a study's verdict is about.

    Attributes:
        metric: a name of docs/metrics.md.
        margin: differences up to here are not relevant, in the metric's unit.
        wording: how it is put into words.
        of_text: whether the figure is one of the text that it is measured on: then there are two headlines, on matched text
            (that of the own corpus, which the own SAEs were trained on) and on foreign text (that of the others), and none
            on a mixture of both, whose outcome would be a matter of the mixture.
        least: replicates that a verdict needs.
    """

    metric: str
    margin: float
    wording: Wording
    of_text: bool = False
    least: int = 6

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the headline figures."""
        return tuple(f"{self.metric}_{text}" for text in (MATCHED, FOREIGN)) if self.of_text else (self.metric,)


def explored(metric: str) -> Headline:
    """What `judge` and `summarise` want of a study without a headline: `metric` is the figure whose absence is explained."""
    return Headline(metric, 0.0, Wording("", metric, ("more", "less")))

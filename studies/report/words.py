"""What the report says of intervals whatever came out; what a study's own figures mean stands in its record."""

NAMES = "Names of figures in brackets, as (pw_mcc), are those of results.parquet; docs/metrics.md defines each."
DEGREES = (
    "Intervals are Student's t with df degrees of freedom: seeds − 1 for figures of seeds; for figures of pairs of seeds,"
    " which share seeds, Satterthwaite's, between half the number n of seeds and n − 1, and n − 1 where the seeds seem to add"
    " nothing to the noise of the pairs. With 3 to 5 seeds there are intervals and no verdicts. Where seeds add nothing,"
    " intervals of pairs are too wide rather than too narrow."
)
OF_TRUTHS = (
    "Intervals are Student's t; its degrees of freedom are one less than there are truths, of which a verdict needs"
    " {least}."
)
TEXTS = (
    "Matched text is held-out text of the own corpus, which its SAEs were trained on; foreign text is that of the other"
    " corpora, each alike. Both SAEs of a contrast read the same text. A mixture of both is no headline: its outcome would be"
    " a matter of the mixture. A verdict depends on the text where the difference is significant, with opposite signs, on two"
    " parts of the panel."
)
DRAWN = (
    "Two things were drawn: seeds, and the examples or contexts that the SAEs are measured on (the same for all). Both have a"
    " standard error of their own (± seeds, ± drawn), and intervals and p hold both."
)

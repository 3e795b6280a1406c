"""What the report says of a study whatever came out: what its figures mean, what its intervals hold."""

MEANING = {
    "corpora": "Excess cross-entropy is how much worse the model predicts a corpus than its own text at the same positions;"
    " the certificate asks whether the text could have been sampled from the model.",
    "seeds": "The decoder rows of two SAEs that differ in their init seed are matched one to one; the shared feature ratio is"
    " the share of pairs with a cosine above 0.7. Floors are what chance alone gives.",
    "fakes": "A fake feature fires on random tokens and not on text: on more than 1 % of the former and on less than a tenth"
    " of that of the latter. The headlines are their share of all latents, the latter text being matched or foreign.",
    "probes": "A logistic regression reads a label off the SAE's codes (f), beside the same on the activations (h) and on the"
    " reconstruction (ĥ). The headline is the accuracy on the codes.",
    "reconstruction": "The reconstruction takes the activation's place inside the model; ce_recovered is the share of the"
    " cross-entropy, between zeroed and clean activations, that it brings back. The headlines are ce_recovered on matched"
    " and on foreign text.",
}
CAPTIONS = {
    "faithfulness": "Distance of each corpus from the model, with 95 % intervals",
    "tests": "Which test tells which corpus from the model's own text",
    "diversity": "Diversity at equal numbers of tokens",
    "lengths": "Lengths of the documents",
    "sweep": "Diversity and faithfulness over sampling settings",
    "sfr_curves": "Shared features against the threshold, with intervals and floors",
    "matched_cosines": "How alike matched features are",
    "across_corpora": "Features shared within and across corpora",
    "contrast": "Density of each latent on random tokens and on text",
    "sweeps": "Fake features over the rules' thresholds",
    "forest": "Accuracy of the probes on each task",
    "learning_curves": "Accuracy over the number of training examples",
    "k_sparse": "Accuracy of probes on few latents",
    "matrices": "SAEs of each corpus on the text of each corpus",
    "reduced_k": "Quality with fewer active latents",
}
DEGREES = (
    "Intervals are Student's t with df degrees of freedom: seeds − 1 for figures of seeds; for figures of pairs of seeds,"
    " which share seeds, Satterthwaite's, between half the number n of seeds and n − 1, and n − 1 where the seeds seem to add"
    " nothing to the noise of the pairs. With 3 to 5 seeds there are intervals and no verdicts. Where seeds add nothing,"
    " intervals of pairs are too wide rather than too narrow."
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
OF_PROBES = (
    "accuracy_h, macro_f1_h and majority are single values that no seed changes: one probe on the activations, one count of"
    " classes per task; intervals over the test examples are in the table of the tasks."
)
OF_SEEDS_ALONE = {
    "fakes": "Intervals of the controls, of the thresholds' sweeps and of shares of the bound are over the seeds alone.",
    "probes": "Intervals of macro_f1 are over the seeds alone.",
    "reconstruction": "Intervals of fvu, mse, cosine, l2_ratio and l0 are over the seeds alone.",
}
"""Figures of a study whose intervals leave out what else was drawn."""

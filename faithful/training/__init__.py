"""From a corpus to trained SAEs: settings, the pass over the corpus, checkpoints, evaluation, the card of a grid."""

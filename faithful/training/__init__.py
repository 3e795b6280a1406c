"""From a corpus to trained SAEs: the stream of activations, the pass over it, checkpoints, evaluation, cards."""

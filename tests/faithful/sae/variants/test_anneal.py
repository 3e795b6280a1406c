"""k falls to what was asked for."""

from faithful.sae.variants.anneal import Anneal


def test_k_begins_at_four_times_and_ends_at_once() -> None:
    ks = [Anneal().phase(done, 8, 0.03).k for done in (0.0, 0.4, 0.8, 0.99)]
    assert ks == [32, 20, 8, 8]
    assert Anneal(start=1.0).phase(0.0, 8, 0.03).k == 8

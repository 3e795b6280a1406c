"""Figures that hold a corpus against the model's own text, against direct computation."""

import numpy as np

from generation.certificate.reference import first_documents


def test_first_documents_stop_at_the_budget_and_leave_out_empty_ones():
    documents = [np.zeros(n, np.int64) for n in (3, 0, 4, 5)]
    assert [len(d) for d in first_documents(documents, 6)] == [3, 4]
    assert [len(d) for d in first_documents(documents, 99)] == [3, 4, 5]

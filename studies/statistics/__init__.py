"""Estimates over seeds, their intervals, contrasts and verdicts."""

"""Schedules over the fraction of a training that is done."""

import math


def cosine(fraction: float, until: float) -> float:
    """From 1 at the start to 0 at `until` along half a cosine, then 0."""
    return (1 + math.cos(math.pi * min(1.0, fraction / until))) / 2 if until > 0 else 0.0


def ramp(fraction: float, until: float) -> float:
    """From 0 at the start to 1 at `until` in a line, then 1."""
    return min(1.0, fraction / until) if until > 0 else 1.0

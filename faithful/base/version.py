"""The version of this package, as records and cards state it."""

__version__ = "0.1.0"

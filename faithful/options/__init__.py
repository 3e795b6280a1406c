"""Options written once: a frozen dataclass per command, with a docstring below each field, is that command's line."""

"""Probe tasks: labelled texts by name, from the Hub, files, packages and the embedded text, drawn repeatably."""

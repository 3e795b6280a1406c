"""Commands run without root's right to write everywhere, so that a read-only folder is one for root as well."""

import os
import shutil
import subprocess

import pytest

PREFIX = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def unprivileged(arguments: list[str]) -> list[str]:
    """The command to run instead; skips the test where root cannot give up the right."""
    if os.geteuid() != 0:
        return arguments
    if shutil.which(PREFIX[0]) is None or subprocess.run([*PREFIX, "true"], capture_output=True).returncode != 0:
        pytest.skip("root cannot give up its right to write everywhere here")
    return [*PREFIX, *arguments]

"""Gets a Ctrl-C while it loads (see test_terminal)."""

import os
import signal

os.kill(os.getpid(), signal.SIGINT)

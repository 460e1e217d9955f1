# SPDX-License-Identifier: MIT
"""python3 -m reports COMMAND [option=value ...], from the root of the repository."""

import gc
import sys

from reports.cli import main

# What a command reads lives until it ends: looking through all of it for cycles again and again
# costs a fifth of the time and finds next to none.
gc.set_threshold(100_000, 50, 50)
sys.exit(main(sys.argv[1:]))

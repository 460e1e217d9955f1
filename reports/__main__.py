# SPDX-License-Identifier: MIT
"""python3 -m reports COMMAND [option=value ...], from the root of the repository."""

import sys

from reports.cli import main

sys.exit(main(sys.argv[1:]))

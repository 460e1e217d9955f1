# SPDX-License-Identifier: MIT
"""Reports: the store in; verdicts, tables and plots out."""

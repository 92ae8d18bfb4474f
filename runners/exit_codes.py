"""Exit codes of the scripts and of `python -m retraining`. Standard library only."""

FAILED = 1
MISTAKE = 2  # In a flag or a configuration; argparse's own.
BUSY = 75  # Another run uses the folder: sysexits.h, EX_TEMPFAIL.
STOPPED = 130  # A shell's exit code for Ctrl-C: 128 + SIGINT.

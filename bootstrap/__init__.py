"""The set-up that commands of the Makefile begin with: uv in .tools/, Python 3.10 and packages in .venv/.

Any Python from OLDEST on runs it, with the standard library alone.
"""

import sys

OLDEST = (3, 9)

if sys.version_info < OLDEST:  # said here, for an older one may not be able to read the other files
    sys.exit(
        f"The set-up needs Python {OLDEST[0]}.{OLDEST[1]} or later, and {sys.executable} is older: name"
        " another, as in `make setup PYTHON=/path/to/python3`"
    )

"""The logger of what a person reads while a pipeline runs. Standard library only: workers import it too."""

import logging

progress = logging.getLogger("marquee.progress")

"""The logger of progress lines, shown while a pipeline runs. Standard library only: workers import it too."""

import logging

progress = logging.getLogger("marquee.progress")

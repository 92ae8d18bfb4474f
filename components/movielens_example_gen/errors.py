"""The one error that bad data raises, on the compiler's side and in workers alike."""


class DataError(Exception):
    """Data that cannot be used: the message names the file (and line), what is wrong and the remedy.

    It is meant to be shown to a person as it stands, without a traceback.
    """

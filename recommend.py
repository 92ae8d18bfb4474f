"""Recommend titles from what the pipeline pushed.

    python recommend.py --user 42 [--k 10] [--exclude TITLE] [--json]
    python recommend.py --because "Toy Story (1995)" --because "Heat (1995)" [--age 30]
    python recommend.py --users FILE --json

Stands alone: NumPy, TensorFlow, pyarrow and rich, ScaNN where the bundle has a ScaNN index, and nothing of
the project, as a server would.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import gc
import hashlib
import io
import json
import os
import pathlib
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

DEFAULT_MODEL_DIR = "runs/pushed"
MANIFEST, MODEL, CATALOGUE = "manifest.json", "recommend", "vectors/candidates.parquet"
LEFT_BY_DESKTOPS = (".DS_Store", "Thumbs.db", "desktop.ini")  # Desktops write them into folders they show.
# A title of --because enters the history as a rating of so many stars, so many seconds before the next one.
LIKED_RATING, SECONDS_APART = 4.0, 60
# Headers of a column of users, in small letters.
_HEADERS = ("user", "users", "userid", "userids", "id")
# Users in one request.
BATCH = 64

_OTHER_PYTHON = "Run it with the Python of the project's environment."
_WITHOUT_SCANN = (
    "Run it where ScaNN is installed, or run the pipeline here, which then makes an index without ScaNN."
)

# The signature's outputs for one user, by name: arrays, or a value for what each user has one of.
Answer = dict[str, Any]


class BundleError(Exception):
    """The bundle cannot be loaded, or cannot answer; the message says what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Print recommendations; return the process's exit code: 0, or 2 for a mistake or an unusable bundle."""
    if sys.stdout is None:
        print("recommend.py: the standard output must be open; it is closed", file=sys.stderr)
        return 2
    options = parse(arguments)
    try:
        bundle = find_bundle(pathlib.Path(options.model_dir))
        needs_scann = check_bundle(bundle)
        if titles := options.because + options.exclude:
            check_titles(titles, bundle)
        gc.disable()  # What is loaded stays, and looking for garbage in it takes a tenth of the time.
        try:
            serve = load(bundle, needs_scann)
        finally:
            gc.enable()
        answers = recommend_all(serve, options)
    except BundleError as error:
        print(f"recommend.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        reason = f"{error.filename} cannot be read: {error.strerror}"
        print(f"recommend.py: {reason}. Mend that, or name another --model-dir.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("recommend.py: stopped", file=sys.stderr)
        return 130
    try:
        for user, answer in zip(options.users, answers, strict=True):
            (show_json if options.json else show)(user, answer, options, int(bundle.name))
        if not options.json:
            show_quality(bundle)
        sys.stdout.flush()
    except OSError as error:
        if error.errno != errno.EPIPE:  # A reader that stops early, such as `head`, is no error.
            print(f"recommend.py: the output cannot be written: {error.strerror}", file=sys.stderr)
            return 2
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the flags; a wrong one ends the process with one line and exit code 2."""
    parser = _OneLineParser(description="Recommend titles from what the pipeline pushed.")
    parser.epilog = "Exit code 2: a mistake in the flags, or nothing that can be loaded; one line says which."
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--user", type=_id, help="user id, as in the ratings; for an unknown id the other flags are used"
    )
    who.add_argument("--users", metavar="FILE", type=_users, help="several users: a file with one id a line")
    several: dict[str, Any] = {"action": "append", "default": [], "metavar": "TITLE"}
    parser.add_argument(
        "--because", help="title watched and liked, the latest first; can be repeated", **several
    )
    parser.add_argument("--exclude", help="title not to recommend; can be repeated", **several)
    parser.add_argument("--gender", type=_text, help="the user's, as in the data, such as F")
    parser.add_argument("--age", type=_whole(1, 150), help="the user's, in years")
    parser.add_argument("--occupation", type=_text, help="the user's, as in the data, such as artist")
    parser.add_argument("--k", type=_whole(1, 2**31 - 1), default=10, help="how many titles (default: 10)")
    parser.add_argument("--json", action="store_true", help="print a line for each user, a JSON object")
    parser.add_argument(
        "--model-dir", default=DEFAULT_MODEL_DIR, help="where the pipeline pushed to (default: %(default)s)"
    )
    parser.add_argument(
        "--timestamp",
        type=_whole(0, 2**63 - 1),
        default=int(time.time()),
        help="time of the request, Unix seconds (default: now)",
    )
    options = parser.parse_args(arguments)
    description = [name for name in ("because", "gender", "age", "occupation") if getattr(options, name)]
    if options.users and description:
        parser.error(f"--{description[0]} describes one user, --users names several; leave one of them out")
    if not (options.users or options.user or description):
        parser.error("a user is required: give --user, --users, or titles that the user liked with --because")
    options.users = options.users or [options.user or ""]  # Nobody has an empty id.
    return options


class _OneLineParser(argparse.ArgumentParser):
    """argparse prints the whole usage above an error; one line is easier to read."""

    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if least <= value <= most:
            return value
        raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}, received {text!r}")

    return read


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(f"must be UTF-8, received {text!r}") from error
    return text.strip()  # As training does.


def _id(text: str) -> str:
    return _without_decimals(_text(text))


def _without_decimals(text: str) -> str:
    # As training reads ids: pandas adds decimals to every cell of a column with an empty one.
    number, _, decimals = text.partition(".")
    is_whole = number.removeprefix("-").isdigit() and decimals and not decimals.strip("0")
    return number if is_whole else text


def _users(path: str) -> list[str]:
    """Read ids, one a line, as training does, and skip empty lines."""
    try:
        lines = pathlib.Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be read: {error.strerror}") from error
    users: list[str] = []
    for number, line in enumerate(lines, 1):
        user, problem = line.decode("utf-8", "surrogateescape").strip(), ""
        if any("\udc80" <= letter <= "\udcff" for letter in user):
            problem = "which is not UTF-8"
        elif "," in user:
            problem = "which holds a comma: write one id a line, or name this user with --user"
        elif not users and user.casefold().replace("_", "").replace(" ", "") in _HEADERS:
            problem = "a header: remove it, or name this user with --user"
        if problem:
            raise argparse.ArgumentTypeError(
                f"{path}:{number}: a line must hold one user id, received {user!r}, {problem}"
            )
        users += [_without_decimals(user)] if user else []
    if not users:
        raise argparse.ArgumentTypeError(f"{path} must hold a user id a line; it is empty")
    return users


def find_bundle(model_dir: pathlib.Path) -> pathlib.Path:
    """Follow the link `current` once, so that a push at the same time cannot mix two versions.

    Raises:
      BundleError: no bundle was pushed there.
    """
    current = model_dir / "current"
    if not current.is_symlink() and current.exists():
        raise BundleError(
            f"{current} must be a link to a version, and is none: a copy followed the link. "
            f"`python -m serving versions {model_dir}` says how to restore it."
        )
    if not current.is_symlink():
        raise BundleError(
            f"nothing has been pushed to {model_dir}. Run the pipeline first, or name another --model-dir."
        )
    bundle = pathlib.Path(os.path.realpath(current))  # Unlike resolve, it does not raise on a link to itself.
    if not bundle.is_dir():
        raise BundleError(f"{current} points at {bundle}, which does not exist. Run the pipeline again.")
    return bundle


def check_bundle(bundle: pathlib.Path) -> bool:
    """Compare the composite's files and the catalogue with the manifest; all other files must be listed.

    Returns:
      Whether the composite has operations of ScaNN.
    Raises:
      BundleError: the manifest is unreadable, or a file is missing, added or changed.
    """
    try:
        manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
        files, needs_scann = manifest["files"], bool(manifest["models"][MODEL]["scann"])
        composite = {path: entry["sha256"] for path, entry in files.items() if path.startswith(f"{MODEL}/")}
        digests = {**composite, CATALOGUE: files[CATALOGUE]["sha256"]}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{bundle} has no readable {MANIFEST}. Run the pipeline again.") from error
    below = [path for path in bundle.rglob("*") if path.is_symlink() or not path.is_dir()]
    found = {path.relative_to(bundle).as_posix() for path in below}
    for path in sorted(found - set(files) - {MANIFEST}):
        if pathlib.Path(path).name not in LEFT_BY_DESKTOPS:
            problem = f"the bundle {bundle} must be as its manifest lists it; {path} is not listed"
            raise BundleError(f"{problem}. Run the pipeline again.")
    for path, expected in digests.items():
        if path not in found:
            raise BundleError(f"the bundle {bundle} lacks {path}. Run the pipeline again.")
        if hashlib.sha256((bundle / path).read_bytes()).hexdigest() != expected:
            raise BundleError(f"the bundle {bundle} is damaged: {path} has changed. Run the pipeline again.")
    return needs_scann


def check_titles(requested: Sequence[str], bundle: pathlib.Path) -> None:
    """Require titles as the catalogue has them.

    Raises:
      BundleError: a title is not in the catalogue, with the nearest titles; or the catalogue cannot be read.
    """
    try:
        import pyarrow as pa
        import pyarrow_hotfix  # noqa: F401, or pyarrow runs the pickled Python that a schema can hold
        from pyarrow import parquet
    except ImportError as error:
        raise BundleError(f"{error}. {_OTHER_PYTHON}") from error
    path = bundle / CATALOGUE
    try:
        # Not read_table: its threads now and then abort the process after such an error.
        column = parquet.ParquetFile(path).read(columns=["movie_title"])["movie_title"]
        titles = {title for title in column.cast("string").to_pylist() if title}
    except (pa.ArrowException, OSError, KeyError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".:")
        raise BundleError(f"{path} cannot be read: {reason}. Run the pipeline again.") from error
    for title in requested:
        if title not in titles:
            folded = {known.casefold(): known for known in sorted(titles)}
            near = [folded[name] for name in difflib.get_close_matches(title.casefold(), folded)]
            hint = f" Nearest: {'; '.join(near)}." if near else ""
            raise BundleError(f"no title {title!r} in the catalogue; titles are written with the year.{hint}")


def load(bundle: pathlib.Path, needs_scann: bool) -> Any:
    """Load the composite's signature, quietly."""
    # TensorFlow's C++ library reads this variable while it is loaded, so set it before the import.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    warnings.simplefilter("ignore")
    if "tensorflow" not in sys.modules:
        # A model needs no Keras, whose import takes a third of TensorFlow's time.
        sys.modules.update(dict.fromkeys(("keras", "tf_keras")))  # type: ignore[arg-type]
    try:
        import tensorflow as tf
    except ImportError as error:
        raise BundleError(f"{error}. {_OTHER_PYTHON}") from error
    if needs_scann:
        try:
            import scann  # noqa: F401, registers the operations of the index
        except (ImportError, tf.errors.OpError) as error:  # Absent, or built for another TensorFlow.
            raise BundleError(f"{bundle} has a ScaNN index: {error}. {_WITHOUT_SCANN}") from error
    # To optimise the graphs takes longer than to answer a few requests by them as they are.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    # From inside, for TensorFlow takes * ? [ and a backslash in a path for a pattern.
    before = os.open(".", os.O_RDONLY)
    os.chdir(bundle)
    try:
        return tf.saved_model.load(MODEL).signatures["serving_default"]
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise BundleError(f"{bundle} cannot be loaded: {reason}. Run the pipeline again.") from error
    finally:
        os.fchdir(before)
        os.close(before)


def recommend_all(serve: Any, options: argparse.Namespace) -> list[Answer]:
    """Recommend to every user; show a progress bar if a person waits for several batches."""
    import rich.console
    import rich.progress

    batches = [options.users[start : start + BATCH] for start in range(0, len(options.users), BATCH)]
    console = rich.console.Console(stderr=True)
    silent = len(batches) == 1 or not console.is_terminal
    with rich.progress.Progress(console=console, transient=True, disable=silent) as progress:
        tracked = progress.track(batches, description=f"{len(options.users):,} users")
        return [answer for batch in tracked for answer in recommend(serve, batch, options)]


def recommend(serve: Any, users: Sequence[str], options: argparse.Namespace) -> list[Answer]:
    """Recommend to a batch of users; inputs of the signature that no flag gives are set to unknown.

    For users of train, the model fills unknown side features and histories in from the train split.
    """
    import tensorflow as tf

    size, now = len(users), options.timestamp
    side = {"user_gender": options.gender, "user_age": options.age, "user_occupation": options.occupation}
    given = {
        "user_id": users,
        "timestamp": [now] * size,
        **{name: [value] * size for name, value in side.items() if value},
        "history_title": [options.because] * size,
        "history_rating": [[LIKED_RATING] * len(options.because)] * size,
        "history_timestamp": [[now - SECONDS_APART * ago for ago, _ in enumerate(options.because, 1)]] * size,
        "exclude_title": [options.exclude] * size,
        "k": options.k,
    }
    request = {}
    for name, spec in serve.structured_input_signature[1].items():
        unknown: Any = [] if spec.shape.rank == 2 else "unknown" if spec.dtype == tf.string else -1
        request[name] = tf.constant(given.get(name, [unknown] * size), spec.dtype)
    answer = {name: tensor.numpy() for name, tensor in serve(**request).items()}
    return [{name: column[row] for name, column in answer.items()} for row in range(size)]


def rows_of(answer: Answer) -> list[dict[str, Any]]:
    """Return one user's titles as the rows of the JSON output, best first."""
    return [
        {
            "rank": row + 1,
            "movie_id": answer["movie_id"][row].decode("utf-8", "replace"),
            "movie_title": answer["movie_title"][row].decode("utf-8", "replace"),
            "score": float(answer["score"][row]),
            "predicted_rating": float(answer["predicted_rating"][row]),
        }
        for row in range(answer["num_returned"])
    ]


def show_json(user: str, answer: Answer, options: argparse.Namespace, version: int) -> None:
    """Print one line: the user, the version, the time, what served the request, and the titles."""
    request = {"user_id": user, "version": version, "timestamp": options.timestamp}
    served = {"served_by": answer["served_by"].decode(), "recommendations": rows_of(answer)}
    ascii_only = not sys.stdout.encoding.lower().startswith("utf")
    print(json.dumps({**request, **served}, ensure_ascii=ascii_only))


def show(user: str, answer: Answer, options: argparse.Namespace, version: int) -> None:
    """Print one user's titles as a table, under a heading."""
    import rich.console
    import rich.table
    import rich.text

    known = answer["served_by"] != b"popularity"
    table = rich.table.Table()
    table.add_column("#", justify="right")
    table.add_column("Title", overflow="fold")
    table.add_column("Score" if known else "Ratings", justify="right")
    table.add_column("Predicted rating", justify="right")
    rows = rows_of(answer)
    for row in rows:
        score, rating = f"{row['score']:.{4 * known}f}", f"{row['predicted_rating']:.2f}"
        table.add_row(str(row["rank"]), rich.text.Text(row["movie_title"]), score, rating)
    console = rich.console.Console(highlight=False, markup=False)
    console.print(f"{heading(user, known, options.because)} (version {version}):", soft_wrap=True)
    console.print(table)
    if len(rows) < options.k:
        console.print(f"{len(rows)} titles remain of the {options.k} requested.")


def show_quality(bundle: pathlib.Path) -> None:
    """Print how often lists of this version held what people then liked, as the manifest says it."""
    import rich.console

    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    if words := manifest.get("metrics", {}).get("served_list_in_words"):
        console = rich.console.Console(highlight=False, markup=False)
        console.print(f"Measured before it was published: {words}", soft_wrap=True)


def heading(user: str, known: bool, because: Sequence[str]) -> str:
    """Say for whom the titles are, and whether the model or popularity chose them."""
    if not known:
        reason = f"User {user} is unknown to the model" if user else "The flags describe no user to the model"
        return f"{reason}; the most popular titles instead"
    watched = "; ".join(because)
    if not user:
        return f"Because you watched {watched}" if because else "Recommended to a user as described"
    name = f"user {user}, who watched {watched}" if because else f"user {user}"
    return f"Recommended to {name}, without titles already rated"


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        # For letters that the terminal's encoding lacks; and so that nothing is left to write at the end.
        sys.stdout.reconfigure(errors="replace", line_buffering=True)
    # Not by way of Python's own end, for to free a model takes a second.
    os._exit(main())

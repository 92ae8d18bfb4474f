"""The table of MovieLens releases: which files they hold and how those are written.

Read by the fetcher (local machine), the component (compiler) and the executor (workers). A new release is
one more row. Sources: the README that GroupLens ships with each archive
(https://files.grouplens.org/datasets/movielens/).
"""

from __future__ import annotations

import dataclasses
from decimal import Decimal

ARCHIVE_URL = "https://files.grouplens.org/datasets/movielens/"

# Canonical column names: those of the CSV releases, used for the header-less ones too.
RATING_COLUMNS = ("userId", "movieId", "rating", "timestamp")
MOVIE_COLUMNS = ("movieId", "title", "genres")

# Encoding of the movies files from before 2009; a user's own file may be in UTF-8, see `layouts`.
LATIN_1 = "iso-8859-1"

ML_100K_GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)

# ml-1m's README: the occupation's code is its position here.
ML_1M_OCCUPATIONS = (
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
)


@dataclasses.dataclass(frozen=True)
class Table:
    """One file of a release.

    Attributes:
      names: the file's name; several if any one of them may be used (CSV or Parquet).
      separator: between columns; a comma means CSV with quotes.
      encoding: of the text.
      header: whether line 1 names the columns (their order is then free, further columns are ignored).
      columns: the columns in file order (without a header), or the required ones (with a header).
      optional: whether the file may be missing.
    """

    names: tuple[str, ...]
    separator: str
    encoding: str
    header: bool
    columns: tuple[str, ...]
    optional: bool = False


@dataclasses.dataclass(frozen=True)
class Scale:
    """The ratings that a release allows: `lowest` to `highest` stars in steps of `step`.

    >>> Scale("0.5", "5", "0.5").values[:3]
    (0.5, 1.0, 1.5)
    """

    lowest: str
    highest: str
    step: str

    @property
    def values(self) -> tuple[float, ...]:
        """Every allowed rating, ascending."""
        lowest, step = Decimal(self.lowest), Decimal(self.step)
        steps = int((Decimal(self.highest) - lowest) / step)
        return tuple(float(lowest + i * step) for i in range(steps + 1))

    def __str__(self) -> str:
        return f"{self.lowest} to {self.highest} in steps of {self.step}"


@dataclasses.dataclass(frozen=True)
class Release:
    """One MovieLens release, or the user's own files (`custom`).

    Attributes:
      name: its name in the configuration.
      ratings, movies, users: its files; users is None if the release has no side features.
      scale: allowed ratings.
      merge_titles: whether ids that share a title are one film (ml-100k), or two.
      archive_bytes: size of GroupLens' zip; None if it is not fixed.
      archive_checksum: `sha256:...` or `md5:...` of that zip; None if GroupLens renews the archive
        (ml-latest): then the `.md5` that GroupLens publishes beside it is read at download time.
      member_md5: MD5 of the files that the pipeline reads, if known.
      extras: further members to unpack (licence text, official splits for benchmarks).
      occupations: names by code, if the users' file holds codes.
      redistributable: whether its README lets the data be passed on, under the same conditions; else it
        demands separate permission. Of no meaning for the user's own files.
    """

    name: str
    ratings: Table
    movies: Table
    users: Table | None
    scale: Scale
    merge_titles: bool = False
    archive_bytes: int | None = None
    archive_checksum: str | None = None
    member_md5: tuple[tuple[str, str], ...] = ()
    extras: tuple[str, ...] = ()
    occupations: tuple[str, ...] = ()
    redistributable: bool = False

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its files, without users if it has none."""
        return tuple(table for table in (self.ratings, self.movies, self.users) if table)

    @property
    def url(self) -> str:
        """URL of GroupLens' archive."""
        return f"{ARCHIVE_URL}{self.name}.zip"


_WHOLE_STARS = Scale("1", "5", "1")
_HALF_STARS = Scale("0.5", "5", "0.5")


def _dat(name: str, encoding: str, columns: tuple[str, ...]) -> Table:
    return Table((name,), "::", encoding, False, columns)


def _csv(*names: str, columns: tuple[str, ...], optional: bool = False) -> Table:
    return Table(names, ",", "utf-8", True, columns, optional)


def _csv_release(name: str, archive_bytes: int | None, archive_checksum: str | None) -> Release:
    return Release(
        name=name,
        ratings=_csv("ratings.csv", columns=RATING_COLUMNS),
        movies=_csv("movies.csv", columns=MOVIE_COLUMNS),
        users=None,
        scale=_HALF_STARS,
        archive_bytes=archive_bytes,
        archive_checksum=archive_checksum,
        extras=("README.txt", "README.html"),
        redistributable=True,
    )


_TABLE = (
    Release(
        name="ml-100k",
        ratings=Table(("u.data",), "\t", "ascii", False, RATING_COLUMNS),
        movies=Table(
            ("u.item",),
            "|",
            LATIN_1,
            False,
            ("movieId", "title", "release_date", "video_release_date", "imdb_url", *ML_100K_GENRES),
        ),
        users=Table(("u.user",), "|", "ascii", False, ("userId", "age", "gender", "occupation", "zip_code")),
        scale=_WHOLE_STARS,
        merge_titles=True,
        archive_bytes=4_924_029,
        archive_checksum="sha256:50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        member_md5=(
            ("u.data", "6e47046882bad158b0efbb84cd5cb987"),
            ("u.item", "c9e7f390115d79079537301d5204f3f7"),
            ("u.user", "1b53539edc13caad0282c8500608a319"),
        ),
        extras=("README", *(f"u{i}.{part}" for i in range(1, 6) for part in ("base", "test"))),
    ),
    Release(
        name="ml-1m",
        ratings=_dat("ratings.dat", "ascii", RATING_COLUMNS),
        movies=_dat("movies.dat", LATIN_1, MOVIE_COLUMNS),
        # The age is the lower bound of a group: 1 (under 18), 18, 25, 35, 45, 50, 56.
        users=_dat("users.dat", "ascii", ("userId", "gender", "age", "occupation", "zip_code")),
        scale=_WHOLE_STARS,
        archive_bytes=5_917_549,
        archive_checksum="sha256:a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        extras=("README",),
        occupations=ML_1M_OCCUPATIONS,
    ),
    Release(
        name="ml-10m",
        ratings=_dat("ratings.dat", "ascii", RATING_COLUMNS),
        movies=_dat("movies.dat", "utf-8", MOVIE_COLUMNS),
        users=None,
        scale=_HALF_STARS,
        archive_bytes=65_566_137,
        archive_checksum="sha256:813c411ccb6122564edfe752e7f80c4dcc5aa25fa94c93622f6877a7ba252862",
        extras=("README.html",),
    ),
    _csv_release(
        "ml-20m", 198_702_078, "sha256:96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3"
    ),
    _csv_release(
        "ml-25m", 261_978_986, "sha256:8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa"
    ),
    _csv_release(
        "ml-latest-small", 978_202, "sha256:696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436"
    ),
    _csv_release("ml-latest", None, None),
    # The digest that GroupLens publishes for ml-32m is an MD5.
    _csv_release("ml-32m", 238_950_008, "md5:d472be332d4daa821edc399621853b57"),
    Release(
        name="custom",
        ratings=_csv("ratings.csv", "ratings.parquet", columns=RATING_COLUMNS),
        movies=_csv("movies.csv", "movies.parquet", columns=MOVIE_COLUMNS),
        users=_csv(
            "users.csv",
            "users.parquet",
            columns=("userId", "gender", "age", "occupation"),
            optional=True,
        ),
        scale=_HALF_STARS,
    ),
)

RELEASES: dict[str, Release] = {release.name: release for release in _TABLE}
CUSTOM = "custom"

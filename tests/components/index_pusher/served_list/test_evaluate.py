"""The served list of planted models, asked as a server would be: its figures, and what refuses a push."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import types
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from components.index_pusher import bundle
from components.index_pusher.bundle import RECOMMEND_EXACT, Bundle
from components.index_pusher.composite import recommender
from components.index_pusher.config import IndexConfig
from components.index_pusher.gates import Refusal
from components.index_pusher.index.searches import BruteForce
from components.index_pusher.served_list import asking, rows
from components.index_pusher.served_list.evaluate import evaluate
from modules import features
from serving import reader
from tests.helpers import planted_models
from tests.helpers.planted_requests import exact_best

# Seconds; after train, and before the rows of the shared eval split.
NOW = 879_999_000
# Users with more titles left than a list has places.
USERS = range(38)


def write_eval(world: planted_models.World, folder: pathlib.Path, titles: Sequence[Sequence[int]]) -> str:
    """Rows of the users of USERS who rate these titles, the first of each 5 and all others 2 stars."""
    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as writer:
        for user, rated in zip(USERS, titles, strict=True):
            for number, row in enumerate(rated):
                example = planted_models.rating(world.users[user], world.titles[row], NOW)
                parts = example.features.feature
                parts[features.RATING].float_list.value[:] = [2.0 if number else 5.0]
                excluded = [world.ids[at].encode() for at in world.seen[user]]
                parts[features.EXCLUDE_ID].bytes_list.value.extend(excluded)
                writer.write(example.SerializeToString())
    return str(folder)


@pytest.fixture(scope="module")
def models(planted) -> bundle.Models:
    return bundle._load(planted.sources)


@pytest.fixture(scope="module")
def of_the_model(planted, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Everybody likes the title that the model puts first, and dislikes the one in fourth place."""
    world = planted.world
    best = [exact_best(world, world.user_vectors[user], world.seen[user], 4) for user in USERS]
    folder = tmp_path_factory.mktemp("eval") / "model"
    return write_eval(world, folder, [(first, fourth) for first, *_, fourth in best])


@pytest.fixture(scope="module")
def of_popularity(planted, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Everybody likes the most popular title that is left."""
    world, folder = planted.world, tmp_path_factory.mktemp("eval") / "popularity"
    order = np.argsort(-world.popularity)
    return write_eval(world, folder, [[next(r for r in order if r not in world.seen[u])] for u in USERS])


@pytest.fixture(scope="module")
def honest(planted, models, pushed, of_the_model: str) -> Bundle:
    sources = dataclasses.replace(planted.sources, queries_dir=of_the_model)
    folder = str(pushed.destination / "bundles" / "1")
    return Bundle(sources, folder, models, [], {"index_build": RECOMMEND_EXACT})


@pytest.fixture(scope="module")
def reversed_order(planted, models, honest: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose composite shows the model's worst titles."""
    folder = tmp_path_factory.mktemp("reversed")
    index = BruteForce(-models.candidates.embeddings)
    composite = recommender.Recommender(models.order, index)
    recommender.save(composite, str(folder / RECOMMEND_EXACT))
    return dataclasses.replace(honest, folder=str(folder))


def judged_by(made: Bundle, eval_dir: str, must_beat_baselines: bool = True) -> Bundle:
    sources = dataclasses.replace(made.sources, queries_dir=eval_dir, must_beat_baselines=must_beat_baselines)
    return dataclasses.replace(made, sources=sources)


def figures_of(measured: dict, protocol: str) -> dict[str, float]:
    return {row["figure"]: row["value"] for row in measured["served_list"] if row["protocol"] == protocol}


def test_the_list_is_asked_before_each_rating_and_a_day_after_train(honest: Bundle, tmp_path) -> None:
    measured = evaluate(honest, str(tmp_path))
    before, later = (
        figures_of(measured, protocol) for protocol in ("before each rating", "a day after train")
    )
    gains = 31 + 3
    assert before == pytest.approx(
        {
            **{"liked_hit_10": 1.0, "disliked_hit_10": 1.0, "ndcg_10": 1.0, "mrr_10": 1.0},
            "graded_ndcg_10": (31 + 3 / np.log2(5)) / gains,
            **{"mean_rating_of_hits": 3.5, "served_by_model": 1.0},
        }
    )
    assert later["liked_in_10"] == later["disliked_in_10"] == later["ndcg_10"] == 1.0
    assert later["graded_ndcg_10"] == pytest.approx((31 + 3 / np.log2(5)) / (31 + 3 / np.log2(3)))
    assert 0 < later["coverage"] < 1 and 0 < later["gini"] < 1 and 0 < later["genre_diversity"] < 1
    last = measured["served_list_depths"][-1]
    assert last["depth"] == 10 and (last["coverage"], last["gini"]) == (later["coverage"], later["gini"])
    assert measured["served_list_champion"] == "no version is served yet"
    assert measured["served_list_in_words"] == (
        "Of the titles that people rated 4 or higher, 100% were among the ten that they would have been "
        "shown; of those that they rated 2 or lower, 100%."
    )
    compared = measured["served_list_comparisons"]
    measured_on = {row["slice"] for row in measured["served_list_slices"]}
    by_title = {name for name in measured_on if name.startswith(features.TITLE_POPULARITY)}
    assert by_title
    assert {row["slice"] for row in compared} == {"", *(measured_on - by_title)}
    assert all(
        row["compared_with"] == "popularity" and row["lower"] > 0 and row["passes"] for row in compared
    )
    json.dumps(measured, allow_nan=False)


def test_a_list_that_popularity_beats_is_refused_unless_baselines_may_win(
    honest: Bundle, of_popularity: str, tmp_path
) -> None:
    with pytest.raises(Refusal, match="the served list is worse than popularity") as caught:
        evaluate(judged_by(honest, of_popularity), str(tmp_path))
    assert caught.value.figures["served_list_comparisons"][0]["upper"] < 0
    measured = evaluate(judged_by(honest, of_popularity, False), str(tmp_path))
    assert measured["served_list_comparisons"][0]["passes"]


def test_a_diverse_list_is_measured_as_it_is_served(planted, honest: Bundle, tmp_path) -> None:
    """Its second title is not of the first's genres. It is refused where people like the model's second best,
    and passes where they like the first, which stays."""
    world, none = planted.world, str(tmp_path / "none")
    models = bundle._load(dataclasses.replace(planted.sources, config=IndexConfig(diversity=0.9)))
    composite = recommender.Recommender(models.order, BruteForce(models.candidates.embeddings))
    recommender.save(composite, str(tmp_path / RECOMMEND_EXACT))
    diverse = dataclasses.replace(honest, folder=str(tmp_path), models=models)
    best = [exact_best(world, world.user_vectors[user], world.seen[user], 2) for user in USERS]
    first, second = (
        write_eval(world, tmp_path / f"eval{place}", [titles[place : place + 1] for titles in best])
        for place in (0, 1)
    )
    with pytest.raises(Refusal, match="the served list is worse than retrieval alone") as caught:
        evaluate(judged_by(diverse, second), none)
    plain = evaluate(judged_by(honest, second), none)
    for protocol in ("before each rating", "a day after train"):
        refused, served = (figures_of(measured, protocol) for measured in (caught.value.figures, plain))
        assert refused["graded_ndcg_10"] < served["graded_ndcg_10"] == pytest.approx(1 / np.log2(3))
    compared = evaluate(judged_by(diverse, first), none)["served_list_comparisons"]
    assert {row["compared_with"] for row in compared if row["passes"]} == {"retrieval alone", "popularity"}


def test_a_list_that_the_served_one_beats_is_refused(
    reversed_order: Bundle, honest: Bundle, pushed, of_the_model: str, tmp_path: pathlib.Path
) -> None:
    # TensorFlow takes such a name for a pattern.
    destination = str(shutil.copytree(pushed.destination, tmp_path / "films [1]*?", symlinks=True))
    with pytest.raises(Refusal, match="the served list is worse than the version in service"):
        evaluate(judged_by(reversed_order, of_the_model, False), destination)
    measured = evaluate(judged_by(honest, of_the_model, False), destination)
    (same,) = (
        r for r in measured["served_list_comparisons"] if r["compared_with"] == "the version in service"
    )
    assert (same["gain"], same["passes"], measured["served_list_champion"]) == (0.0, True, "version 1")


@pytest.mark.parametrize(
    ("made_by", "reason"),
    [
        (
            "films-11111111-custom",
            "is of the pipeline films-11111111-custom, whose train may hold these ratings",
        ),
        (None, "does not say which pipeline made it"),
    ],
    ids=["another folder of one's own data", "an older bundle"],
)
def test_a_version_of_another_pipeline_is_not_compared(
    reversed_order: Bundle, pushed, of_the_model: str, monkeypatch: pytest.MonkeyPatch, made_by, reason
) -> None:
    """Both are of the same release and split, and the list would be refused if it were compared."""
    found = reader.open_current(str(pushed.destination))
    content = {name: value for name, value in found.manifest.items() if name != "pipeline"}
    content |= {"pipeline": made_by} if made_by else {}
    monkeypatch.setattr(reader, "open_current", lambda _: dataclasses.replace(found, manifest=content))
    measured = evaluate(judged_by(reversed_order, of_the_model, False), str(pushed.destination))
    assert measured["served_list_champion"] == f"version 1 {reason}"
    assert {row["compared_with"] for row in measured["served_list_comparisons"]} == {"popularity"}


def test_a_version_in_service_that_cannot_be_asked_is_not_compared(
    honest: Bundle, pushed, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release of another contract may have published it; it must not keep every later one from service."""
    other = tf.Module()
    other.answer = tf.function(
        lambda mood: {"movie_title": mood}, input_signature=[tf.TensorSpec([None], tf.string, "mood")]
    )
    tf.saved_model.save(other, str(tmp_path / RECOMMEND_EXACT), {"serving_default": other.answer})
    made = {"pipeline": honest.sources.pipeline}
    monkeypatch.setattr(reader, "open_current", lambda _: reader.Bundle(1, str(tmp_path), made))
    measured = evaluate(honest, str(pushed.destination))
    expected = "version 1 cannot be asked: it takes mood, which no request has"
    assert measured["served_list_champion"] == expected
    monkeypatch.setattr(reader, "open_current", lambda _: reader.Bundle(1, str(tmp_path / "gone"), made))
    measured = evaluate(honest, str(pushed.destination))
    assert measured["served_list_champion"].startswith("version 1 cannot be asked: ")


def test_where_popularity_serves_the_list_is_that_of_retrieval_alone(models, of_the_model: str) -> None:
    """Also where titles are tied, which a list puts in some order."""
    ratings = rows.parse(rows.whole_users(of_the_model, 4))
    served, by_model = np.array([0.0, np.inf, 7.0, 8.0]), np.array([True, True, False, False])
    found = asking.reference_ranks(models.retrieval, ratings, served, by_model)
    assert found["retrieval alone"].tolist() == [0.0, 3.0, 7.0, 8.0]
    assert set(found["popularity"][2:]).isdisjoint({7.0, 8.0})


def test_a_rating_that_the_retrieval_model_gives_no_rank_is_not_passed_over(honest: Bundle, tmp_path) -> None:
    signature = honest.models.retrieval.signatures[features.EVAL_SIGNATURE]

    def diverged(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        columns = signature(**inputs)
        ranks = columns[features.RANK_UNSEEN]
        return {**columns, features.RANK_UNSEEN: tf.where(tf.range(len(ranks)) < 3, np.nan, ranks)}

    retrieval = types.SimpleNamespace(signatures={features.EVAL_SIGNATURE: diverged})
    made = dataclasses.replace(honest, models=dataclasses.replace(honest.models, retrieval=retrieval))
    with pytest.raises(Refusal, match="retrieval alone has no rank for 3 of 76 ratings of eval"):
        evaluate(made, str(tmp_path))


def test_what_the_user_is_known_to_have_rated_counts_for_nothing(planted, honest: Bundle, tmp_path) -> None:
    """No list may hold such a title, so the rows of one are left out."""
    world = planted.world
    titles = [
        [exact_best(world, world.user_vectors[user], world.seen[user], 1)[0], *world.seen[user][:3]]
        for user in USERS
    ]
    folder = write_eval(world, tmp_path / "eval", titles)
    found = figures_of(evaluate(judged_by(honest, folder), str(tmp_path / "none")), "before each rating")
    assert found["liked_hit_10"] == 1.0 and found["disliked_hit_10"] is None

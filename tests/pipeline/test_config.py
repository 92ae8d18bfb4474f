"""A configuration file: what it replaces, and one sentence for what is wrong in it."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from modules import search_space
from modules.hyperparameters import ranking_preset
from modules.search_space import TuningConfig
from pipeline import config
from pipeline.config import Config


@pytest.fixture
def write(tmp_path: pathlib.Path):
    def write(content: Any) -> pathlib.Path:
        path = tmp_path / "config.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.mark.parametrize("name", config.PRESETS)
def test_a_preset_written_out_and_read_is_the_same(name: str, write) -> None:
    preset = config.PRESETS[name]()
    written = write(preset.model_dump(mode="json"))
    for other in config.PRESETS.values():
        assert config.load(written, other()) == preset


def test_the_presets_are_pipelines_of_their_own() -> None:
    # By its name alone does a pipeline find its champions.
    names = [preset().name for preset in config.PRESETS.values()]
    assert len(set(names)) == len(names) == 3


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"release": "custom"}, id="release custom"),
        pytest.param({"split": {"method": "given"}}, id="split given"),
        pytest.param({"spans": {}, "split": {"method": "span"}}, id="spans"),
        pytest.param({"spans": {}}, id="spans, another split"),
    ],
)
def test_two_folders_of_a_user_s_own_data_are_two_pipelines_and_one_folder_is_one(
    data: dict[str, Any], write, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = config.load(write({"data": data}), config.default())
    for name in ("films", "books"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "films")
    monkeypatch.chdir(tmp_path)
    films, *same, books = (
        config.of_data(configured, folder).pipeline_name
        for folder in (tmp_path / "films", "films", "books/../films/", "link", "books")
    )
    assert set(same) == {films}
    assert films != books
    # Whatever its folder holds meanwhile.
    (tmp_path / "films" / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1,5,900000000\n")
    assert config.of_data(configured, "films").pipeline_name == films


@pytest.mark.parametrize("method", ["hash", "time"])
def test_a_release_of_movielens_is_one_pipeline_in_every_folder_and_what_differs_from_it_is_not(
    method: str, write
) -> None:
    configured = config.load(write({"data": {"split": {"method": method}}}), config.default())
    for data in (None, "films", "gs://films"):
        assert config.of_data(configured, data).pipeline_name == configured.pipeline_name
    changed = {
        config.of_data(configured, data, is_release=False).pipeline_name for data in ("films", "books")
    }
    assert len({*changed, configured.pipeline_name}) == 3


def test_an_object_replaces_only_what_it_names_at_any_depth(write) -> None:
    changes = {"push": "multitask", "models": {"retrieval": {"epochs": 9, "softmax": {"temperature": 0.5}}}}
    received = config.load(write(changes), config.default()).model_dump()
    expected = config.default().model_dump()
    expected["push"] = "multitask"
    expected["models"]["retrieval"]["epochs"] = 9
    expected["models"]["retrieval"]["softmax"]["temperature"] = 0.5
    assert received == expected


def test_another_head_begins_at_hyper_parameters_that_apply_to_it(write) -> None:
    def ranking(preset: Config, **changes: Any) -> dict[str, Any]:
        return config.load(write({"models": {"ranking": changes}}), preset).models.ranking.model_dump()

    gradient = ranking_preset("factorization").model_dump()
    assert ranking(config.default(), head="factorization", l2=0.2) == {**gradient, "l2": 0.2}
    assert ranking(config.default(), head="mlp") == {**gradient, "head": "mlp"}
    bayesian = ranking_preset("bayesian").model_dump()
    assert ranking(config.tutorial(), head="bayesian", sweeps=40) == {**bayesian, "sweeps": 40}
    # The same fields apply to heads that are fitted by gradients, so that a preset's values stay.
    tutorial = config.tutorial().models.ranking.model_dump()
    expected = {**tutorial, "head": "factorization", "hidden_units": ()}
    assert ranking(config.tutorial(), head="factorization", hidden_units=[]) == expected


def test_a_list_replaces_the_whole_list(write) -> None:
    gate = {"metric": "rmse", "bound": 1.5}
    received = config.load(write({"gates": {"ranking": [gate]}}), config.default())
    assert [(gate.metric, gate.bound, gate.slices) for gate in received.gates.ranking] == [("rmse", 1.5, ())]
    assert received.gates.retrieval == config.default().gates.retrieval


def test_an_empty_object_is_the_preset(write) -> None:
    assert config.load(write({}), config.tutorial()) == config.tutorial()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "must be a readable JSON file: Expecting property name"),
        ("[1, 2]", "must hold a JSON object; received list"),
        ({"dta": {}}, "dta: Extra inputs are not permitted; received {}"),
        (
            {"models": {"retrieval": {"hidden_unit": [3]}}},
            r"models.retrieval.hidden_unit: Extra inputs are not permitted; received \[3\]",
        ),
        (
            {"models": {"ranking": {"bayesian": {"sweeps": 40}}}},
            "ranking: a field of head bayesian must be one of .*, sweeps, .*; received bayesian.sweeps$",
        ),
        (
            {"models": {"ranking": {"l2": 0.1}}},
            "models.ranking: a field of head bayesian must be one of query_features, .*; received l2$",
        ),
        (
            {"models": {"ranking": {"history": {"dropout": 0.4}}}},
            "models.ranking.history: Input should be a valid boolean; received {'dropout': 0.4}$",
        ),
        (
            {"models": {"ranking": {"sweeps": "many"}}},
            "json: models.ranking.sweeps: Input should be a valid integer, .*; received 'many'$",
        ),
        ({"models": {"ranking": {"head": "mpl"}}}, "one of bayesian, factorization, mlp; received 'mpl'$"),
        ({"models": {"ranking": 7}}, "models.ranking: it must be an object .*; received 7$"),
        (
            {"models": {"retrieval": {"epochs": 0}}},
            "models.retrieval.epochs: Input should be greater than or equal to 1; received 0",
        ),
        ({"models": {"retrieval": 7}}, "models.retrieval: .*; received 7"),
        (
            {"strategy": "tpu"},
            "strategy: Input should be 'none', 'mirrored' or 'multi_worker'; received 'tpu'",
        ),
        (
            {"vocabularies": {"user_age": 9}},
            "vocabularies: vocabularies must be 1 or more for any of user_id, .*; received 9 for user_age$",
        ),
        ({"vocabularies": {"user_id": 0}}, "vocabularies must be 1 or more .*; received 0 for user_id$"),
        ({"name": "My Pipeline"}, "name: String should match pattern .*; received 'My Pipeline'"),
        ({"push": "both"}, "push: Input should be 'separate' or 'multitask'; received 'both'"),
        (
            {"models": {"ranking": {"query_features": ["movie_title"]}}},
            "models.ranking: query_features must name at least one of user_id, .*; received movie_title$",
        ),
        (
            {"gates": {"ranking": [{"metric": "rmse", "bound": 1}] * 2}},
            "gates.ranking: a model must have one gate for a metric; received rmse, rmse$",
        ),
        (
            {"tuning": {"max_trials": 0}},
            "tuning.max_trials: Input should be greater than or equal to 1; received 0$",
        ),
        (
            {"tuning": {"ranking": {"learning_rate": [0.1]}}},
            "json: tuning.ranking.learning_rate: what is tuned must be one of query_features, .*, sweeps, .*",
        ),
        (
            {"tuning": {"retrieval": {"epochs": [0, 1]}}},
            "json: tuning.retrieval.epochs: Input should be greater than or equal to 1; received 0$",
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_file_and_the_field(
    content: Any, complaint: str, write
) -> None:
    path = write(content)
    with pytest.raises(ValueError, match=complaint) as error:
        config.load(path, config.default())
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < 400


def test_a_file_that_cannot_be_read_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="absent.json must be a readable JSON file: .*No such file"):
        config.load(tmp_path / "absent.json", config.default())
    latin = tmp_path / "latin.json"
    latin.write_bytes('{"name": "é"}'.encode("latin-1"))
    with pytest.raises(ValueError, match="latin.json must be a readable JSON file"):
        config.load(latin, config.default())


def test_tuning_is_off_in_the_presets_and_a_file_says_how_it_is_done(write) -> None:
    assert [preset().tuning for preset in config.PRESETS.values()] == [None] * 3
    space = {"softmax.temperature": {"low": 0.1, "high": 1}, "optimizer": ["adam", "adagrad"]}
    loaded = config.load(write({"tuning": {"seed": 3, "retrieval": space}}), config.default())
    assert loaded.tuning is not None
    assert loaded.tuning.search(loaded.models, "retrieval").model_dump(mode="json") == {
        **{"max_trials": 20, "held_out": 0.125, "seed": 3},
        "space": space,
    }
    expected = search_space.default_space(loaded.models.ranking)
    assert loaded.tuning.search(loaded.models, "ranking").space == expected
    # The flag turns on what was not configured, and leaves the rest.
    assert config.tuned(loaded) == loaded
    assert config.tuned(config.tutorial()).tuning == TuningConfig()


def test_turning_tuning_on_for_models_that_its_defaults_do_not_fit_is_rejected_in_one_line(write) -> None:
    without = config.load(write({"models": {"multitask": {"retrieval_weight": 0}}}), config.default())
    with pytest.raises(
        ValueError, match="^tuning.multitask.retrieval_weight: a range must .*; it is 0.0. List"
    ):
        config.tuned(without)


def test_a_configuration_does_not_change_after_it_was_made() -> None:
    made: Any = config.default()
    with pytest.raises(ValueError, match="frozen"):
        made.push = "multitask"
    assert isinstance(made, Config)

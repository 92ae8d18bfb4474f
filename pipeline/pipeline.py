"""The DAG, from top to bottom. Called by the runners; wiring only."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping

from ml_metadata.proto import metadata_store_pb2
from tfx.components.distribution_validator.component import DistributionValidator
from tfx.components.evaluator.component import Evaluator
from tfx.components.example_validator.component import ExampleValidator
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.transform.component import Transform
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration import pipeline
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import distribution_validator_pb2, transform_pb2
from tfx.types.channel import BaseChannel

from components.anomaly_gate.component import AnomalyGate
from components.batch_recommender.component import BatchRecommender
from components.candidate_trainer.component import CandidateTrainer
from components.candidate_tuner.component import CandidateTuner
from components.champion.component import (
    RecordedChampion,
    RecordingEvaluator,
    base_model_resolver,
    champion_resolver,
)
from components.curated_schema.component import CuratedSchema
from components.index_pusher.component import IndexPusher
from components.movielens_example_gen.component import MovieLensExampleGen
from modules import features
from modules.hyperparameters import GradientConfig
from modules.search_space import SearchConfig
from pipeline.beam_flags import with_runner
from pipeline.config import Config
from pipeline.drift import DriftConfig
from pipeline.evaluation import EXTRACTORS, eval_config
from pipeline.source_digest import source_digest

_SCHEMA = pathlib.Path(__file__).parent / "schema"


def create_pipeline(
    config: Config,
    data_root: str | RuntimeParameter,
    pipeline_root: str,
    push_destination: str | RuntimeParameter,
    metadata_connection_config: metadata_store_pb2.ConnectionConfig | None,
    beam_pipeline_args: list[str],
    verdicts: str | None = None,
    epochs: Mapping[str, RuntimeParameter] | None = None,
    window: RuntimeParameter | None = None,
    last: Callable[[list[BaseNode]], BaseNode] | None = None,
) -> pipeline.Pipeline:
    """Wire the components.

    Args:
      config: what is made.
      data_root: folder with the files of the release that `config.data` names.
      pipeline_root: folder for artifacts.
      push_destination: folder for bundles.
      metadata_connection_config: where runs are recorded; None where the platform does that.
      beam_pipeline_args: Beam's own flags; where they name no runner, a step runs Beam in its own process.
      verdicts: folder of the verdicts on earlier runs' models, if a step cannot query the platform for them;
        None where the runner resolves champions from the metadata.
      epochs: by model, a number that a run may be started with; 0 means as configured.
      window: how many spans a run reads, likewise.
      last: builds a step of the runner's own from all others; None where it has none.
    """
    example_gen = MovieLensExampleGen(
        input_base=data_root,
        data_config=config.data,
        source_digest=source_digest("components.movielens_example_gen.executor"),
        window=window,
    )
    ratings, catalogue = example_gen.outputs["examples"], example_gen.outputs["catalogue"]

    ratings_checks = _validate("ratings", ratings)
    catalogue_checks = _validate("catalogue", catalogue)
    drift_checks = [_compare_spans(config.drift, ratings_checks[0])] if config.drift else []
    anomaly_gate = AnomalyGate(
        ratings_anomalies=ratings_checks[-1].outputs["anomalies"],
        catalogue_anomalies=catalogue_checks[-1].outputs["anomalies"],
        source_digest=source_digest("components.anomaly_gate.executor"),
        drift_anomalies=drift_checks[0].outputs["anomalies"] if drift_checks else None,
        on_drift=config.drift.action if config.drift else None,
    )

    transform = Transform(
        examples=ratings,
        schema=ratings_checks[1].outputs["schema"],
        preprocessing_fn="modules.data.preprocessing.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(
            analyze=[features.TRAIN_SPLIT], transform=[features.TRAIN_SPLIT, features.EVAL_SPLIT]
        ),
        custom_config={
            "source_digest": source_digest("modules.data.preprocessing"),
            **({"vocabularies": config.vocabularies} if config.vocabularies else {}),
        },
        # They would double its time, and what comes in was checked above.
        disable_statistics=True,
        # Every run reads the whole train split, so there is nothing for a cache of partial results to save.
        disable_analyzer_cache=True,
    )
    transform.add_upstream_node(anomaly_gate)

    models: dict[str, CandidateTrainer] = {}
    evaluators: dict[str, Evaluator] = {}
    nodes: list[BaseNode] = []
    for name, retrieval, rating in (
        ("retrieval", True, False),
        ("ranking", False, True),
        ("multitask", True, True),
    ):
        model = getattr(config.models, name)
        hyperparameters = model.model_dump(mode="json")
        tuned: BaseChannel | None = None
        if config.tuning:
            tuner = CandidateTuner(
                tuner_fn=f"modules.tuners.{name}.tuner_fn",
                examples=transform.outputs["transformed_examples"],
                candidates=catalogue,
                transform_graph=transform.outputs["transform_graph"],
                custom_config={
                    "hyperparameters": hyperparameters,
                    "search": config.tuning.search(config.models, name).model_dump(mode="json"),
                    "source_digest": source_digest(f"modules.tuners.{name}"),
                    "executor_digest": source_digest("components.candidate_tuner.executor"),
                },
            ).with_id(f"Tuner.{name}")
            tuned = tuner.outputs["best_hyperparameters"]
            nodes.append(tuner)
        base_model: BaseNode | None = None
        # A posterior is sampled anew. Without the runner's metadata there is nothing to resolve a model from.
        if config.warm_start and verdicts is None and isinstance(model, GradientConfig):
            base_model = base_model_resolver(
                transform.outputs["transformed_examples"],
                f"Trainer.{name}",
                f"Evaluator.{name}",
                f"Base.{name}",
            )
            nodes.append(base_model)
        trainer = CandidateTrainer(
            run_fn=f"modules.{name}.run_fn",
            examples=transform.outputs["transformed_examples"],
            candidates=catalogue,
            transform_graph=transform.outputs["transform_graph"],
            custom_config={
                "hyperparameters": hyperparameters,
                "source_digest": source_digest(f"modules.{name}"),
                "executor_digest": source_digest("components.candidate_trainer.executor"),
                **({"warm_start": True} if base_model else {}),
                **({"strategy": config.strategy} if config.strategy != "none" else {}),
            },
            hyperparameters=tuned,
            epochs=(epochs or {}).get(name),
            base_model=base_model.outputs["model"] if base_model else None,
        ).with_id(f"Trainer.{name}")
        champion, evaluator = _judge(
            name,
            f"{verdicts}/{config.pipeline_name}/{name}" if verdicts else None,
            examples=ratings,
            example_splits=[features.EVAL_SPLIT],
            model=trainer.outputs["model"],
            eval_config=eval_config(
                config.gates.bounds(name, config.data),
                retrieval,
                rating,
                config.gates.must_beat_baselines,
            ),
            module_path=EXTRACTORS,
        )
        models[name], evaluators[name] = trainer, evaluator
        nodes += [trainer, champion, evaluator]

    query_model, rating_model = ("retrieval", "ranking") if config.push == "separate" else ("multitask",) * 2
    weight: CandidateTuner | None = None
    # A value in the configuration overrides. The ratings of dense layers are no inner product.
    if config.index.blend.rating_weight is None and getattr(config.models, rating_model).head != "mlp":
        weight = CandidateTuner(
            tuner_fn="modules.tuners.blend.tuner_fn",
            examples=transform.outputs["transformed_examples"],
            candidates=catalogue,
            transform_graph=transform.outputs["transform_graph"],
            custom_config={
                # Only what is pushed, so that another model's change runs nothing again.
                "models": {
                    name: getattr(config.models, name).model_dump(mode="json")
                    for name in {query_model: None, rating_model: None}
                },
                "highest_rating": config.data.spec.scale.highest,
                "search": SearchConfig(space={}).model_dump(mode="json"),
                "source_digest": source_digest("modules.tuners.blend"),
                "executor_digest": source_digest("components.candidate_tuner.executor"),
            },
        ).with_id("Tuner.blend")
        nodes.append(weight)
    index_pusher = IndexPusher(
        retrieval_model=models[query_model].outputs["model"],
        retrieval_blessing=evaluators[query_model].outputs["blessing"],
        ranking_model=models[rating_model].outputs["model"],
        ranking_blessing=evaluators[rating_model].outputs["blessing"],
        multitask_model=models["multitask"].outputs["model"],
        multitask_blessing=evaluators["multitask"].outputs["blessing"],
        examples=ratings,
        retrieval_evaluation=evaluators[query_model].outputs["evaluation"],
        ranking_evaluation=evaluators[rating_model].outputs["evaluation"],
        multitask_evaluation=evaluators["multitask"].outputs["evaluation"],
        rating_weight=weight.outputs["best_hyperparameters"] if weight else None,
        index_config=config.index,
        publish_config=config.publish,
        must_beat_baselines=config.gates.must_beat_baselines,
        pipeline_name=config.pipeline_name,
        push_destination=push_destination,
        source_digest=source_digest("components.index_pusher.executor"),
    )
    consumers: list[BaseNode] = []
    if config.batch:
        consumers.append(
            BatchRecommender(
                pushed_model=index_pusher.outputs["pushed_model"],
                examples=ratings,
                batch_config=config.batch,
                source_digest=source_digest("components.batch_recommender.executor"),
            )
        )

    steps: list[BaseNode] = [
        example_gen,
        *ratings_checks,
        *catalogue_checks,
        *drift_checks,
        anomaly_gate,
        transform,
        *nodes,
        index_pusher,
        *consumers,
    ]
    return pipeline.Pipeline(
        pipeline_name=config.pipeline_name,
        pipeline_root=pipeline_root,
        components=[*steps, *([last(steps)] if last else [])],
        enable_cache=True,
        metadata_connection_config=metadata_connection_config,
        beam_pipeline_args=with_runner(beam_pipeline_args),
    )


def _validate(name: str, examples) -> list[BaseNode]:
    """Compare a dataset's statistics with its curated schema."""
    # Imported before TFX's own components, it would have TensorFlow fill the screen with errors at exit.
    import tensorflow_data_validation as tfdv

    # Not of the ids that an eval row excludes: they repeat train, and would take most of the time.
    described = [row.name for row in features.RATING_ROW if row.name != features.EXCLUDE_ID]
    statistics = StatisticsGen(
        examples=examples, stats_options=tfdv.StatsOptions(feature_allowlist=described)
    ).with_id(f"StatisticsGen.{name}")
    schema = CuratedSchema(schema_file=_SCHEMA / f"{name}.pbtxt").with_id(f"CuratedSchema.{name}")
    validator = ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    ).with_id(f"ExampleValidator.{name}")
    return [statistics, schema, validator]


def _compare_spans(drift: DriftConfig, statistics: BaseNode) -> DistributionValidator:
    """Compare the newest span, which is eval, with the window before it, which is train."""
    config = distribution_validator_pb2.DistributionValidatorConfig()
    for name, bound in sorted(drift.bounds.items()):
        feature = config.default_slice_config.feature.add()
        feature.path.step.append(name)
        measure = "infinity_norm" if drift.is_text(name) else "jensen_shannon_divergence"
        getattr(feature.distribution_comparator, measure).threshold = bound
    channel = statistics.outputs["statistics"]
    return DistributionValidator(
        statistics=channel,
        baseline_statistics=channel,
        config=config,
        include_split_pairs=[(features.EVAL_SPLIT, features.TRAIN_SPLIT)],
    )


def _judge(name: str, verdicts: str | None, **arguments) -> tuple[BaseNode, Evaluator]:
    """Compare a model with its champion; both are this model's own."""
    champion: BaseNode
    if verdicts is None:
        champion = champion_resolver(arguments["model"], f"Evaluator.{name}", f"Champion.{name}")
        evaluator = Evaluator(baseline_model=champion.outputs["model"], **arguments)
    else:
        champion = RecordedChampion(
            challenger=arguments["model"],
            verdicts=verdicts,
            source_digest=source_digest("components.champion.executor"),
        ).with_id(f"Champion.{name}")
        evaluator = RecordingEvaluator(
            baseline_uri=champion.outputs["baseline_uri"].future()[0].value, verdicts=verdicts, **arguments
        )
    return champion, evaluator.with_id(f"Evaluator.{name}")

"""IndexPusher: declares its inputs, parameters and output, and rejects combinations that cannot work."""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration import data_types
from tfx.types import component_spec, standard_artifacts

from components.index_pusher import executor
from components.index_pusher.config import IndexConfig, PublishConfig


class IndexPusherSpec(component_spec.ComponentSpec):
    """Inputs, parameters and output of the IndexPusher."""

    PARAMETERS = {
        executor.PUSH_DESTINATION: component_spec.ExecutionParameter(type=str),
        executor.INDEX_CONFIG: component_spec.ExecutionParameter(type=str),
        executor.PUBLISH_CONFIG: component_spec.ExecutionParameter(type=str),
        executor.MUST_BEAT_BASELINES: component_spec.ExecutionParameter(type=int),
        executor.PIPELINE_NAME: component_spec.ExecutionParameter(type=str),
        executor.SOURCE_DIGEST: component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        executor.RETRIEVAL_MODEL: component_spec.ChannelParameter(type=standard_artifacts.Model),
        executor.RETRIEVAL_BLESSING: component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        executor.RANKING_MODEL: component_spec.ChannelParameter(type=standard_artifacts.Model),
        executor.RANKING_BLESSING: component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        executor.MULTITASK_MODEL: component_spec.ChannelParameter(
            type=standard_artifacts.Model, optional=True
        ),
        executor.MULTITASK_BLESSING: component_spec.ChannelParameter(
            type=standard_artifacts.ModelBlessing, optional=True
        ),
        executor.RATING_WEIGHT: component_spec.ChannelParameter(
            type=standard_artifacts.HyperParameters, optional=True
        ),
        executor.EXAMPLES: component_spec.ChannelParameter(type=standard_artifacts.Examples),
        executor.RETRIEVAL_EVALUATION: component_spec.ChannelParameter(
            type=standard_artifacts.ModelEvaluation, optional=True
        ),
        executor.RANKING_EVALUATION: component_spec.ChannelParameter(
            type=standard_artifacts.ModelEvaluation, optional=True
        ),
        executor.MULTITASK_EVALUATION: component_spec.ChannelParameter(
            type=standard_artifacts.ModelEvaluation, optional=True
        ),
    }
    OUTPUTS = {executor.PUSHED_MODEL: component_spec.ChannelParameter(type=standard_artifacts.PushedModel)}


class IndexPusher(base_component.BaseComponent):
    """Build the ScaNN index and the bundle, gate the bundle, and publish it as one version.

    Pushes nothing unless both models are blessed, the index reaches its recall on real queries, in fresh
    processes every SavedModel of the bundle and every TFLite file answers as the Trainers' models do, and the
    list that is served is not surely worse than retrieval alone, the baselines and the list in service. A
    multitask model that is not blessed is left out of the bundle. A bundle that fails a gate does not fail
    the pipeline: `pushed_model` then has `pushed` = 0 and the `reason`. Its other custom properties:
    `pushed_version`, `pushed_destination`, `published_anew`, `index_kind`, `index_recall`,
    `index_latency_ms`, `brute_force_latency_ms`, `index_pays` (the second by the first), `index_build` (which
    of the two composites is quicker at this size), `index_settings` (JSON, recall and latency of each setting
    tried) and `index_chosen_because`, `diversity` (if above 0), `recommend_recall`, `tflite_max_difference`,
    `num_candidates`, `parity` (JSON, see parity_table.py), `served_list` and what goes with it (JSON, see
    served_list/evaluate.py), and why something was left out:
    `multitask_left_out`, `ranking_quantized_left_out`, `retrieval_quantized_left_out`.
    """

    SPEC_CLASS = IndexPusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    DRIVER_CLASS = executor.Driver

    def __init__(
        self,
        retrieval_model: types.BaseChannel,
        retrieval_blessing: types.BaseChannel,
        ranking_model: types.BaseChannel,
        ranking_blessing: types.BaseChannel,
        examples: types.BaseChannel,
        push_destination: str | data_types.RuntimeParameter,
        pipeline_name: str,
        source_digest: str,
        index_config: IndexConfig | None = None,
        publish_config: PublishConfig | None = None,
        must_beat_baselines: bool = True,
        multitask_model: types.BaseChannel | None = None,
        multitask_blessing: types.BaseChannel | None = None,
        retrieval_evaluation: types.BaseChannel | None = None,
        ranking_evaluation: types.BaseChannel | None = None,
        multitask_evaluation: types.BaseChannel | None = None,
        rating_weight: types.BaseChannel | None = None,
    ) -> None:
        """Wire the component.

        Args:
          retrieval_model: Model with the signatures `query`, `candidates`, `seen` and `eval`.
          retrieval_blessing: ModelBlessing of that model's Evaluator.
          ranking_model: Model with the signature `rate` and a TFLite export; may be the same channel.
          ranking_blessing: ModelBlessing of that model's Evaluator.
          examples: Examples of the ratings; the eval split's are the queries, and judge the served list.
          push_destination: folder to publish to, or what TensorFlow knows by a scheme, such as
            gs://bucket/folder (see layout.py for what lies there).
          pipeline_name: of the run. The list in service is compared only if the same pipeline made it; the
            models of another may have been trained on the ratings that are held out here.
          source_digest: digest of the project's code, part of the bundle's identity: an edit publishes anew.
          index_config: the index and its threshold; None: the defaults.
          publish_config: how many versions stay; None: the defaults.
          must_beat_baselines: whether a served list that is surely worse than popularity or the item-item
            model is refused, as in pipeline.gates.GatesConfig.
          multitask_model: Model with the signatures of both, for the bundle to hold as it is; None for none.
          multitask_blessing: ModelBlessing of that model's Evaluator.
          retrieval_evaluation: ModelEvaluation of the retrieval model's Evaluator, for the model card; None:
            the card has no figures of it.
          ranking_evaluation: the ranking model's, likewise.
          multitask_evaluation: the multitask model's, likewise.
          rating_weight: HyperParameters with the property `rating_weight`, which holds where index_config's
            blend has none; None: it is then 0.
        Raises:
          ValueError: the destination is empty, one blessing is given for two models, or a multitask model
            without its blessing.
        """
        if push_destination == "":
            raise ValueError(
                "push_destination must be a folder or a URI; received ''. Give a path, or gs://bucket/folder."
            )
        if retrieval_blessing is ranking_blessing and retrieval_model is not ranking_model:
            raise ValueError(
                "Each model needs the blessing of its own Evaluator; received one blessing for both. "
                "Pass the ranking model's Evaluator's blessing as ranking_blessing."
            )
        if (multitask_model is None) != (multitask_blessing is None):
            raise ValueError(
                "multitask_model and multitask_blessing go together; received one of them. Pass both or none."
            )
        super().__init__(
            spec=IndexPusherSpec(
                retrieval_model=retrieval_model,
                retrieval_blessing=retrieval_blessing,
                ranking_model=ranking_model,
                ranking_blessing=ranking_blessing,
                multitask_model=multitask_model,
                multitask_blessing=multitask_blessing,
                rating_weight=rating_weight,
                examples=examples,
                retrieval_evaluation=retrieval_evaluation,
                ranking_evaluation=ranking_evaluation,
                multitask_evaluation=multitask_evaluation,
                push_destination=push_destination,
                index_config=(index_config or IndexConfig()).model_dump_json(),
                publish_config=(publish_config or PublishConfig()).model_dump_json(),
                must_beat_baselines=int(must_beat_baselines),
                pipeline_name=pipeline_name,
                source_digest=source_digest,
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )

"""Executor of the BatchRecommender: artifacts in, one Beam pipeline, counts as properties out."""

import os
import time
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from common import remote
from common.progress import progress
from components.batch_recommender import recommending
from components.batch_recommender.config import BatchConfig
from components.index_pusher import bundle, push
from modules import features
from serving import manifest

PUSHED_MODEL = "pushed_model"
EXAMPLES = "examples"
BATCH_CONFIG = "batch_config"
SOURCE_DIGEST = "source_digest"
RECOMMENDATIONS = "recommendations"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Recommend by the bundle that this run pushed, or record that it pushed none."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write Parquet, and `recommended`, `users`, `rows`, `version`, `timestamp` or `reason` beside it.

        Args:
          input_dict: `pushed_model`, `examples`.
          output_dict: `recommendations`.
          exec_properties: `batch_config` (JSON of BatchConfig).
        Raises:
          ValueError: the pushed bundle is not as its manifest lists it.
        """
        pushed = artifact_utils.get_single_instance(input_dict[PUSHED_MODEL])
        written = artifact_utils.get_single_instance(output_dict[RECOMMENDATIONS])
        if pushed.get_int_custom_property(push.PUSHED) != 1:
            reason = "no bundle was pushed in this run"
            written.set_int_custom_property("recommended", 0)
            written.set_string_custom_property("reason", reason)
            progress.info("No batch recommendations: %s", reason)
            return
        # Beam's workers load the bundle from its own folder; it is copied here only to be verified.
        with remote.as_local_folders({PUSHED_MODEL: [pushed]}, {}):
            manifest.verify(pushed.uri)
        config = BatchConfig.model_validate_json(exec_properties[BATCH_CONFIG])
        timestamp = int(time.time()) if config.timestamp is None else config.timestamp
        version = pushed.get_int_custom_property(push.PUSHED_VERSION)
        train = artifact_utils.get_split_uri(input_dict[EXAMPLES], features.TRAIN_SPLIT)
        with self._make_beam_pipeline() as pipeline:
            recommending.build_pipeline(
                pipeline,
                train_pattern=os.path.join(train, "*"),
                model=os.path.join(pushed.uri, bundle.RECOMMEND),
                folder=written.uri,
                config=config,
                timestamp=timestamp,
                version=version,
            )
        counts = recommending.counts(written.uri)
        properties = {"recommended": 1, **counts, "version": version, "timestamp": timestamp}
        for name, value in properties.items():
            written.set_int_custom_property(name, value)
        progress.info("Recommended to %s users: %s", f"{counts['users']:,}", written.uri)

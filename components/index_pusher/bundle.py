"""Build a bundle: models, TFLite files, candidate vectors, the index, both composites, warm-up requests.

The first step of a push, in the executor's process. publish.py makes TF Serving's links to all folders with a
SavedModel, and the manifest lists every file.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from common.progress import progress
from components.index_pusher.composite import recommender, signatures, warmup
from components.index_pusher.composite.diversity import Diversity
from components.index_pusher.composite.order import Order
from components.index_pusher.composite.signatures import Candidates
from components.index_pusher.config import IndexConfig
from components.index_pusher.description.model_card import Data
from components.index_pusher.gates import Blessing, Figures, Refusal, gate_blessing
from components.index_pusher.index import queries, scann_operations, selection, vectors
from components.index_pusher.served_list import rows
from modules import features
from serving import manifest

# Folders of a bundle: the Trainers' models, the composite on the index and the one on TensorFlow's own exact
# search, the TFLite files.
RETRIEVAL, RANKING, MULTITASK = "retrieval", "ranking", "multitask"
RECOMMEND, RECOMMEND_EXACT = "recommend", "recommend_exact"
TFLITE = "tflite"


@dataclasses.dataclass(frozen=True)
class Sources:
    """The artifacts and settings that a bundle is made of.

    Attributes:
      retrieval_dir: a Trainer's model artifact with the signatures `query`, `candidates`, `seen`, `eval`,
        and a TFLite export.
      ranking_dir: one with `rate` and a TFLite export; may be the same.
      queries_dir: folder of the ratings' eval split.
      config: of the index.
      source_digest: digest of the code that builds the bundle.
      multitask_dir: one with all of these, to be copied into the bundle; empty for none.
      multitask_left_out: reason why a given multitask model is left out.
      data: release, split and counts of the ratings, for the model card.
      evaluation_dirs: the Evaluators' results by the model's folder in the bundle, for card and manifest.
      split_dirs: folders of the ratings' splits, by name, for the data's digests and the served list.
      must_beat_baselines: whether a list that is surely worse than a baseline's is refused.
      pipeline: name of the pipeline whose run makes the bundle; empty where none does.
    """

    retrieval_dir: str
    ranking_dir: str
    queries_dir: str
    config: IndexConfig
    source_digest: str
    multitask_dir: str = ""
    multitask_left_out: str = ""
    data: Data = dataclasses.field(default_factory=Data)
    evaluation_dirs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    split_dirs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    must_beat_baselines: bool = True
    pipeline: str = ""

    @property
    def one_model(self) -> bool:
        """Whether the multitask model alone does what the retrieval and the ranking model do."""
        return self.retrieval_dir == self.ranking_dir

    def model_dirs(self) -> dict[str, str]:
        """Return the Trainers' model artifacts by their folders in the bundle."""
        folders = {RETRIEVAL: self.retrieval_dir, RANKING: self.ranking_dir, MULTITASK: self.multitask_dir}
        return {name: model_dir for name, model_dir in folders.items() if model_dir}

    def bundled_evaluations(self) -> dict[str, str]:
        """Return `evaluation_dirs` of the models that the bundle holds."""
        return {name: path for name, path in self.evaluation_dirs.items() if name in self.model_dirs()}

    def digests(self) -> dict[str, str]:
        """A digest per source that shapes the bundle; together they are its identity."""
        digests = {
            "index_config": manifest.digest_of(self.config.model_dump()),
            "code": self.source_digest,
            **{f"{name}_model": manifest.content_digest(path) for name, path in self.model_dirs().items()},
        }
        if not scann_operations.installed():
            # Otherwise a bundle with ScaNN's index would have the identity of the bundle without it.
            digests["index_kind"] = manifest.digest_of(scann_operations.BRUTE_FORCE)
        return digests


def with_multitask(sources: Sources, model_dir: str, blessing: Blessing) -> Sources:
    """Add the multitask model if it is blessed; otherwise note the reason why it is left out."""
    try:
        gate_blessing(MULTITASK, model_dir, blessing)
    except Refusal as refusal:
        return dataclasses.replace(sources, multitask_left_out=str(refusal))
    return dataclasses.replace(sources, multitask_dir=model_dir)


@dataclasses.dataclass(frozen=True)
class Models:
    """The Trainers' models, loaded; multitask may be absent.

    Attributes:
      retrieval, ranking, multitask: the models.
      order: how the composite orders the candidates.
    """

    retrieval: Any
    ranking: Any
    order: Order
    multitask: Any = None

    @property
    def candidates(self) -> Candidates:
        """The retrieval model's catalogue, with its own embeddings."""
        return self.order.catalogue


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A bundle of which all parts are built.

    Attributes:
      sources: artifacts and settings that it is made of.
      folder: its path.
      models: the Trainers' models, with whose answers the answers of its parts are compared.
      records: serialized ratings, which are its queries.
      figures: measured values of the index, by name.
    """

    sources: Sources
    folder: str
    models: Models
    records: Sequence[bytes]
    figures: Figures

    @property
    def depth(self) -> int:
        """Number of candidates at which recall is measured."""
        return min(self.sources.config.recall_k, len(self.models.candidates))


def build(sources: Sources, folder: str) -> Bundle:
    """Write all parts of a bundle.

    Args:
      sources: artifacts and settings.
      folder: its path; created if it does not exist.
    Raises:
      Refusal: a model, the queries or ScaNN's results cannot be used for a bundle.
    """
    records = queries.read_records(sources.queries_dir, sources.config.num_queries)
    models = _load(sources)
    copy_models(sources, folder)
    vectors.write(models.order.candidates, folder)
    figures = _add_composites(models, records, sources.config, folder)
    warmup.add_all(folder, records)
    if sources.multitask_left_out:
        progress.info("The bundle holds no multitask model: %s", sources.multitask_left_out)
        figures["multitask_left_out"] = sources.multitask_left_out
    return Bundle(sources, folder, models, records, figures)


def _load(sources: Sources) -> Models:
    """Load the Trainers' models; one object if one artifact is used for several."""
    querying = (
        *(features.QUERY_SIGNATURE, features.CANDIDATES_SIGNATURE, features.SEEN_SIGNATURE),
        features.EVAL_SIGNATURE,
    )
    rating = (features.RATING_SIGNATURE,)
    loaded: dict[str, Any] = {}

    def load(model_dir: str, name: str, needed: tuple[str, ...]) -> Any:
        if model_dir not in loaded:
            loaded[model_dir] = signatures.load(model_dir, name, (*needed, features.SERVING_SIGNATURE))
        return loaded[model_dir]

    if sources.one_model:
        load(sources.retrieval_dir, MULTITASK, querying + rating)
    retrieval = load(sources.retrieval_dir, RETRIEVAL, querying)
    ranking = load(sources.ranking_dir, RANKING, rating)
    order = Order(retrieval, ranking, sources.config.blend)
    order.diversity = _diversity(sources, order.catalogue)
    return Models(
        retrieval=retrieval,
        ranking=ranking,
        order=order,
        multitask=load(sources.multitask_dir, MULTITASK, querying + rating)
        if sources.multitask_dir
        else None,
    )


def _diversity(sources: Sources, catalogue: Candidates) -> Diversity | None:
    """Read the genres of the catalogue from train, if they are to make lists diverse.

    Raises:
      Refusal: no title has genres there.
    """
    if not (weight := sources.config.diversity):
        return None
    genres = rows.read_train(sources.split_dirs.get(features.TRAIN_SPLIT, ""), (), catalogue).genres
    if not genres.any():
        raise Refusal(f"index.diversity is {weight:g}, and no title of train has genres: set it to 0")
    return Diversity.of(weight, genres)


def copy_models(sources: Sources, folder: str) -> None:
    """Copy the Trainers' SavedModels and TFLite files without changes; quantised files may be absent.

    Raises:
      Refusal: an exact TFLite file is absent.
    """
    for name, model_dir in sources.model_dirs().items():
        shutil.copytree(signatures.serving_path(model_dir), os.path.join(folder, name))
    os.makedirs(os.path.join(folder, TFLITE))
    for name, exact in ((RETRIEVAL, features.RETRIEVAL_TFLITE), (RANKING, features.RANKING_TFLITE)):
        for file in (exact, features.quantized(exact)):
            path = os.path.join(sources.model_dirs()[name], features.TFLITE_DIR, file)
            if os.path.isfile(path):
                shutil.copyfile(path, os.path.join(folder, TFLITE, file))
            elif file == exact:
                raise Refusal(f"the {name} model holds no TFLite file at {path}")


def _add_composites(models: Models, records: Sequence[bytes], config: IndexConfig, folder: str) -> Figures:
    """Build the index, and both composites: on it, and on brute force in TensorFlow's own operations."""
    order = models.order
    index, measurement = selection.build(
        order.candidates.embeddings, order.embed(queries.parse(records)), config
    )
    figures: Figures = selection.figures(index, measurement, len(models.candidates))
    if config.diversity:
        figures["diversity"] = config.diversity
    figures["index_build"] = RECOMMEND if measurement.pays >= 1 else RECOMMEND_EXACT
    progress.info(
        "Index over %s titles (%s): recall@%d %.4f, %.2f ms a query, brute force %.2f ms: serve %s",
        f"{len(models.candidates):,}",
        index.plan.kind.replace("_", " "),
        min(config.recall_k, len(models.candidates)),
        measurement.recall,
        measurement.latency_ms,
        measurement.brute_force_latency_ms,
        figures["index_build"],
    )
    for name, search in ((RECOMMEND, index), (RECOMMEND_EXACT, index.exact)):
        composite = recommender.Recommender(order, search)
        recommender.save(composite, os.path.join(folder, name))
    return figures

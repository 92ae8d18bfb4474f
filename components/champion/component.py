"""The node that gives one Evaluator its baseline. Called by the wiring."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.common import resolver
from tfx.types import standard_artifacts

from components.champion.strategy import ChampionStrategy


def champion_resolver(challenger: types.OutputChannel, evaluator_id: str, node_id: str) -> resolver.Resolver:
    """Build the Resolver whose output `model` is the champion that the challenger has to meet.

    Both searches are scoped to one producer each: models and blessings of the other trainers are never seen.

    Args:
      challenger: output `model` of a trainer, of this run.
      evaluator_id: id of the Evaluator that judges this trainer's models. Given by name because the Evaluator
        comes after this node; its blessings of earlier runs are looked up.
      node_id: id of the node.
    Returns:
      A Resolver; `outputs["model"]` holds one model or none and goes into `Evaluator(baseline_model=...)`.
    """
    node = resolver.Resolver(
        strategy_class=ChampionStrategy,
        # Without an output key: TFX 1.16 names a resolver's inputs after producer and output key, so that a
        # full address collides with the challenger's. A trainer has one output of this type.
        model=types.Channel(
            type=standard_artifacts.Model, producer_component_id=challenger.producer_component_id
        ),
        model_blessing=types.Channel(
            type=standard_artifacts.ModelBlessing, producer_component_id=evaluator_id, output_key="blessing"
        ),
        challenger=challenger,
    )
    return node.with_id(node_id)

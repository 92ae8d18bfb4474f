"""Remove the files of a killed run before the next one starts.

TFX would not use them as outputs: an execution that is not recorded as complete is never served from the
cache, and the next one writes to folders of its own. But the files stay, and ML Metadata still records the
execution as running.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import ml_metadata as mlmd

from runners.running import record

_STATES = mlmd.proto.Execution.State


def remove(root: Path, store: mlmd.MetadataStore) -> list[str]:
    """Mark executions that are still recorded as running as failed, and remove their files.

    The caller must hold the folder's lock, so that no execution runs.

    Args:
      root: the pipeline's folder.
      store: its metadata.
    Returns:
      The ids of the nodes that were running.
    """
    # Compared here: the query language does not know names of states.
    left = [e for e in store.get_executions() if e.last_known_state in (_STATES.NEW, _STATES.RUNNING)]
    nodes = []
    for execution in left:
        node_id = record.step(store, execution.id).node_id
        for folder in root.glob(f"{node_id}/*/{execution.id}"):
            shutil.rmtree(folder)
        # Working folders of executions of this node, which finished executions do not need.
        shutil.rmtree(root / node_id / ".system", ignore_errors=True)
        execution.last_known_state = _STATES.FAILED
        nodes.append(node_id)
        logging.getLogger(__name__).info("Removed the files of %s, which was killed", node_id)
    if left:
        store.put_executions(left)
    return nodes

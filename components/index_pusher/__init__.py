"""IndexPusher: builds the retrieval index, gates what would be served, publishes it atomically."""

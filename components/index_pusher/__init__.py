"""IndexPusher: builds the retrieval index and the bundle, gates the bundle, and publishes it atomically."""

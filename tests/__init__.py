"""A package, so that tests can share helpers: `from tests import planted_models`."""

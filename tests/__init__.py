"""A package, so that tests can share helpers: `from tests.helpers import planted_models`."""

"""Times: of steps as data grows, of searches as the catalogue grows, of answers of a pushed bundle."""

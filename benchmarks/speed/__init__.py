"""How quickly: a step as data grows, a search as the catalogue grows, an answer of a pushed bundle."""

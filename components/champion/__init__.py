"""The champion: the blessed model, other than the challenger, that an Evaluator measures it against."""

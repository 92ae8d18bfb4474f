"""The champion: the latest blessed model, other than the challenger, which an Evaluator compares with it."""

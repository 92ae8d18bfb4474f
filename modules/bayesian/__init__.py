"""The ranking model of head `bayesian`: a factorisation machine sampled from its posterior."""

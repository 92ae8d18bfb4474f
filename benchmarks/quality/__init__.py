"""How good the models are: beside the baselines, under every protocol, with other values, week by week."""

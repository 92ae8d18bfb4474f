"""Quality of the models: compared with baselines, under every protocol, with other values, week by week."""

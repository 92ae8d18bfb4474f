"""The baselines: popularity, biases, and the models of implicit, surprise and myfm."""

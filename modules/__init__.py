"""What is learned: features, preprocessing, towers, models and their serving signatures.

Shipped to the workers. Here are the models and their contract with other packages (features, hyperparameters,
search_space); data/, bayesian/, evaluation/, export/ and tuners/ hold what the models are made of.
"""

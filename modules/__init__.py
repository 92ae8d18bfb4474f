"""The models: features, preprocessing, towers, training and serving signatures.

Shipped to the workers. Here are the models and their contract with other packages (features, hyperparameters,
search_space); towers/, data/, bayesian/, evaluation/, export/ and tuners/ hold their parts.
"""

"""What is learned: features, preprocessing, towers, models and their serving signatures.

Shipped to the workers; never imports `pipeline` or `components`.
"""

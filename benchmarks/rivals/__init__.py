"""What the models are set beside: popularity, biases, and the models of implicit, surprise and myfm."""

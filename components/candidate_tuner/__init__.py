"""The Tuner of models that take the candidates as an input of their own."""

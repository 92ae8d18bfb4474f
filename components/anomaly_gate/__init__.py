"""AnomalyGate: the step behind which all data agrees with its schema."""

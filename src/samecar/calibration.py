"""Which similarity means the same vehicle: probabilities and thresholds, learned from held-out vehicles."""

"""Whether the model hears: blocks of a scorecard about conditions, claims, pairs and words."""

"""Every graph learner and recommender by name."""

"""Learn, train, evaluate and recommend on a user's own data."""

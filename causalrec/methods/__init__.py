"""The recommenders by name, the one recipe that trains them, and a trained one as files."""

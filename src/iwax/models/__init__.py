"""Models: pairs of a generative and an inference density. They know nothing of objectives."""

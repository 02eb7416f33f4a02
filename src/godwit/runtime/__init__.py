"""The only doors to the wall clock, chance and the environment."""

"""Choosing hyperparameters: scales to draw them from, searches, the learning-rate finder, and pictures of all of it."""

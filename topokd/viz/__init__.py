"""Views of clouds, diagrams, training and results."""

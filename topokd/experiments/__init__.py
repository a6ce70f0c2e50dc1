"""What the paper measures: costs, agreement of engines, Proposition 1, panels of other data sets."""

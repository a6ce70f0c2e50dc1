"""Run the notebooks: one at a time (what a DVC stage does), or a whole profile on all cores."""

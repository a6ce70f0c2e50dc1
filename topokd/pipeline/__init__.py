"""Run the notebooks: one at a time (in a DVC stage), or a whole profile on all cores."""

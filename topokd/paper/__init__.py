"""The exhibits of the paper: reported values, our measurements, and the report that shows both."""

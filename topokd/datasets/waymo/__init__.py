"""The Waymo Open Dataset."""

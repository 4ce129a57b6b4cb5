"""minires."""

"""Where concept pairs come from."""

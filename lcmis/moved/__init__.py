"""Names of the first edition that people import; each says where the thing lives now."""

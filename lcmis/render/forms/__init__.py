"""Forms in which models come: folders, single files, variants; and what is no model."""

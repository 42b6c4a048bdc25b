"""Forms in which models come: folders, single files, variants, quantised; and what is not a model."""

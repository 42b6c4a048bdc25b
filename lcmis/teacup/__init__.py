"""The miniature world: a renderer whose truth is known, and small models that learned from it."""

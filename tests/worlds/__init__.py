"""Toys, tiny models and small stores: what tests are made of."""

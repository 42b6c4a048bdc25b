"""Audits text-to-image models for latent concept misalignment."""

__version__ = "0.1.0"

"""Simulated relationships with a known latent process. Nothing here knows the service that is evaluated."""

"""Unit tests of sign-in."""

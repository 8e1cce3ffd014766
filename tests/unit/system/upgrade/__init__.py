"""Unit tests of the upgrade test."""

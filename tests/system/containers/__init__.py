"""Tests of the containers: build, start, use, outages, backup and restore with docker compose."""

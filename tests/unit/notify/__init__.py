"""Unit tests of the notify service: alerts, routing, metrics and pages, without any server."""

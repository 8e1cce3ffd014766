"""Policies as files, and the commands that compare and calibrate them."""

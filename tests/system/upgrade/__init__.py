"""The upgrade test: today's code starts on data that commit 2d82b9e recorded, finishes its work, and loses nothing."""

"""Upgrade test: the current code starts on data that commit 2d82b9e recorded, and loses nothing.

The recorder ran on that commit; `git log --diff-filter=D -- tests/system/upgrade/recorder` finds it.
"""

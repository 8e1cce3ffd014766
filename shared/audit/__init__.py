"""The audit: who read or changed what of whom, in chains that show whether a line was removed or changed."""

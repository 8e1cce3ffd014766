"""Tools for engineers: a sandbox to run Attune in, and the documents that are generated from its code."""

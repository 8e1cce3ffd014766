"""What intake must remember: what a store promises (`protocol.py`), in MongoDB and in memory."""

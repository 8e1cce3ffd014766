"""The clinic of documents that an older version stored without one: filled in from the topic of intake."""

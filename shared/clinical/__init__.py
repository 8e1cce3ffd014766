"""Clinical content: instruments, evidence in words, and how a conversation about it can begin."""

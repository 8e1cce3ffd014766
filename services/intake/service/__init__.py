"""The use cases of intake: people, relationships and caseload imports."""

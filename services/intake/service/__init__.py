"""The use cases of intake: people, staff, relationships and caseload imports."""

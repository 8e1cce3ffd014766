"""Operations test: monitor a running Attune, cause outages, and check that the right alerts fire and resolve."""

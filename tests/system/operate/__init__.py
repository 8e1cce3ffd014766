"""Operating, seen for real: a running Attune is watched, broken and mended, and the right alerts come and go."""

"""The naive loop: the plain loop with batches of one event."""

from bench.implementations.plain_loop import main

if __name__ == "__main__":
    main(1)

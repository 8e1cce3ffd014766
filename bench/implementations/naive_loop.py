"""The naive loop: the plain one, with one event at a time."""

from bench.implementations.plain_loop import main

if __name__ == "__main__":
    main(1)

"""How the fixture was made: it runs on the code of commit 2d82b9e, and no test runs it."""

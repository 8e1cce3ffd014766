"""The installer says what pip did."""

from tools.install import summarize

PIP_OUTPUT = """\
Collecting aiokafka==0.14.0 (from -r deploy/lock/demo.txt (line 1))
  Downloading aiokafka-0.14.0-cp311-cp311-manylinux2014_x86_64.whl.metadata (7.5 kB)
Collecting rich==15.0.0 (from -r deploy/lock/demo.txt (line 900))
  Using cached rich-15.0.0-py3-none-any.whl (310 kB)
Downloading aiokafka-0.14.0-cp311-cp311-manylinux2014_x86_64.whl (1.1 MB)
Downloading tiny-1.0-py3-none-any.whl (500 bytes)
Installing collected packages: rich, tiny, aiokafka
Successfully installed aiokafka-0.14.0 rich-15.0.0 tiny-1.0
"""


def test_the_installed_packages_are_counted_and_the_downloaded_bytes_added_up() -> None:
    assert summarize(PIP_OUTPUT) == "3 packages, 1.1 MB downloaded,"


def test_what_is_installed_already_counts_as_nothing() -> None:
    assert summarize("Requirement already satisfied: rich==15.0.0\n") == "0 packages, 0.0 MB downloaded,"

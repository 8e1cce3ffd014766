"""Logs: one JSON object per line, with ids and without clinical content."""

import logging
import sys
import traceback
from collections.abc import Iterator

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from shared.errors import describe


def configure_logging(service: str, level: str) -> None:
    """Write our own logs and those of the libraries to standard output, in one format."""
    shared_processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_service_name(service),
    ]
    structlog.configure(
        processors=[*shared_processors, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                *shared_processors,
                structlog.stdlib.PositionalArgumentsFormatter(),
                _drop_reprs_of_asyncio,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(_format_exception),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy_logger in ("aiokafka", "faststream", "pymongo"):  # 100,000s of lines while a broker is unavailable
        logging.getLogger(noisy_logger).setLevel(logging.CRITICAL)
    for http_logger in ("httpx2", "httpcore2"):  # their lines contain webhook URLs, which are secrets
        logging.getLogger(http_logger).setLevel(logging.WARNING)
    for library_logger in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(library_logger).handlers = []
        # The lines of uvicorn.access contain links, which are secrets.
        logging.getLogger(library_logger).propagate = library_logger != "uvicorn.access"


def _format_exception(exc_info: ExcInfo) -> str:
    """Where an error and its causes were raised. The texts that a usual traceback has may hold values."""
    return "\n".join(_format_chain(exc_info[1]))


def _format_chain(error: BaseException) -> Iterator[str]:
    """The error that was caught, then each that it came from, and what each of a group's errors came from."""
    yield from (line.rstrip() for line in traceback.format_tb(error.__traceback__))
    yield describe(error)
    for inner in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield "Of this group:"
        yield from _format_chain(inner)
    origin = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if origin is not None:
        yield "Caused by:"
        yield from _format_chain(origin)


def _drop_reprs_of_asyncio(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Keep the first line of what asyncio logs: the others are the reprs of a task, its result or its error."""
    if event["_record"].name == "asyncio":
        event["event"] = str(event["event"]).partition("\n")[0]
    return event


def _add_service_name(service: str) -> Processor:
    def add_service_name(_logger: object, _method: str, event: EventDict) -> EventDict:
        return {"service": service, **event}

    return add_service_name

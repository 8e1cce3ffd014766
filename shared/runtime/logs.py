"""Logs: one JSON object per line, with ids and without clinical content."""

import logging
import sys

import structlog


def configure_logging(service: str, level: str) -> None:
    """Write our own logs and those of the libraries to standard output, in one format."""
    shared_processors: list[structlog.typing.Processor] = [
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
            foreign_pre_chain=[*shared_processors, structlog.stdlib.PositionalArgumentsFormatter()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
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


def _add_service_name(service: str) -> structlog.typing.Processor:
    def add_service_name(
        _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        return {"service": service, **event}

    return add_service_name

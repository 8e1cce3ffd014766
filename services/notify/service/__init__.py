"""The use cases: what clinicians see and do, the removal of what is past retention, and clinics of old documents."""

from services.notify.service.inbox import MAX_PAGE_ALERTS, InboxAlert, InboxService, InboxView
from services.notify.service.retention import Retention, RetentionService

__all__ = ["MAX_PAGE_ALERTS", "InboxAlert", "InboxService", "InboxView", "Retention", "RetentionService"]

"""This module opens a deployment for a suite, and says why a suite cannot be asked of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from cj_pipeline.contracts.enums import QueueProcessingMode
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.runs.remote import Deployed, Deployment, ServiceUnreachable, deployed


class NotApplicable(CjPipelineError):
    """Why a suite proves nothing about this deployment."""


@asynccontextmanager
async def opened(deployment: Deployment, mode: str, strategy: QueueProcessingMode) -> AsyncIterator[Deployed]:
    """Yield the deployment where it mocks in this mode and works its queue so. Raises NotApplicable."""
    notices: list[str] = []
    try:
        async with deployed(replace(deployment, notice=notices.append), load_mode(mode), strategy) as found:
            if notices:
                raise NotApplicable(notices[0])
            yield found
    except (BadInput, ServiceUnreachable) as error:
        raise NotApplicable(str(error)) from None

"""The composition root: reads the settings, builds everything, owns start-up and shutdown.

Start-up: migrations, default organisation, engines, sessions that an earlier process left. Shutdown: no new work, 1001
to open streams with what was said until then transcribed, then engines and store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from kallglot import VERSION, health, metrics, secrets
from kallglot.accounts.policy import Retention
from kallglot.analysis.analyst import Analyst
from kallglot.analysis.profiles import load as load_profiles
from kallglot.api.server import ApiServices, create_api
from kallglot.billing.keeper import PeriodKeeper
from kallglot.billing.stripe import StripeHook, open_stripe
from kallglot.carriers.addresses import Addresses
from kallglot.carriers.desk import open_desk
from kallglot.carriers.instructions import Instructions
from kallglot.carriers.reception import Reception
from kallglot.clock import Clock
from kallglot.deployment import Deployment, open_store
from kallglot.legs import asyncapi
from kallglot.legs.door import StreamDoor
from kallglot.observer import Observer
from kallglot.privacy.retention import Keeper
from kallglot.recording.recorder import Recorder
from kallglot.recording.shelf import open_shelf
from kallglot.runner import Runner
from kallglot.session.saturation import Saturation, Thresholds
from kallglot.session.switchboard import Limits, Switchboard
from kallglot.session.tokens import StreamTokens
from kallglot.settings import Settings
from kallglot.speech.counted import CountedEngines
from kallglot.speech.failover.chosen import EnginesSeen, Failover
from kallglot.speech.registry import EngineRegistry, build_registry
from kallglot.store import (
    Scrubber,
    SqlAnalysisQueue,
    SqlCalls,
    SqlDeliveries,
    SqlExpiry,
    SqlFigures,
    SqlJournal,
    SqlRecordingLedger,
    in_words,
)
from kallglot.webhooks.addresses import networks
from kallglot.webhooks.client import SafeClient
from kallglot.webhooks.courier import Courier

if TYPE_CHECKING:
    from kallglot.analysis.llm import ChatModel

log = logging.getLogger(__name__)

PURGE_SECONDS = 3600
PATIENCE_SECONDS = 5.0
"""For the database to answer whether it is there."""
IDEMPOTENCY_KEPT = timedelta(days=1)


def stripe_hook(settings: Settings) -> StripeHook | None:
    """Raises :class:`kallglot.billing.stripe.PaymentsUnavailable`."""
    secret = settings.stripe_webhook_secret
    return open_stripe(None if secret is None else secret.get_secret_value(), settings.stripe_plans)


def language_model(settings: Settings, clock: Clock) -> ChatModel | None:
    if settings.llm_url is None or settings.llm_model is None:
        return None
    from kallglot.analysis.llm import ChatModel

    key = None if settings.llm_api_key is None else settings.llm_api_key.get_secret_value()
    return ChatModel(settings.llm_url, settings.llm_model, key or None, clock, timeout_s=settings.llm_timeout_seconds)


class Node:
    """A running server: the deployment's store, the engines, the sessions and the doors to them."""

    def __init__(
        self,
        deployment: Deployment,
        journal: SqlJournal,
        registry: EngineRegistry,
        recorder: Recorder,
        observer: Observer,
    ) -> None:
        settings = deployment.settings
        self._deployment = deployment
        self._registry = registry
        self._closing = False
        limits = Limits(settings.reconnect_seconds, settings.idle_seconds, settings.max_connections_per_session)
        self._recorder = recorder
        self._observer = observer
        engines = CountedEngines(registry)
        failover = Failover(engines, time.monotonic)
        self.switchboard = Switchboard(
            journal,
            failover.chosen(None),
            deployment.clock,
            limits,
            recorder=recorder,
            tell=observer.work,
            turn=observer.turn,
            choose=lambda session: failover.chosen(session.engines),
            saturation=Saturation(Thresholds(settings.overload_lag_ms, settings.overload_busy)),
        )
        tokens = StreamTokens(secrets.derive(deployment.master, "stream tokens"), deployment.clock)
        calls = SqlCalls(deployment.store.database, deployment.store.cipher)
        self._runner = Runner(settings.data_dir)
        reception = Reception(calls, journal, deployment.clock, settings.stream_base_url, self._runner.name)
        self.door = StreamDoor(self.switchboard, tokens, deployment.clock, reception)
        self._desk = open_desk(
            calls,
            self.switchboard,
            self.door,
            tokens,
            Addresses(settings.base_url, settings.stream_base_url),
            deployment.clock,
            twilio_url=settings.twilio_api_url,
            telnyx_url=settings.telnyx_api_url,
            observe=observer.work,
        )
        reception.lost = self._desk.stream_lost
        self._asking = SafeClient(networks(settings.webhook_allowed_networks))
        self._delivering = SafeClient(networks(settings.webhook_allowed_networks))
        database = deployment.store.database
        self._deliveries = SqlDeliveries(database, deployment.store.cipher)
        self.courier = Courier(
            self._deliveries,
            self._delivering,
            deployment.clock,
            self._runner.name,
            observe=observer.work,
        )
        database.on_deliveries = self.courier.wake
        self._profiles = load_profiles(settings.analysis_profiles)
        self.analyst = Analyst(
            SqlAnalysisQueue(database),
            self._profiles,
            deployment.clock,
            self._runner.name,
            engine=language_model(settings, deployment.clock),
            observe=observer.work,
        )
        observer.looks_at(
            metrics.Sources(
                self.switchboard,
                self.door,
                EnginesSeen(registry, failover),
                engines,
                journal,
                database.writes,
                recorder,
                self.courier,
                observer.stored,
                health.Folder(0, 0),
                observer.lags,
                observer.requests,
                observer.works,
                observer.traces,
            )
        )
        self.api = self._api(tokens)

    def _api(self, tokens: StreamTokens) -> FastAPI:
        settings = self._deployment.settings
        api = create_api(
            ApiServices(
                store=self._deployment.store,
                sessions=self.switchboard,
                languages=self._registry,
                recordings=self._recorder,
                exchange=self._desk.exchange,
                stripe=stripe_hook(settings),
                instructions=Instructions(self._asking, self._deployment.clock, self._deliveries.organization_secrets),
                analysis_profiles=self._profiles,
                wake_analyst=self.analyst.wake,
                webhook_networks=networks(settings.webhook_allowed_networks),
                clock=self._deployment.clock,
                process=self._runner.name,
                tokens=tokens,
                base_url=settings.base_url,
                stream_base_url=settings.stream_base_url,
                max_body_bytes=settings.max_body_bytes,
                never_connected_seconds=settings.never_connected_seconds,
                readiness=lambda: self._observer.verdict.problems,
                warnings=lambda: self._observer.verdict.warnings,
                watch=self._observer.watch,
                admission=self._admission,
            )
        )
        described = asyncapi.document(settings.stream_base_url, VERSION)

        async def asyncapi_document() -> JSONResponse:
            return JSONResponse(described)

        api.add_api_route("/asyncapi.json", asyncapi_document, include_in_schema=False)
        token = settings.metrics_token
        metrics.install(api, self._observer.page, None if token is None else token.get_secret_value())
        return api

    def _admission(self) -> int | None:
        """Seconds after which to try again while another call would be heard by those that there are."""
        return 5 if self.switchboard.refuses_sessions() else None

    async def start(self) -> None:
        async with self._deployment.store.write() as unit:
            await unit.idempotency.abandon(self._runner.name)
        await self.switchboard.start()
        await self.courier.start()
        await self.analyst.start()
        self._desk.back(self._runner.name)
        self._observer.verdict = await self._observer.look(None)

    async def watch(self) -> None:
        """Keeps readiness true to the database and the engines."""
        store = self._deployment.store
        while True:
            problem: str | None = None
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await store.ping()
            except Exception as error:
                problem = in_words(error)
                log.warning("%s (%s)", problem, type(error).__name__)
            try:
                verdict = await self._observer.look(problem)
            except Exception:
                log.exception("health could not be looked at")
                verdict = health.Verdict(problems=("the server's health could not be looked at",))
            if verdict != self._observer.verdict and not self._closing:
                self._observer.verdict = verdict
                for words in (*verdict.problems, *verdict.warnings):
                    log.warning("health: %s", words)
            await asyncio.sleep(5)

    async def purge(self) -> None:
        """Keeps old idempotency answers from piling up. Not within :meth:`watch`, which has to see a database that
        freezes in the middle of this."""
        while True:
            try:
                async with self._deployment.store.write() as unit:
                    await unit.idempotency.purge(self._deployment.clock.now() - IDEMPOTENCY_KEPT)
            except Exception as error:
                log.warning("old idempotency answers were not purged: %s", type(error).__name__)
            await asyncio.sleep(PURGE_SECONDS)

    async def close(self) -> None:
        self._closing = True
        self._observer.verdict = health.Verdict(problems=("shutting down",))
        # Both wait for others for some seconds, and there are ten in all.
        await asyncio.gather(self._close_calls(), self.courier.close(), self.analyst.close())
        await self._delivering.close()
        self._runner.close()

    async def _close_calls(self) -> None:
        await self._desk.close()
        await self.switchboard.close()
        await self.door.close()
        await self._asking.close()


@asynccontextmanager
async def running(settings: Settings) -> AsyncGenerator[tuple[Node, Deployment]]:
    async with AsyncExitStack() as stack:
        deployment = await stack.enter_async_context(open_store(settings))
        journal = SqlJournal(deployment.store)
        await journal.start()
        stack.push_async_callback(journal.close)
        registry = build_registry(
            recognition_processes=settings.recognition_processes,
            scripted=settings.scripted_engines,
            models_dir=settings.models_folder,
            engines=settings.engines,
        )
        await registry.start()
        stack.push_async_callback(registry.close)
        figures = SqlFigures(deployment.store.database, deployment.clock)
        observer = Observer(settings, deployment.clock, figures, VERSION)
        stack.push_async_callback(observer.close)
        recorder = Recorder(
            SqlRecordingLedger(deployment.store.database, deployment.clock),
            open_shelf(settings.recording_store, settings.data_dir / "recordings" / "shelf"),
            settings.data_dir / "recordings",
            deployment.clock,
            retention_days=settings.recording_retention_days,
            observe=observer.work,
        )
        await recorder.start()
        stack.push_async_callback(recorder.close)
        node = Node(deployment, journal, registry, recorder, observer)
        stack.push_async_callback(node.close)
        await node.start()
        default = Retention(
            settings.transcript_retention_days, settings.recording_retention_days, settings.event_retention_days
        )
        chores = {
            "periods": PeriodKeeper(deployment.store, deployment.clock).run(),
            "retention": Keeper(SqlExpiry(deployment.store.database), default, deployment.clock).run(),
            "scrubbing": Scrubber(deployment.store.database).run(),
            "watch": node.watch(),
            "purge": node.purge(),
        }
        stack.push_async_callback(_stop, [asyncio.create_task(work, name=name) for name, work in chores.items()])
        yield node, deployment


async def _stop(chores: Sequence[asyncio.Task[None]]) -> None:
    for chore in chores:
        chore.cancel()
    await asyncio.gather(*chores, return_exceptions=True)

"""An open caller: this process's owner in the ledger, its threads, providers and gates, closed in order.

Order of closing: stop sending, commit what was answered, give the claims back, then close connections.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

from llm_jobs.clock import Clock
from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.engine.caller import Caller
from llm_jobs.engine.gates import ModelGate
from llm_jobs.engine.hands import Hand
from llm_jobs.engine.health import Health
from llm_jobs.engine.interpreter import tuned
from llm_jobs.engine.recorder import Recorder
from llm_jobs.events import Listener, ModelCooled
from llm_jobs.ledger.base import Ledger, OwnerIdentity
from llm_jobs.providers.base import Provider

OpenProvider = Callable[[str], Provider]
OpenGate = Callable[[ModelRef, Executor], ModelGate]


class Session:
    """Providers by kind and gates by model, opened when first asked for; shared by all jobs of the process."""

    def __init__(
        self,
        caller: Caller,
        recorder: Recorder,
        open_provider: OpenProvider,
        open_gate: OpenGate,
        quotas: Executor,
        emit: Listener,
    ) -> None:
        """`quotas`: the thread that speaks to the store of the quotas."""
        self.caller = caller
        self.recorder = recorder
        self.health = Health(lambda model, seconds: emit(ModelCooled(model, seconds, "it failed too often")))
        self._quotas = quotas
        self._open_provider = open_provider
        self._open_gate = open_gate
        self._providers: dict[str, Provider] = {}
        self._gates: dict[str, ModelGate] = {}

    def provider(self, kind: str) -> Provider:
        if kind not in self._providers:
            self._providers[kind] = self._open_provider(kind)
        return self._providers[kind]

    def gate(self, model: ModelRef) -> ModelGate:
        if model.name not in self._gates:
            self._gates[model.name] = self._open_gate(model, self._quotas)
        return self._gates[model.name]

    def calls_at_once(self) -> dict[str, int]:
        """By model, as many calls as it was found to bear up to now."""
        gates = list(self._gates.items())
        return {name: gate.adaptive.limit for name, gate in gates if gate.adaptive is not None}

    async def aclose(self) -> None:
        """Stop sending, commit, give back: in this order."""
        async with AsyncExitStack() as closing:  # each is closed, whatever the one before raised
            for provider in self._providers.values():
                closing.push_async_callback(provider.aclose)
            for gate in self._gates.values():
                closing.push_async_callback(gate.aclose)
            closing.push_async_callback(self.recorder.aclose)
            closing.push_async_callback(self.caller.aclose)


@asynccontextmanager
async def open_session(
    *,
    ledger: Ledger,
    owner: OwnerIdentity,
    open_provider: OpenProvider,
    open_gate: OpenGate,
    clock: Clock,
    random: Random,
    emit: Listener,
) -> AsyncIterator[Session]:
    """A session in the running loop. On leaving, answers that came are recorded and claims given back."""
    with (
        Hand("ledger-writer") as writer,
        Hand("ledger-reader") as reader,
        Hand("quotas") as quotas,
        tuned(),
    ):
        recorder = Recorder(ledger, ledger.open_owner(owner), writer=writer, reader=reader)
        caller = Caller(recorder, clock=clock, random=random, emit=emit)
        session = Session(caller, recorder, open_provider, open_gate, quotas, emit)
        try:
            yield session
        finally:
            await session.aclose()

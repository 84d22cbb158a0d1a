"""Enclaves that die under load: clients go on with the next one, and nothing is executed twice."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING

import httpx

from chain import gateway, outer
from enclave import BOOTS_LIMIT, Enclave
from harness import Context, Failed, Link, check, equal, fetch

if TYPE_CHECKING:
    from run import Suite

WORKERS = 8
RESTARTS = 2
# Executed before and after each restart.
EACH = 60
LIMIT = 100.0
# After a failure, in seconds.
PAUSE = 0.5
EXECUTED = re.compile(r"example-app: executed ([0-9a-f]{32})\b")


def run(context: Context, suite: Suite) -> None:
    enclave = Enclave(context, suite.tools, suite.image)
    context.step("boot", enclave.boot, BOOTS_LIMIT)
    way = outer(context, enclave)
    link = gateway(context, enclave, way)
    load = Load(link)
    try:
        context.step("load", lambda: load.more(EACH), LIMIT)
        for number in range(1, RESTARTS + 1):
            context.step(f"restart {number}", lambda: restart(enclave), BOOTS_LIMIT)
            context.step(f"clients go on after restart {number}", lambda: load.more(EACH), LIMIT)
    finally:
        load.stop()
    context.step("nothing twice", lambda: evaluate(enclave, link, load))


def restart(enclave: Enclave) -> str:
    enclave.kill()
    return enclave.boot()


class Load:
    """Workers that post ids, each once, and read in between."""

    def __init__(self, link: Link) -> None:
        self.link = link
        # By id: the status, or what went wrong.
        self.posted: dict[str, str] = {}
        self.read: Counter[str] = Counter()
        self._stopped = threading.Event()
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(WORKERS)]
        for worker in self._workers:
            worker.start()

    def _work(self) -> None:
        with httpx.Client(trust_env=False, timeout=20) as client:
            while not self._stopped.is_set():
                name = uuid.uuid4().hex
                self.posted[name] = self._outcome(client, "POST", "/count", name)
                if self.posted[name] == "200":
                    self.read[self._outcome(client, "GET", "/bytes/1000")] += 1
                else:
                    # What they would take of the machine the next enclave needs to boot.
                    time.sleep(PAUSE)

    def _outcome(self, client: httpx.Client, method: str, path: str, body: str = "") -> str:
        try:
            answer = client.request(method, self.link.url(path), content=body)
        except httpx.HTTPError as error:
            return type(error).__name__
        return " ".join([str(answer.status_code), answer.headers.get("steve-gateway", "")]).strip()

    def answered(self) -> set[str]:
        return {name for name, outcome in list(self.posted.items()) if outcome == "200"}

    def more(self, count: int) -> str:
        began, before = time.monotonic(), len(self.answered())
        while (now := len(self.answered())) < before + count:
            if not any(worker.is_alive() for worker in self._workers):
                raise Failed("no worker is left")
            time.sleep(0.05)
        return f"{now - before} more answered in {time.monotonic() - began:.1f} s"

    def stop(self) -> None:
        self._stopped.set()
        for worker in self._workers:
            worker.join(30)


def evaluate(enclave: Enclave, link: Link, load: Load) -> str:
    """The consoles say what was executed, those of dead enclaves too."""
    executed: Counter[str] = Counter()
    for console in enclave.consoles:
        executed.update(EXECUTED.findall(console.read_text(errors="replace")))
    twice = {name: (count, load.posted[name]) for name, count in executed.items() if count > 1}
    equal(twice, {}, "executed more than once")
    equal(set(executed) - set(load.posted), set(), "executed, never posted")
    # What the last enclave has executed it says itself.
    last = json.loads(fetch(link.url("/count")).body)
    equal(set(last.values()), {1}, "how often the last enclave executed an id")
    check(set(last) <= set(executed), "the console does not say all that was executed")
    unsure = [name for name in executed if load.posted[name] != "200"]
    outcomes = dict(Counter(load.posted.values()).most_common())
    return f"posted: {outcomes}; executed once: {len(executed)}, {len(unsure)} of them with an error; read: {dict(load.read)}"

"""Which enclaves a client accepts, and what it says about them."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import tempfile
import unittest
from base64 import b64encode
from datetime import datetime, timedelta, timezone
from pathlib import Path

import steve
from steve import errors
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support import PROFILE, App, Proxy

OTHER = {**PROFILE, "PCR0": "ab" * 48}


class Owner:
    """Signs policies as minisign does."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self._id = os.urandom(8)
        self.public_key = b64encode(b"Ed" + self._id + self._key.public_key().public_bytes_raw()).decode()

    def policy(self, version: int, profile: dict[str, str]) -> tuple[bytes, bytes]:
        """A policy file for the next hour, and its signature file."""
        end = datetime.now(timezone.utc) + timedelta(hours=1)
        policy = {
            "steve_policy": 1,
            "namespace": "app.example.com",
            "version": version,
            "expires": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "profiles": [{"label": "test", "pcrs": profile}],
        }
        file, comment = json.dumps(policy).encode(), b"test"
        signature = self._key.sign(hashlib.blake2b(file).digest())
        lines = [
            b"untrusted comment: test",
            b64encode(b"ED" + self._id + signature),
            b"trusted comment: " + comment,
            b64encode(self._key.sign(signature + comment)),
        ]
        return file, b"\n".join(lines) + b"\n"


class Policies(unittest.IsolatedAsyncioTestCase):
    app: App
    proxy: Proxy

    @classmethod
    def setUpClass(cls) -> None:
        cls.app = App()
        cls.addClassCleanup(cls.app.stop)
        cls.proxy = Proxy(cls.app)
        cls.addClassCleanup(cls.proxy.stop)

    async def test_the_report(self) -> None:
        async with self.proxy.client() as client:
            enclave = await client.verify()
        self.assertEqual({f"PCR{pcr.index}": pcr.value for pcr in enclave.pcrs[:3]}, PROFILE)
        outcomes = {check.name: check.outcome for check in enclave.report.checks}
        self.assertEqual(len(outcomes), 14)
        self.assertEqual(set(outcomes.values()), {steve.Outcome.PASSED})
        self.assertTrue(all(check.requirement for check in enclave.report.checks))
        self.assertIn("that this is a Nitro enclave: the trust anchor is not AWS's", enclave.report.not_proven)
        self.assertIn("\nNot proven:\n", enclave.report.text)
        self.assertEqual(len(enclave.instance), 16)
        self.assertGreater(enclave.valid_until_ms, enclave.timestamp_ms)
        self.assertIn("PCR0", enclave.trust)

    async def test_other_measurements_are_refused_with_the_difference(self) -> None:
        async with self.proxy.client(steve.Policy.pinned(json.dumps([OTHER, {**OTHER, "PCR1": "cd" * 48}]))) as client:
            with self.assertRaises(errors.Refused) as raised:
                await client.get("/head")
        error = raised.exception
        self.assertEqual((error.code, error.stage), ("evidence-policy", steve.Stage.EVIDENCE))
        differences = [(at.profile, at.index, at.expected, at.found) for at in error.differences]
        first = (0, 0, "ab" * 48, PROFILE["PCR0"])
        self.assertEqual(differences, [first, (1, *first[1:]), (1, 1, "cd" * 48, PROFILE["PCR1"])])
        failed = [check.name for check in error.report.checks if check.outcome == steve.Outcome.FAILED]
        self.assertEqual(failed, ["policy"])
        self.assertIn("ab" * 48, str(error))
        self.assertEqual(self.app.counts["/head"], 0)

    async def test_awss_root_is_the_default(self) -> None:
        async with steve.Client(self.proxy.origin, steve.Policy.pinned(json.dumps(PROFILE))) as client:
            with self.assertRaises(errors.Refused) as raised:
                await client.verify()
        self.assertEqual(raised.exception.code, "evidence-root")
        self.assertEqual(raised.exception.differences, [])

    async def test_the_policy_of_a_client_can_be_replaced(self) -> None:
        async with self.proxy.client() as client:
            await client.verify()
            client.update_policy(steve.Policy.pinned(json.dumps(OTHER)))
            with self.assertRaises(errors.Refused):
                await client.get("/nothing")

    async def test_trust_on_first_use(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "pins.json"
            policy = steve.Policy.trust_on_first_use(str(file))
            async with self.proxy.client(policy) as client:
                enclave = await client.verify()
                self.assertIn("it was met for the first time", enclave.report.text)
                self.assertIn("same as first seen", (await client.verify()).trust)
            # As if another image had been met there before.
            pins = json.loads(file.read_text())
            pins["pins"][self.proxy.origin]["pcrs"]["0"] = "ab" * 48
            file.write_text(json.dumps(pins))
            async with self.proxy.client(steve.Policy.trust_on_first_use(str(file))) as client:
                with self.assertRaises(errors.Refused) as raised:
                    await client.get("/nothing")
                self.assertEqual(raised.exception.code, "evidence-policy")
                [difference] = raised.exception.differences
                self.assertEqual((difference.expected, difference.found), ("ab" * 48, PROFILE["PCR0"]))
            file.write_text("damaged")
            async with self.proxy.client(steve.Policy.trust_on_first_use(str(file))) as client:
                with self.assertRaises(errors.Refused) as raised:
                    await client.get("/nothing")
                self.assertEqual(raised.exception.code, "pin-store")

    async def test_a_signed_policy(self) -> None:
        owner = Owner()
        with tempfile.TemporaryDirectory() as directory:
            store = Path(directory) / "versions.json"
            loader = steve.PolicyLoader([owner.public_key], "app.example.com", str(store))
            async with self.proxy.client(loader.load(*owner.policy(2, PROFILE))) as client:
                enclave = await client.verify()
                self.assertIn("that there is no newer policy", enclave.report.text)
                client.update_policy(loader.load(*owner.policy(3, OTHER)))
                with self.assertRaises(errors.Refused) as raised:
                    await client.verify()
                self.assertEqual([at.found for at in raised.exception.differences], [PROFILE["PCR0"]])
            file, signature = owner.policy(4, PROFILE)
            strangers = owner.policy(4, PROFILE)[0], Owner().policy(4, PROFILE)[1]
            again = steve.PolicyLoader([owner.public_key], "app.example.com", str(store))
            for refused in [(file + b" ", signature), strangers, owner.policy(2, PROFILE)]:
                with self.assertRaises(errors.Invalid) as invalid:
                    again.load(*refused)
                error = invalid.exception
                self.assertEqual((error.code, error.stage), ("invalid-policy", steve.Stage.SETUP))
            with self.assertRaises(errors.Invalid):
                steve.PolicyLoader([owner.public_key], "app.example.com", minimum_version=5).load(file, signature)
            again.load(file, signature)

    def test_what_is_no_policy_and_no_client(self) -> None:
        for text in ["", "{}", "[]", '{"PCR0": "00"}', json.dumps({**PROFILE, "PCR0": "00" * 48})]:
            with self.assertRaises(errors.Invalid) as raised:
                steve.Policy.pinned(text)
            self.assertEqual(raised.exception.code, "invalid-policy", text)
        policy = steve.Policy.pinned(json.dumps(PROFILE))
        with self.assertRaises(TypeError):
            steve.Client(self.proxy.origin)  # type: ignore[call-arg]
        for origin, options in [
            ("ftp://app.example.com", steve.ClientOptions()),
            ("https://app.example.com/path", steve.ClientOptions()),
            ("https://app.example.com", steve.ClientOptions(suites=["rot13"])),
            ("https://app.example.com", steve.ClientOptions(suites=[])),
            ("https://app.example.com", steve.ClientOptions(padding="much")),
            ("https://app.example.com", steve.ClientOptions(tls_roots=[b"no certificate"])),
        ]:
            with self.assertRaises(errors.Invalid) as raised:
                steve.Client(origin, policy, options)
            self.assertEqual(raised.exception.code, "invalid-options", (origin, options))

    async def test_nobody_there(self) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            origin = f"http://127.0.0.1:{bound.getsockname()[1]}"
            async with steve.Client(origin, steve.Policy.pinned(json.dumps(PROFILE))) as client:
                with self.assertRaises(errors.Transport) as raised:
                    await client.verify()
        self.assertEqual((raised.exception.code, raised.exception.stage), ("transport", steve.Stage.EVIDENCE))

    def test_it_is_the_wheel(self) -> None:
        installed = Path(steve.__file__).resolve()
        self.assertIn("site-packages", installed.parts)
        self.assertTrue((installed.parent / "py.typed").exists())
        self.assertNotIn("PYTHONPATH", os.environ)


if __name__ == "__main__":
    unittest.main()

"""`steve doctor` behind nginx: all is well, then one thing at a time is wrong and must be found."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness import Context, Program, check, equal, free_port, plain_environment

PAGE = "https://page.example"
PLAIN = "proxy_pass http://127.0.0.1:{proxy};"
GOOD = f"""{PLAIN} proxy_http_version 1.1; proxy_buffering off;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"""


class Slow(BaseHTTPRequestHandler):
    """Answers in ten pieces, over a second."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(10):
            self.wfile.write(b"piece\n")
            self.wfile.flush()
            time.sleep(0.1)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


def run(context: Context) -> None:
    if context.steve is None or context.proxy is None:
        return
    app = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    certificate(context.work)
    root, proxy = start_proxy(context, app.server_port)
    pcrs = context.work / "pcrs.json"
    origin = f"http://127.0.0.1:{proxy}"
    verified = steve(context, "verify", "--json", "--tofu-store", context.work / "pins", "--dangerous-dev-root", root, origin)
    measured = json.loads(verified.stdout)["pcrs"]
    pcrs.write_text(json.dumps({f"PCR{n}": measured[f"pcr{n}"] for n in range(3)}))
    trusted = ["--cacert", context.work / "tls.pem"]
    policy = ["--pcrs", pcrs]

    def case(name: str, wrong: dict[str, str], location: str = GOOD, server: str = "", to: int = proxy,
             trust: list = trusted, whom: list = policy) -> None:
        def body() -> str:
            nginx, port = start_nginx(context, name, location.replace("{proxy}", str(to)), server)
            url = f"https://localhost:{port}"
            own_root = context.work / f"root-{to}.pem"
            done = steve(context, "doctor", "--json", "--dangerous-dev-root", own_root, "--origin", PAGE,
                         "--stream", "/", *trust, *whom, url)
            nginx.stop()
            report = json.loads(done.stdout)
            found = {one["check"]: one["outcome"] for one in report["checks"]}
            texts = {one["check"]: one["text"] for one in report["checks"]}
            for name_of, outcome in wrong.items():
                equal(found[name_of], outcome, f"{name_of} ({texts[name_of]})")
            others = {k: v for k, v in found.items() if k not in wrong and v in ("problem", "warning")}
            equal(others, {}, f"other findings ({texts})")
            equal(done.returncode, 1 if "problem" in wrong.values() else 0, "exit code")
            return "; ".join(f"{one}: {texts[one]}" for one in wrong)

        context.step(name, body)

    missing = {"evidence": "not checked", "keys": "not checked", "clock": "not checked", "routing": "not checked",
               "streaming": "not checked"}
    case("all is well", {})
    case("no policy", {"evidence": "warning", "streaming": "not checked"}, whom=[])
    # Over HTTP/1.0 nginx fills a buffer first; what comes in chunks it passes on all the same.
    case("buffering", {"streaming": "problem", "tunnel": "problem"}, f"{PLAIN} proxy_buffering on;")
    case("CORS of nginx", {"cors": "problem"}, GOOD + " add_header Access-Control-Allow-Origin * always;")
    case("self-signed", {"tls": "problem", **missing}, trust=[])
    case("no upgrade", {"tunnel": "problem"}, f"{PLAIN} proxy_buffering off;")
    case("small bodies", {"bodies": "problem"}, GOOD + " client_max_body_size 1m;")
    case("plaintext past the proxy", {"plaintext": "problem"},
         server=f"location /steve-doctor-plaintext {{ proxy_pass http://127.0.0.1:{app.server_port}; }}")
    _, open_proxy = start_proxy(context, app.server_port, "--allow-plaintext-fallback")
    case("plaintext fallback", {"plaintext": "problem"}, to=open_proxy)
    _, strict = start_proxy(context, app.server_port, cors="https://other.example")
    case("origin not configured", {"cors": "problem"}, to=strict)
    pcrs_of_another = context.work / "other.json"
    pcrs_of_another.write_text(json.dumps({f"PCR{n}": "ab" * 48 for n in range(3)}))
    case("another image", {"evidence": "problem", **{k: v for k, v in missing.items() if k != "evidence"}},
         whom=["--pcrs", pcrs_of_another])
    context.step("nobody there", lambda: nobody(context))
    app.shutdown()


def nobody(context: Context) -> str:
    done = steve(context, "doctor", f"http://127.0.0.1:{free_port()}")
    equal(done.returncode, 1, "exit code")
    check("PROBLEM      http" in done.stdout, done.stdout)
    done = steve(context, "doctor", "no url")
    equal(done.returncode, 2, "exit code of wrong usage")
    return "problem"


def steve(context: Context, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(context.steve), *map(str, arguments)]
    return subprocess.run(command, env=plain_environment(), capture_output=True, text=True, timeout=50)


def start_proxy(context: Context, app: int, *more: str, cors: str = PAGE) -> tuple[Path, int]:
    port = free_port()
    root = context.work / f"root-{port}.pem"
    command = [context.proxy, "serve", "--listen", f"127.0.0.1:{port}", "--upstream", f"http://127.0.0.1:{app}",
               "--cors-origins", cors, "--dangerous-dev-attester", "--dangerous-dev-root-out", root, *more]
    proxy = context.program(f"proxy-{port}", command)
    proxy.wait_for_port(port)
    return root, port


def start_nginx(context: Context, name: str, location: str, server: str) -> tuple[Program, int]:
    port = free_port()
    folder = context.work / name.replace(" ", "-")
    folder.mkdir()
    limit = "" if "client_max_body_size" in location else "client_max_body_size 0;"
    config = folder / "nginx.conf"
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config.write_text(f"""daemon off; user root; pid {folder}/pid; error_log {folder}/error.log; events {{}}
http {{ access_log off; {temporary}
  server {{ listen 127.0.0.1:{port} ssl http2; server_name localhost; {limit}
    ssl_certificate {context.work}/tls.pem; ssl_certificate_key {context.work}/tls.key;
    {server} location / {{ {location} }} }} }}""")
    nginx = context.program(f"nginx-{folder.name}", ["nginx", "-c", config, "-p", folder, "-e", folder / "error.log"])
    nginx.wait_for_port(port)
    return nginx, port


def certificate(work: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
               "-days", "90", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
               "-addext", "basicConstraints=critical,CA:FALSE",
               "-keyout", str(work / "tls.key"), "-out", str(work / "tls.pem")]
    subprocess.run(command, check=True, capture_output=True)

"""The page that Chromium loads. Its script tries everything and leaves the outcome in `results`."""

from __future__ import annotations

import struct
import zlib

HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>STEVE</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="data:,">
</head>
<body>
<h1>Through STEVE – größe ✓</h1>
<img id="image" src="/image.png" alt="a square">
<form id="form" action="/form" method="post" enctype="multipart/form-data" target="answer">
<input name="name" value="Jürgen &amp; Co">
<input name="file" id="file" type="file">
</form>
<iframe name="answer" id="answer"></iframe>
<table id="table"></table>
<script src="/script.js"></script>
</body>
</html>
"""

CSS = """
body { font-family: sans-serif; background: rgb(240, 248, 255); }
h1 { color: rgb(0, 100, 0); }
#image { width: 64px; }
td { padding: 2px 8px; border-bottom: 1px solid gray; }
"""

SCRIPT = """
"use strict";
const results = {};
const once = (target, name) => new Promise(done => target.addEventListener(name, done, { once: true }));

async function attempt(name, body) {
    const began = performance.now();
    let outcome;
    try {
        const limit = new Promise((_, fail) => setTimeout(() => fail(new Error("no end")), 15000));
        outcome = { ok: true, measured: await Promise.race([body(), limit]) };
    } catch (error) {
        outcome = { ok: false, measured: String(error) };
    }
    outcome.measured += ` [${Math.round(performance.now() - began)} ms]`;
    results[name] = outcome;
    const row = document.getElementById("table").insertRow();
    for (const text of [name, outcome.ok ? "ok" : "FAIL", outcome.measured]) row.insertCell().textContent = text;
}

function check(condition, what) {
    if (!condition) throw new Error(what);
}

// Largest distance between arrivals shows whether pieces were held back; they leave 50 ms apart.
function spread(arrivals) {
    const gaps = arrivals.slice(1).map((time, index) => time - arrivals[index]);
    const early = gaps.filter(gap => gap < 10).length;
    check(early < gaps.length / 2, `${early} of ${gaps.length} pieces arrived together with the one before`);
    return `${arrivals.length} pieces, gaps ${Math.round(Math.min(...gaps))} to ${Math.round(Math.max(...gaps))} ms`;
}

async function html() {
    check(document.querySelector("h1").textContent === "Through STEVE – größe ✓", "the text differs");
    return document.characterSet;
}

async function css() {
    const color = getComputedStyle(document.querySelector("h1")).color;
    check(color === "rgb(0, 100, 0)", color);
    return color;
}

async function image() {
    const image = document.getElementById("image");
    await image.decode();
    check(image.naturalWidth === 128 && image.naturalHeight === 128, `${image.naturalWidth} pixels`);
    return "128 x 128";
}

async function streamedFetch() {
    const response = await fetch("/events?count=10");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const arrivals = [];
    let text = "";
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
        arrivals.push(performance.now());
        text += piece.value;
    }
    check(text.match(/^id: /gm).length === 10, "not ten events");
    return spread(arrivals);
}

async function eventSource() {
    const source = new EventSource("/events?count=1000");
    const arrivals = [];
    await new Promise((done, fail) => {
        source.onerror = () => fail(new Error("the stream broke"));
        source.onmessage = event => {
            check(event.lastEventId === String(arrivals.length), `event ${event.lastEventId}`);
            if (arrivals.push(performance.now()) === 10) done();
        };
    });
    source.close();
    return spread(arrivals);
}

async function webSocket() {
    const socket = new WebSocket(`ws://${location.host}/socket`);
    socket.binaryType = "arraybuffer";
    await new Promise((done, fail) => {
        socket.onopen = done;
        socket.onerror = () => fail(new Error("refused"));
    });
    for (const text of ["hello", "größe", ""]) {
        socket.send(text);
        check((await once(socket, "message")).data === text, "the text differs");
    }
    const sent = crypto.getRandomValues(new Uint8Array(65536));
    socket.send(sent);
    const received = new Uint8Array((await once(socket, "message")).data);
    check(received.length === 65536 && received.every((byte, index) => byte === sent[index]), "the bytes differ");
    socket.close(3000, "done");
    const end = await once(socket, "close");
    check(end.wasClean && end.code === 3000, `code ${end.code}`);
    return `text, 65536 bytes, code ${end.code}, extensions "${socket.extensions}"`;
}

async function formPost() {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(3000000)], "zeros.bin"));
    document.getElementById("file").files = transfer.files;
    const frame = document.getElementById("answer");
    const loaded = once(frame, "load");
    document.getElementById("form").submit();
    await loaded;
    const text = frame.contentDocument.body.textContent;
    check(text === "Jürgen & Co|zeros.bin|3000000", text);
    return text;
}

async function cookies() {
    check(document.cookie === "plain=one", `the page sees ${document.cookie}`);
    const seen = await (await fetch("/cookies")).json();
    check(seen.plain === "one" && seen.secret === "two", JSON.stringify(seen));
    return JSON.stringify(seen);
}

async function redirect() {
    const response = await fetch("/redirect");
    const path = new URL(response.url).pathname;
    check(response.redirected && response.ok && path === "/cookies", response.url);
    return path;
}

async function manyAtOnce() {
    const answers = await Promise.all(Array.from({ length: 40 }, () => fetch("/image.png", { cache: "no-store" })));
    const sizes = await Promise.all(answers.map(async answer => (await answer.arrayBuffer()).byteLength));
    check(new Set(sizes).size === 1 && answers.every(answer => answer.ok), "the answers differ");
    return `${sizes.length} of ${sizes[0]} bytes`;
}

(async () => {
    await once(window, "load");
    const all = [html, css, image, cookies, redirect, streamedFetch, eventSource, webSocket, formPost, manyAtOnce];
    for (const body of all) await attempt(body.name, body);
    document.title = "done";
})();
"""


def image() -> bytes:
    """A PNG of 128 x 128 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    rows = b"".join(b"\0" + bytes(v for x in range(128) for v in (2 * x, 2 * y, 128)) for y in range(128))
    header = struct.pack(">IIBBBBB", 128, 128, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")

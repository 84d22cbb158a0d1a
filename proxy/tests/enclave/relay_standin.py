"""STAND-IN for `steve-proxy relay`: TCP to the vsock of vhost-device-vsock."""

import asyncio
import sys


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while block := await reader.read(1 << 16):
            writer.write(block)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def main() -> None:
    port, uds, vsock_port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner, out = await asyncio.open_unix_connection(uds)
            out.write(b"CONNECT %d\n" % vsock_port)
            if not (await inner.readline()).startswith(b"OK"):
                raise OSError("refused")
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, out), pump(inner, writer))

    await (await asyncio.start_server(serve, "127.0.0.1", port)).serve_forever()


asyncio.run(main())

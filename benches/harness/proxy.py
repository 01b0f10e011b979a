"""Delays: how many round trips a run costs is how much longer it takes per second of delay."""

import asyncio
import threading


class Proxy:
    """Listens on 127.0.0.1 and passes on to a host, each direction late by half of `rtt`."""

    def __init__(self, target):
        self.target = target
        self.rtt = 0.0
        self.port = None
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve(ready)), daemon=True).start()
        ready.wait()

    async def serve(self, ready):
        server = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await server.serve_forever()

    async def accept(self, reader, writer):
        # One trip more for TCP's own handshake, which ends here.
        await asyncio.sleep(self.rtt)
        far_reader, far_writer = await asyncio.open_connection(self.target, 22)
        await asyncio.gather(self.pump(reader, far_writer), self.pump(far_reader, writer))

    async def pump(self, reader, writer):
        loop = asyncio.get_running_loop()
        queue = asyncio.Queue()

        async def late():
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if data is None:
                    writer.close()
                    return
                writer.write(data)
                try:
                    await writer.drain()
                except ConnectionError:
                    return

        sender = asyncio.create_task(late())
        try:
            while data := await reader.read(1 << 16):
                queue.put_nowait((loop.time() + self.rtt / 2, data))
        except ConnectionError:
            pass
        queue.put_nowait((loop.time() + self.rtt / 2, None))
        await sender

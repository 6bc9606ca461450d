"""A proxy on loopback that can be told to misbehave: to cut connections, to stall, to pass only half of what comes."""
import asyncio
import contextlib
import os
import socket
import struct
import threading

REQUEST, RESPONSE = "request", "response"


class Proxy:
    """Forwards 127.0.0.1:port to `target`, a (host, port) or the path of a socket. Runs in a thread of its own."""

    def __init__(self, target):
        self.target = target
        self.pairs = set()
        self.cuts = {REQUEST: [], RESPONSE: []}  # what share of the next chunk still passes
        self.made = {REQUEST: 0, RESPONSE: 0}  # cuts that have happened
        self.loop = asyncio.new_event_loop()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.thread = threading.Thread(target=self._run, args=(listener,), daemon=True)
        self.thread.start()

    def _run(self, listener):
        asyncio.set_event_loop(self.loop)
        self.flowing = asyncio.Event()
        self.flowing.set()
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, sock=listener))
        self.loop.run_forever()
        server.close()
        self._drop(abrupt=True)
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0.05))
        self.loop.close()

    def stop(self):
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()

    # What it can be told, from any thread.

    def drop(self, abrupt=True):
        """Ends every connection: with a reset when abrupt, else as if both sides had hung up. Returns how many."""
        done = asyncio.run_coroutine_threadsafe(self._dropped(abrupt), self.loop)
        return done.result(5)

    def stall(self):
        """Keeps what comes, until resume()."""
        self.loop.call_soon_threadsafe(self.flowing.clear)

    def resume(self):
        self.loop.call_soon_threadsafe(self.flowing.set)

    def truncate(self, direction, share):
        """Of the next chunk in this direction only a share passes; then the connection is cut."""
        self.cuts[direction].append(share)

    def forget_cuts(self):
        for waiting in self.cuts.values():
            waiting.clear()

    # What it does.

    async def _dropped(self, abrupt):
        return self._drop(abrupt)

    def _drop(self, abrupt):
        pairs = list(self.pairs)
        for pair in pairs:
            for writer in pair:
                if abrupt:
                    abort(writer)
                else:
                    writer.close()
        return len(pairs)

    async def _serve(self, reader, writer):
        try:
            if isinstance(self.target, (str, os.PathLike)):
                far_reader, far_writer = await asyncio.open_unix_connection(self.target)
            else:
                far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            abort(writer)
            return
        pair = (writer, far_writer)
        self.pairs.add(pair)
        pumps = [asyncio.ensure_future(self._pump(reader, far_writer, REQUEST)),
                 asyncio.ensure_future(self._pump(far_reader, writer, RESPONSE))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.pairs.discard(pair)
            for pump in pumps:
                pump.cancel()
            for one in pair:
                with contextlib.suppress(OSError):
                    one.close()

    async def _pump(self, reader, writer, direction):
        """Until one side hangs up: with it the connection ends, on both sides."""
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                await self.flowing.wait()
                if self.cuts[direction]:
                    share = self.cuts[direction].pop(0)
                    writer.write(chunk[:int(len(chunk) * share)])
                    await writer.drain()
                    self.made[direction] += 1
                    return
                writer.write(chunk)
                await writer.drain()


def abort(writer):
    """Closes with a reset."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

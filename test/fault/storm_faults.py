"""The faults of the storm. Which comes when follows from the seed; what it meets is up to the moment."""
import collections
import os
import random
import signal
import subprocess
import time

from harness.proxy import REQUEST, RESPONSE

BACKENDS = """SELECT pid FROM pg_stat_activity
               WHERE backend_type = 'client backend' AND usename = 'billing_worker' ORDER BY state <> 'active', pid"""
PATIENCE = 5.0  # how long a fault waits for something to strike


class Faults:
    """Deals the kinds of faults like cards, one deck after the other, so that each kind comes about equally often."""

    def __init__(self, stage, seed):
        self.stage = stage
        self.seed = seed
        self.rng = random.Random(f"{seed} faults")
        self.kinds = {
            "worker TERM": lambda rng: self.worker(rng, signal.SIGTERM),
            "worker KILL": lambda rng: self.worker(rng, signal.SIGKILL),
            "backend terminated": self.backend_terminated,
            "backend KILL": self.backend_killed,
            "server fast": lambda rng: self.server(rng, lambda cluster: cluster.stop("fast")),
            "server immediate": lambda rng: self.server(rng, lambda cluster: cluster.stop("immediate")),
            "server KILL": lambda rng: self.server(rng, lambda cluster: cluster.kill9()),
            "disk full": self.disk_full,
        }
        for path, name in (("to_worker", "sender to worker"), ("to_server", "worker to server")):
            self.kinds |= {
                f"{name}: drop": lambda rng, path=path: self.drop(rng, path),
                f"{name}: stall": lambda rng, path=path: self.stall(rng, path),
                f"{name}: request cut": lambda rng, path=path: self.cut(rng, path, REQUEST),
                f"{name}: response cut": lambda rng, path=path: self.cut(rng, path, RESPONSE),
            }
        if stage.disk is None:
            del self.kinds["disk full"]
        self.made = collections.Counter({kind: 0 for kind in self.kinds})
        self.deck = []
        self.dealt = 0

    def next(self):
        """Waits a moment and makes the next fault; returns its kind, and whether it has struck anything."""
        if not self.deck:
            self.deck = list(self.kinds)
            self.rng.shuffle(self.deck)
        kind = self.deck.pop()
        # A stream of its own: what this fault meets does not change the next one.
        self.dealt += 1
        rng = random.Random(f"{self.seed} fault {self.dealt}")
        time.sleep(rng.uniform(0.05, 1.2))
        done = self.kinds[kind](rng)
        self.made[kind] += done
        if not done:
            self.deck.insert(0, kind)
        return kind, done

    def progress(self):
        """How much of the first round is made; 1 too when something cannot be struck, try as one may."""
        made = sum(1 for times in self.made.values() if times)
        if made == len(self.kinds) or self.dealt > 3 * len(self.kinds):
            return 1.0
        return (made + 1) / (len(self.kinds) + 2)

    # Workers and backends.

    def worker(self, rng, number):
        services = list(self.stage.services)
        rng.shuffle(services)
        return hit(lambda: any(service.strike(number) for service in services))

    def backend_terminated(self, rng):
        return hit(lambda: any(self.stage.attempt(
            "SELECT pg_terminate_backend(pid) FROM (" + BACKENDS + ") AS backends OFFSET %s LIMIT 1",
            (rng.randrange(3),))))

    def backend_killed(self, rng):
        return hit(lambda: kill_one(self.stage.attempt(BACKENDS)[:3], rng))

    # The server.

    def server(self, rng, end):
        try:
            end(self.stage.cluster)
        except (subprocess.TimeoutExpired, TimeoutError) as error:
            raise RuntimeError(f"the server does not end: {error}\n{evidence(self.stage.cluster)}") from error
        # It stays away for a moment, and sometimes a worker dies meanwhile.
        time.sleep(rng.choice([0.0, 0.2, 1.0]))
        self.perhaps_another(rng)
        self.stage.cluster.start()
        return True

    def perhaps_another(self, rng):
        """Two at a time: a worker dies while something else is wrong."""
        if rng.random() < 0.35:
            name = rng.choice(["worker TERM", "worker KILL"])
            number = signal.SIGTERM if name.endswith("TERM") else signal.SIGKILL
            if rng.choice(self.stage.services).strike(number):
                self.made[name] += 1

    # Connections.

    def proxies(self, rng, path):
        """All proxies of one side, or one of them."""
        found = [getattr(service, path) for service in self.stage.services]
        return found if rng.random() < 0.3 else [rng.choice(found)]

    def drop(self, rng, path):
        abrupt = rng.random() < 0.5
        chosen = self.proxies(rng, path)
        return hit(lambda: sum(proxy.drop(abrupt) for proxy in chosen) > 0)

    def stall(self, rng, path):
        chosen = self.proxies(rng, path)
        for proxy in chosen:
            proxy.stall()
        time.sleep(rng.choice([0.3, 1.0, 4.0]))
        self.perhaps_another(rng)
        for proxy in chosen:
            proxy.resume()
        return True

    def cut(self, rng, path, direction):
        """The next chunk passes in part only: not at all, up to the last byte, or anything between."""
        share = rng.choice([0.0, 0.999, rng.random(), rng.random()])
        chosen = self.proxies(rng, path)
        before = sum(proxy.made[direction] for proxy in chosen)
        for proxy in chosen:
            proxy.truncate(direction, share)
        done = hit(lambda: sum(proxy.made[direction] for proxy in chosen) > before)
        for proxy in chosen:
            proxy.forget_cuts()
        return done

    # The disk.

    def disk_full(self, rng):
        disk, log = self.stage.disk, self.stage.cluster.log_file
        position = log.stat().st_size
        disk.fill()
        try:
            time.sleep(rng.choice([0.5, 1.0, 2.0]))
            self.perhaps_another(rng)
            return hit(lambda: b"No space left on device" in log.read_bytes()[position:])
        finally:
            disk.free()


def hit(attempt):
    """Whether the attempt succeeds in time."""
    deadline = time.monotonic() + PATIENCE
    while not attempt():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def kill_one(pids, rng):
    if not pids:
        return False
    try:
        os.kill(rng.choice(pids), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def evidence(cluster):
    """Which processes are left, and what the server said last."""
    left = subprocess.run(["ps", "-o", "pid,stat,wchan:24,etimes,args", "--ppid", str(cluster.pid)],
                          capture_output=True, text=True)
    return left.stdout + cluster.log()[-3000:]

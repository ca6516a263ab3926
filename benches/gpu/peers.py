#!/usr/bin/env python3
"""Times our passes and those of torch, cupy and jax in turn on one GPU: peers.py [--seconds N] [--elements N]; run.sh calls it.

A JSON line for each figure, as eigh_peers.py has them. A peer that fails on an order, or takes too long, is passed over there: a line
says why, and it is tried once more on fewer matrices."""
import argparse, json, os, pathlib, selectors, subprocess, sys, time

p = argparse.ArgumentParser()
p.add_argument("--seconds", type=float, default=430)
p.add_argument("--elements", type=int, default=1 << 26)
p.add_argument("--reps", type=int, default=3)
p.add_argument("--dtype", nargs="+", default=["complex64", "complex128", "float32", "float64"])
p.add_argument("--n", nargs="+", type=int, default=[4, 8, 16, 32, 33, 64, 128])
p.add_argument("--program", required=True, help="ours")
p.add_argument("--library-path", help="LD_LIBRARY_PATH of our program alone")
a = p.parse_args()
here = pathlib.Path(__file__).resolve().parent
end = time.monotonic() + a.seconds
FIRST, NEXT = 45, 20        # seconds until the first and until every further figure
FEWER = 64                  # of this many matrices, one
PASSES = dict(eigengrad=2, torch=2, cupy=1, jax=1)
TURNS = ["eigengrad", "torch", "cupy", "jax", "eigengrad"]
LAST = len(TURNS) - 1
TOO_SLOW = "too slow"
TIME_UP = "the time was up"
slow = set()                # (peer, n) that were
fewer_needed = set()        # n at which a peer failed


def say(**row):
    print(json.dumps(row), flush=True)


def figures(peer, dtype, orders, elements):
    """What a process says of these orders, and why it ended early, if it did."""
    common = ["--dtype", dtype, "--elements", str(elements), "--reps", str(a.reps), "--n", *map(str, orders)]
    program = [sys.executable, here / "eigh_peers.py", "--device", "cuda", "--peers", peer]
    environment = dict(os.environ)
    if peer == "eigengrad":
        program = [a.program, "times"]
        environment |= dict(LD_LIBRARY_PATH=a.library_path) if a.library_path else {}
    rows, why, text = [], None, b""
    with subprocess.Popen([*program, *common], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        watch = selectors.DefaultSelector()
        watch.register(process.stdout, selectors.EVENT_READ, "out")
        watch.register(process.stderr, selectors.EVENT_READ, "err")
        last, said = time.monotonic() + FIRST - NEXT, b""
        while watch.get_map():
            left = min(last + NEXT, end) - time.monotonic()
            ready = watch.select(max(left, 0))
            if not ready:
                process.kill()
                why = TOO_SLOW if time.monotonic() < end else TIME_UP
                break
            for key, _ in ready:
                part = key.fileobj.read1(1 << 16)
                if not part:
                    watch.unregister(key.fileobj)
                elif key.data == "err":
                    said = (said + part)[-2000:]
                else:
                    text, last = text + part, time.monotonic()
    for line in text.decode(errors="replace").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            pass                # the line in which it was killed
    lines = said.decode(errors="replace").strip().splitlines()
    return rows, why or (process.returncode and f"ended with {process.returncode}: {lines[-1] if lines else ''}"[:500]) or None


def turn(peer, dtype, number):
    """All orders: those after one that failed in a process of their own."""
    fewer = a.elements // FEWER
    pending = [(n, fewer if (peer, n) in slow else a.elements) for n in a.n]
    if number == LAST:           # ours on what peers had to be content with
        pending += [(n, fewer) for n in a.n if n in fewer_needed and (peer, n) not in slow]
    while pending and time.monotonic() < end:
        elements = pending[0][1]
        orders = [n for n, size in pending if size == elements]
        rows, why = figures(peer, dtype, orders, elements)
        for row in rows:
            say(**row, turn=number)
        if any("missing" in row for row in rows):
            return
        count = {n: sum(row.get("n") == n and "median_ns" in row for row in rows) for n in orders}
        failed = next((n for n in orders if count[n] < PASSES[peer]), None)
        if why is None:          # what failed said so itself
            pending = [(n, size) for n, size in pending if size != elements]
            continue
        stop = orders.index(failed) if failed is not None else len(orders)
        pending = [(n, size) for n, size in pending if size != elements or n in orders[stop + 1:]]
        if failed is None:
            continue
        say(peer=peer, dtype=dtype, n=failed, elements=elements, failed=why, turn=number)
        if why == TIME_UP:
            return
        fewer_needed.add(failed)
        if why == TOO_SLOW:
            slow.add((peer, failed))
        if elements == a.elements:
            pending.append((failed, fewer))


for dtype in a.dtype:
    for number, peer in enumerate(TURNS):
        turn(peer, dtype, number)
if time.monotonic() > end:
    say(stopped=TIME_UP)

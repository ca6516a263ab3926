"""How many instructions the fused backward executes: SASS, weighted by how often its loops run. kernel-report --sass calls this.

An instruction outside loops counts once for every warp that comes by; one in a loop as often as the work of that phase needs, told by how
many of its characteristic instructions (multiplications, loads, stores) the loop holds. Left out is what regular input does not reach:
ties, columns near overflow, divisions of subnormal numbers, arrays that do not begin at 16 bytes. It is an estimate: nothing is executed.
"""

import re
from collections import Counter

BYTES_PER_SECOND = 4.3e12  # of a copy on an H200
FLOPS = {"float32": 67e12, "complex64": 67e12, "float64": 34e12, "complex128": 34e12}  # its data sheet, without tensor cores
CLOCK = 1.755e9
WARPS_PER_SECOND = 132 * 4 * CLOCK  # instructions of warps that 132 multiprocessors issue; half as many in 64-bit arithmetic

LINE = re.compile(r'//## File "[^"]*?([\w.]+)", line (\d+)(?: inlined at "[^"]*?([\w.]+)", line (\d+))?')
INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)(.*);")


class Instruction:
    def __init__(self, name, rest, places):
        target = re.search(r"`\((\.L_x_\d+)\)", rest)
        self.name, self.places = name, places
        self.target = target[1] if target and name.startswith("BRA") else None


def disassembled(text):
    """The kernel's instructions up to its end, and their loops, innermost only, as spans."""
    instructions, labels, places, fresh = [], {}, [], True
    for line in text.splitlines():
        if found := LINE.search(line):
            places, fresh = ([] if fresh else places), False
            places.append((found[1], int(found[2])))
            if found[3]:
                places.append((found[3], int(found[4])))
        elif found := re.match(r"(\.L_x_\d+):", line):
            labels[found[1]] = len(instructions)
        elif found := INSTRUCTION.match(line):
            instructions.append(Instruction(found[1], found[2], tuple(dict.fromkeys(places))))
            fresh = True
    end = max(at for at, i in enumerate(instructions) if i.name == "EXIT") + 1  # behind it are the slow ways of divisions
    back = {(labels[i.target], at) for at, i in enumerate(instructions[:end]) if i.target and labels[i.target] <= at}
    inner = [one for one in back if not any(other != one and one[0] <= other[0] and other[1] <= one[1] for other in back)]
    return instructions[:end], sorted(inner)


class Source:
    """Lines of the kernel's files, found by what they say."""

    def __init__(self, folder="kernels"):
        paths = [f"{folder}/{path}" for path in ("backward/backward.cu", "lib/tile.cuh", "lib/gap.cuh")]
        self.lines = {path.rsplit("/", 1)[-1]: open(path).read().splitlines() for path in paths}

    def line(self, text, name="backward.cu", after=0):
        return next(at for at, line in enumerate(self.lines[name], 1) if at > after and text in line)

    def span(self, first, name="backward.cu", head=None):
        """From a line, of the function `head`, to the end of that function."""
        at = self.line(first, name, self.line(head, name) if head else 0)
        return name, range(at, next(k for k, line in enumerate(self.lines[name], 1) if k >= at and line == "}"))


def phases(source, n, tile, matrices, dtype, form):
    """Line of the kernel ↦ (threads that come by, what its loops are measured by, how much of it for the threads of a warp)."""
    side = -(-n // tile)
    team, lower = side * side, side * (side + 1) // 2
    threads, factor = matrices * team, 4 if "complex" in dtype else 1
    size = {"float32": 4, "float64": 8, "complex64": 8, "complex128": 16}[dtype]
    at_once = 16 // size
    rank = max(n // 4, 1) if form == "kept block" else n
    rows, whole = (rank if form == "kept block" else n), n % at_once == 0
    packs = -(-n // at_once)
    moves = -(-matrices * n // (threads // packs)) if whole else -(-matrices * n * n // at_once // threads)
    columns, multiply = -(-matrices * n // threads), "DFMA" if size // (2 if factor == 4 else 1) == 8 else "FFMA"
    each = lambda number: lambda lanes: number
    teams = lambda lanes: [t % team for t in lanes]

    def trapezoid(lanes):
        return max(max(rows - tile * (t // side) - tile, 0) for t in teams(lanes)) * tile * tile * factor

    found = {
        "e < here * N; e += THREADS) {": (threads, "STS", each(3 * columns)),
        "arrange<N>(all[m]": (matrices, "STS", each(2 * n)),
        "fill(all[e / N]": (threads, "STS", each(3 * columns)),
        "q < 2 * MATRICES * on::PADDED": (threads, "STS", each(-(-2 * matrices * side * tile // threads))),
        "gather<N, THREADS>(vectors +": (threads, "LDG", each(moves)),
        "if (vectors_bar) gather": (threads, "LDG", each(moves)),
        "c.norm[k] = norm<": (threads, "LDS.128", lambda lanes: packs if any(t < rank for t in teams(lanes)) else 0),
        "add_inner<": (threads, multiply, lambda lanes: n * tile * tile * factor * any(tile * (t // side) < rank for t in teams(lanes))),
        "p < N * (N + 1) / 2": (threads, "pair", each(-(-n * (n + 1) // 2 // team))),
        "c.tie[k] = tie_defect_of": (threads, None, each(-(-rank // team))),
        "add_trapezoid<": (threads, multiply, trapezoid),
        "add_outer<": (threads, multiply, each(rank * tile * tile * factor)),
        "scatter<N, THREADS>": (threads, "STG", each(moves)),
        "gauge_defect[first * N + e] =": (threads, "STG", each(columns)),
        "k < c.kept; ++k) {": (matrices, "LDS", each(2 * rank)),
        "q < on::LOWER": (matrices, "LDS", each(lower)),
    }
    return {source.line(text): value for text, value in found.items()}, threads


def left_out(source, whole, form):
    """Lines that regular input does not reach."""
    spans = [
        source.span("R largest = limits<R>::least_normal();"),  # norms near overflow
        source.span("const R norm = larger(c.norm[i], c.norm[j]);", head="void weigh_pair"),  # ties
        source.span("    using R", "gap.cuh", "S times_power("),  # ‖A‖₂ at the ends of the range
    ]
    lines = {(name, line) for name, lines in spans for line in lines}
    if whole:
        for head in ("__device__ void gather(", "__device__ void scatter("):
            name, unaligned = source.span("        return;", "tile.cuh", head)
            lines |= {(name, line) for line in unaligned}
    if form != "kept block":
        lines.add(("backward.cu", source.line("// (24)", after=source.line("void weigh_pair"))))
    if form == "values":
        body = source.lines["backward.cu"]
        for at in [k for k, line in enumerate(body, 1) if line.startswith("    if (vectors_bar)")]:
            end = at if not body[at - 1].endswith("{") else next(k for k in range(at, len(body)) if body[k - 1] == "    }")
            lines |= {("backward.cu", line) for line in range(at, end + 1)}
    return lines


def executed(text, n, tile, matrices, dtype, form, source):
    """Instructions of warps for one matrix, by name."""
    instructions, loops = disassembled(text)
    whole = n * {"float32": 4, "float64": 8, "complex64": 8, "complex128": 16}[dtype] % 16 == 0
    table, threads = phases(source, n, tile, matrices, dtype, form)
    skipped = left_out(source, whole, form)
    body = source.line("backward(long long batch")
    top = lambda i: next((line for name, line in reversed(i.places) if name == "backward.cu" and line > body), 0)
    phase = lambda line: max((at for at in table if at <= line and line - at < 4), default=None)
    reached = lambda i: not skipped.intersection(i.places)
    warps = [range(first, min(first + 32, threads)) for first in range(0, threads, 32)]
    division = source.line("const S quotient = times(x, R(0.5) /", "gap.cuh")

    def measure(by, i):
        if by == "pair":
            return i.name == "MUFU.RCP" and ("gap.cuh", division) in i.places
        return by is not None and i.name.startswith(by) and (by != "LDS.128" or "128" in i.name)

    mains = {}  # of each phase, the loop that does most of its work
    for first, last in loops:
        some = [i for i in instructions[first : last + 1] if reached(i)]
        if not some:
            continue
        at = phase(Counter(top(i) for i in some).most_common(1)[0][0])
        if at is not None:
            work = sum(measure(table[at][1], i) for i in some)
            if work > mains.get(at, (0,))[0]:
                mains[at] = (work, first, last)
    in_loop = [False] * len(instructions)
    for first, last in loops:
        in_loop[first : last + 1] = [True] * (last + 1 - first)
    total = Counter()
    for i, inside in zip(instructions, in_loop):
        if not inside and reached(i):
            at = phase(top(i))
            here = table[at][0] if at else threads
            total[i.name] += -(-here // 32)
    for at, (work, first, last) in mains.items():
        here, _, amount = table[at]
        times = sum(amount(lanes) for lanes in warps if lanes[0] < here) / work
        for i in instructions[first : last + 1]:
            if reached(i):
                total[i.name] += times
    return Counter({name: number / matrices for name, number in total.items()})


def floors(n, dtype, form):
    """Bytes that a matrix moves, and its flops, as kernels/backward/backward.cu counts them."""
    size = {"float32": 4, "float64": 8, "complex64": 8, "complex128": 16}[dtype]
    real = size // 2 if "complex" in dtype else size
    rank = max(n // 4, 1) if form == "kept block" else n
    columns = {"full": 2 * n, "kept block": 2 * rank, "values": n}[form]
    moved = (columns + n) * n * size + n * (3 * real + 1) + real + 8
    rows = rank if form == "kept block" else n
    flops = 8 * n * n * rank
    if form != "values":
        flops += 8 * n * rows * rank + 8 * (rows - rank / 2) * n * rank
    return moved, flops / (1 if "complex" in dtype else 4)


def predicted(text, n, tile, matrices, dtype, source):
    """For each form: the floors, the instructions, and how long they take on an H200 that issues without a pause."""
    lines = []
    for form in ("full", "kept block", "values"):
        counted = executed(text, n, tile, matrices, dtype, form, source)
        moved, flops = floors(n, dtype, form)
        double = sum(number for name, number in counted.items() if re.match(r"D(FMA|MUL|ADD|SETP)", name))
        multiplied = sum(number for name, number in counted.items() if re.match(r"[FD](FMA|MUL|ADD)", name))
        times = {
            "bytes_ns": moved / BYTES_PER_SECOND * 1e9,
            "flops_ns": flops / FLOPS[dtype] * 1e9,
            "issue_ns": max(sum(counted.values()), 2 * double) / WARPS_PER_SECOND * 1e9,
        }
        floor, most = max(times["bytes_ns"], times["flops_ns"]), max(times.values())
        lines.append(
            {"form": form, "bytes": moved, "flops": round(flops), "warp_instructions": round(sum(counted.values()), 1), "arithmetic": round(multiplied, 1)}
            | {name: round(time, 4) for name, time in times.items()}
            | {"times_floor": round(most / floor, 2)}
        )
    return lines

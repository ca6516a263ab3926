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
    """The kernel's instructions up to its end, and their loops as spans."""
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
    return instructions[:end], sorted({(labels[i.target], at) for at, i in enumerate(instructions[:end]) if i.target and labels[i.target] <= at})


def innermost(loops):
    return [one for one in loops if not any(other != one and one[0] <= other[0] and other[1] <= one[1] for other in loops)]


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
    """Line of the kernel ↦ (threads that come by, for each depth of its loops what they are measured by, and how much of it a warp has)."""
    rows_of = min(tile, 4)
    side, across = -(-n // rows_of), -(-n // tile)
    team, factor = side * across, 4 if "complex" in dtype else 1
    threads = matrices * team
    size = {"float32": 4, "float64": 8, "complex64": 8, "complex128": 16}[dtype]
    at_once = 16 // size
    rank = max(n // 4, 1) if form == "kept block" else n
    rows, whole = (rank if form == "kept block" else n), n % at_once == 0
    packs = -(-n // at_once)
    moves = -(-matrices * n // (threads // packs)) if whole else -(-matrices * n * n // at_once // threads)
    multiply = "DFMA" if size // (2 if factor == 4 else 1) == 8 else "FFMA"
    each = lambda number: lambda lanes: number
    columns, of_team = each(-(-matrices * n // threads)), each(-(-rank // team))
    lanes_of = min(32, max(2, 1 << (n - 1).bit_length()))  # of a matrix, a column each
    at_a_time, warps = 32 // lanes_of, threads // 32
    by_columns = lambda lanes: len(range(lanes[0] // 32 * at_a_time, matrices, warps * at_a_time)) if lanes[0] // 32 < warps else 0
    tiles = lambda lanes: [(t % team % side, tile * (t % team // side)) for t in lanes]
    product = lambda number: number * rows_of * tile * factor

    def weighed(lanes):
        return tile * sum(any(i + u * side < rows and i + u * side > first and first < rank for i, first in tiles(lanes)) for u in range(rows_of))

    found = {
        "C& c = all[e / N];": [("STS", lambda lanes: 3 * columns(lanes))],
        "arrange<N>(lanes": [("loop", by_columns)],
        "gather<N, THREADS, 2": [("LDG", each(2 * moves))],
        "fill(all[e / N]": [("loop", columns)],
        "q < 2 * MATRICES * on::PADDED": [("loop", each(-(-2 * matrices * across * tile // threads)))],
        "c.norm[k] = norm<": [("loop", of_team), ("LDS.128", each(packs))],
        "add_inner<": [(multiply, lambda lanes: product(n) * any(first < rank for _, first in tiles(lanes)))],
        "weigh<LD": [("MUFU.RCP", weighed)],
        "weigh_diagonal<": [("loop", of_team)],
        "c.tie[k] = tie_defect_of": [("loop", of_team)],
        "add_trapezoid<": [(multiply, lambda lanes: product(max(max(rows - first - tile, 0) for _, first in tiles(lanes))))],
        "add_outer<": [(multiply, each(product(rank)))],
        "scatter_rows<N": [("STG", each(moves))],
        "gauge_defect[first * N + e] =": [("STG", columns)],
        "again{all_g": [("loop", by_columns), ("loop", each(-(-n // lanes_of)))],
    }
    body = source.line("backward(long long batch")
    return {source.line(text, after=body): value for text, value in found.items()}, threads


def left_out(source, whole, form):
    """Lines that regular input does not reach."""
    body = source.line("backward(long long batch")
    spans = [
        source.span("R largest = limits<R>::least_normal();", "tile.cuh"),  # norms near overflow
        source.span("of_group.see(c.lambda_bar[i]);", head="tie_defect_of("),  # ties
        ("backward.cu", [source.line("c.status & TIED && k < c.kept", after=body), source.line("any_spoilt && e < N * N", after=body)]),
    ]
    lines = {(name, line) for name, lines in spans for line in lines}
    if whole:
        for head in ("__device__ void gather(", "__device__ void scatter_rows("):
            name, unaligned = source.span("        return;" if "scatter" in head else "    // Each array as it lies", "tile.cuh", head)
            lines |= {(name, line) for line in unaligned}
    if form != "kept block":
        lines.add(("backward.cu", source.line("if (c.by_lambda) entry")))
    if form == "values":
        lines_of = source.lines["backward.cu"]
        for at in [k for k, line in enumerate(lines_of, 1) if k > body and line.startswith("        if (vectors_bar)")]:
            end = at if not lines_of[at - 1].endswith("{") else next(k for k in range(at, len(lines_of)) if lines_of[k - 1] == "        }")
            lines |= {("backward.cu", line) for line in range(at, end + 1)}
    return lines


def executed(text, n, tile, matrices, dtype, form, source):
    """Instructions of warps for one matrix, by the kernel's line and name."""
    instructions, loops = disassembled(text)
    whole = n * {"float32": 4, "float64": 8, "complex64": 8, "complex128": 16}[dtype] % 16 == 0
    table, threads = phases(source, n, tile, matrices, dtype, form)
    skipped = left_out(source, whole, form)
    body = source.line("backward(long long batch")
    top = lambda i: next((line for name, line in i.places if name == "backward.cu" and line > body), 0)
    phase = lambda line: max((at for at in table if at <= line and line - at < 5), default=None)
    reached = [not skipped.intersection(i.places) for i in instructions]
    warps = [range(first, min(first + 32, threads)) for first in range(0, threads, 32)]

    def work(by, first, last):
        some = [i for i, here in zip(instructions[first : last + 1], reached[first : last + 1]) if here]
        if by == "loop":
            return len(some)
        return sum(i.name.startswith(by.split(".128")[0]) and ("128" in i.name or ".128" not in by) for i in some)

    # Of each phase and depth, the loop that does most of the work. The one over groups of matrices has all phases.
    ends = {source.line(text, after=body) for text in ("gather<N, THREADS, 2", "scatter_rows<N")}
    of_groups = {(first, last) for first, last in loops if ends <= {phase(top(i)) for i in instructions[first : last + 1]}}
    loops = [span for span in loops if span not in of_groups]
    kept = [span for span in loops if sum(reached[span[0] : span[1] + 1]) * 2 > span[1] + 1 - span[0]]
    mains, nests = {}, {}
    for first, last in kept:
        lines = Counter(phase(top(i)) for i, here in zip(instructions[first : last + 1], reached[first : last + 1]) if here)
        at = lines.most_common(1)[0][0]
        depth = sum(nests.get(span) == at and span[0] <= first and last <= span[1] for span in kept if span != (first, last) and span in nests)
        nests[first, last] = at
        if at is None or depth >= len(table[at]):
            continue
        done = work(table[at][depth][0], first, last)
        if done > mains.get((at, depth), (0,))[0]:
            mains[at, depth] = (done, first, last)
    chosen = {(first, last): (at, depth, done) for (at, depth), (done, first, last) in mains.items()}
    total = Counter()
    for index, i in enumerate(instructions):
        around = [span for span in loops if span[0] <= index <= span[1]]
        if not reached[index] or any(span not in chosen for span in around):
            continue
        for lanes in warps:
            times = 1
            for span in around:
                at, depth, done = chosen[span]
                by, amount = table[at][depth]
                times *= amount(lanes) / (1 if by == "loop" else done)
            total[top(i), i.name] += times / matrices
    return total


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
        counted = Counter()
        for (_, name), number in executed(text, n, tile, matrices, dtype, form, source).items():
            counted[name] += number
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

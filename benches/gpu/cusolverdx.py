#!/usr/bin/env python3
"""Times cuSolverDx's heev, NVIDIA's eigensolver for kernels of one's own, on one GPU: cusolverdx.py [--dtype …] [--n …] [--elements N] [--reps N];
peers.py calls it. The lines are those of eigh_peers.py.

libmathdx (nvidia-libmathdx-cu13 on PyPI) makes the function for an order, a type and an architecture as LTO code. NVRTC makes a kernel
around it that moves matrices in and out of shared memory, and nvJitLink links both. torch has the memory and the stream. --link-only
does all but launch, for an architecture: it needs neither torch nor a GPU."""
import argparse, ctypes, glob, itertools, json, os, statistics, sys, sysconfig, time

p = argparse.ArgumentParser()
p.add_argument("--dtype", nargs="+", default=["complex64", "complex128", "float32", "float64"])
p.add_argument("--n", nargs="+", type=int, default=[4, 8, 16, 32, 64])
p.add_argument("--elements", type=int, default=1 << 24)
p.add_argument("--reps", type=int, default=7)
p.add_argument("--device", default="cuda")
p.add_argument("--peers", nargs="+", default=["cusolverdx"])
p.add_argument("--link-only", type=int, metavar="SM", help="as 90: only makes the code")
a = p.parse_args()

# Of libcusolverdx.h and libcommondx.h.
SIZE, TYPE, PRECISION, SM, EXECUTION, BLOCK_DIM, API, FUNCTION, ARRANGEMENT, FILL_MODE, BATCHES, JOB = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 15
HEEV, SHARED_MEMORY, BLOCK, COLUMN_MAJOR, LOWER, OVERWRITE_VECTORS, F32, F64, TARGET_SM = 19, 0, 1, 0, 1, 3, 5, 6, 1
SYMBOL_NAME, SUGGESTED_BLOCK_DIM, SUGGESTED_BATCHES, WORKSPACE_SIZE = 2, 5, 6, 12
FATBIN, LTOIR = 4, 3  # NVJITLINK_INPUT_…
TYPES = dict(float32=(F32, 0, "float", 4, 4), float64=(F64, 0, "double", 8, 8), complex64=(F32, 1, "float", 8, 4), complex128=(F64, 1, "double", 16, 8))

KERNEL = r"""
struct alignas(%(scalar)d) value { unsigned char of[%(scalar)d]; };
extern "C" __device__ void %(symbol)s(value* a, %(real)s* lambda, value* workspace, int* info);
extern "C" __global__ void __launch_bounds__(%(threads)d) decompose(long long batch, value* a, %(real)s* lambda, int* info)
{
    extern __shared__ uint4 memory[];
    constexpr int N = %(n)d, TEAMS = %(teams)d;
    value* const matrices = reinterpret_cast<value*>(memory);
    value* const workspace = matrices + TEAMS * N * N;
    %(real)s* const values = reinterpret_cast<%(real)s*>(workspace + %(workspace)d);
    int* const found = reinterpret_cast<int*>(values + TEAMS * N);
    const long long first = blockIdx.x * static_cast<long long>(TEAMS);
    const int here = batch - first < TEAMS ? static_cast<int>(batch - first) : TEAMS;
    for (int e = threadIdx.x; e < TEAMS * N * N; e += blockDim.x)
        matrices[e] = a[(e / (N * N) < here ? first : 0) * N * N + e];
    __syncthreads();
    %(symbol)s(matrices, values, workspace, found);
    __syncthreads();
    for (int e = threadIdx.x; e < here * N * N; e += blockDim.x) a[first * N * N + e] = matrices[e];
    for (int e = threadIdx.x; e < here * N; e += blockDim.x) lambda[first * N + e] = values[e];
    for (int e = threadIdx.x; e < here; e += blockDim.x) info[first + e] = found[e];
}
"""


def library(name):
    """The newest of a name, where pip puts NVIDIA's libraries, or where the loader looks."""
    folders = [os.environ.get("EIGENGRAD_MATHDX", "")]
    for root in dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *sys.path]):
        folders += glob.glob(os.path.join(root, "nvidia", "*", "lib"))
    for folder in filter(None, folders):
        if found := sorted(glob.glob(os.path.join(folder, f"lib{name}.so.*[0-9]"))):
            return ctypes.CDLL(found[-1], mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(f"lib{name}.so")


def checked(of, name):
    """A function that raises what it fails with."""
    function = getattr(of, name)

    def call(*arguments):
        if status := function(*arguments):
            raise RuntimeError(f"{name}: {status}{why(of)}")

    return call


def why(of):
    """What libmathdx says of its last failure."""
    size, status = ctypes.c_size_t(), ctypes.c_int()
    if not hasattr(of, "commondxGetLastErrorStrSize") or of.commondxGetLastErrorStrSize(ctypes.byref(size)):
        return ""
    text = ctypes.create_string_buffer(size.value + 1)
    of.commondxGetLastErrorStr(ctypes.byref(status), size, text)
    return f": {text.value.decode()}"


def longs(*values):
    return (ctypes.c_longlong * len(values))(*values)


class Toolchain:
    def __init__(self):
        try:
            library("nvrtc-builtins")  # found by its name afterwards, wherever it lies
        except OSError:
            pass  # beside NVRTC, then
        self.nvrtc, self.linker, self.mathdx = library("nvrtc"), library("nvJitLink"), library("mathdx")

    def version(self):
        numbers = [ctypes.c_int() for _ in range(3)]
        checked(self.mathdx, "cusolverdxGetVersion")(*map(ctypes.byref, numbers))
        return ".".join(str(number.value) for number in numbers)

    def descriptor(self, n, dtype, sm, *more):
        """heev for an order and a type; `more` are operators with their values."""
        precision, kind, *_ = TYPES[dtype]
        handle = ctypes.c_longlong()
        checked(self.mathdx, "cusolverdxCreateDescriptor")(ctypes.byref(handle))
        operators = [(FUNCTION, HEEV), (SIZE, n, n, 1), (PRECISION, precision), (EXECUTION, BLOCK), (SM, sm * 10), (ARRANGEMENT, COLUMN_MAJOR),
                     (FILL_MODE, LOWER), (TYPE, kind), (JOB, OVERWRITE_VECTORS), (API, SHARED_MEMORY), *more]
        for operator, *values in operators:
            if operator in (SIZE, ARRANGEMENT, BLOCK_DIM):
                checked(self.mathdx, "cusolverdxSetOperatorInt64s")(handle, operator, ctypes.c_size_t(len(values)), longs(*values))
            else:
                checked(self.mathdx, "cusolverdxSetOperatorInt64")(handle, operator, ctypes.c_longlong(*values))
        return handle

    def function(self, n, dtype, sm):
        """heev's LTO code, its name, threads, matrices a block and elements of workspace."""
        dx = self.mathdx
        trait, traits = checked(dx, "cusolverdxGetTraitInt64"), checked(dx, "cusolverdxGetTraitInt64s")
        suggested, block = ctypes.c_longlong(), longs(0, 0, 0)
        trait(self.descriptor(n, dtype, sm), SUGGESTED_BATCHES, ctypes.byref(suggested))
        teams = max(1, suggested.value)
        traits(self.descriptor(n, dtype, sm, (BATCHES, teams)), SUGGESTED_BLOCK_DIM, ctypes.c_size_t(3), block)
        handle = self.descriptor(n, dtype, sm, (BATCHES, teams), (BLOCK_DIM, *block))
        workspace, size = ctypes.c_longlong(), ctypes.c_size_t()
        trait(handle, WORKSPACE_SIZE, ctypes.byref(workspace))
        checked(dx, "cusolverdxGetTraitStrSize")(handle, SYMBOL_NAME, ctypes.byref(size))
        symbol = ctypes.create_string_buffer(size.value + 1)
        checked(dx, "cusolverdxGetTraitStr")(handle, SYMBOL_NAME, size, symbol)
        code = ctypes.c_longlong()
        checked(dx, "commondxCreateCode")(ctypes.byref(code))
        option = checked(dx, "commondxSetCodeOptionInt64")
        option(code, TARGET_SM, ctypes.c_longlong(sm * 10))
        checked(dx, "cusolverdxFinalizeCode")(code, handle)
        count = ctypes.c_size_t()
        checked(dx, "commondxGetCodeNumLTOIRs")(code, ctypes.byref(count))
        sizes = (ctypes.c_size_t * count.value)()
        checked(dx, "commondxGetCodeLTOIRSizes")(code, count, sizes)
        parts = [ctypes.create_string_buffer(size) for size in sizes]
        checked(dx, "commondxGetCodeLTOIRs")(code, count, (ctypes.c_void_p * count.value)(*map(ctypes.addressof, parts)))
        return [part.raw for part in parts] + self.fatbin(handle), symbol.value.decode(), block[0] * block[1] * block[2], teams, workspace.value

    def fatbin(self, handle):
        """What the functions of all types share, if there is such code."""
        size = ctypes.c_size_t()
        if self.mathdx.cusolverdxGetUniversalFATBINSize(handle, ctypes.byref(size)) or not size.value:
            return []
        image = ctypes.create_string_buffer(size.value)
        checked(self.mathdx, "cusolverdxGetUniversalFATBIN")(handle, size, image)
        return [image.raw]

    def lto(self, source, sm):
        program = ctypes.c_void_p()
        checked(self.nvrtc, "nvrtcCreateProgram")(ctypes.byref(program), source.encode(), b"decompose.cu", 0, None, None)
        options = (ctypes.c_char_p * 4)(f"--gpu-architecture=sm_{sm}".encode(), b"--std=c++17", b"-dlto", b"--relocatable-device-code=true")
        if self.nvrtc.nvrtcCompileProgram(program, len(options), options):
            size = ctypes.c_size_t()
            self.nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            self.nvrtc.nvrtcGetProgramLog(program, log)
            raise RuntimeError(log.value.decode())
        size = ctypes.c_size_t()
        checked(self.nvrtc, "nvrtcGetLTOIRSize")(program, ctypes.byref(size))
        code = ctypes.create_string_buffer(size.value)
        checked(self.nvrtc, "nvrtcGetLTOIR")(program, code)
        return code.raw

    def cubin(self, n, dtype, sm):
        """Linked code; threads and matrices of a block, and its bytes of shared memory."""
        _, _, real, scalar, of_real = TYPES[dtype]
        parts, symbol, threads, teams, workspace = self.function(n, dtype, sm)
        source = KERNEL % dict(n=n, real=real, scalar=scalar, symbol=symbol, threads=threads, teams=teams, workspace=workspace)
        shared = (teams * n * n + workspace) * scalar + teams * n * of_real + teams * 4
        link = self.linker
        handle, options = ctypes.c_void_p(), (ctypes.c_char_p * 2)(f"-arch=sm_{sm}".encode(), b"-lto")
        checked(link, "nvJitLinkCreate")(ctypes.byref(handle), 2, options)
        for number, part in enumerate([*parts, self.lto(source, sm)]):
            kind = FATBIN if part[:4] == b"\x50\xed\x55\xba" else LTOIR
            if status := link.nvJitLinkAddData(handle, kind, part, ctypes.c_size_t(len(part)), f"part{number}".encode()):
                raise RuntimeError(f"nvJitLinkAddData: {status}: {self.linked_log(handle)}")
        if status := link.nvJitLinkComplete(handle):
            raise RuntimeError(f"nvJitLinkComplete: {status}: {self.linked_log(handle)}")
        size = ctypes.c_size_t()
        checked(link, "nvJitLinkGetLinkedCubinSize")(handle, ctypes.byref(size))
        image = ctypes.create_string_buffer(size.value)
        checked(link, "nvJitLinkGetLinkedCubin")(handle, image)
        return image.raw, threads, teams, shared

    def linked_log(self, handle):
        size = ctypes.c_size_t()
        self.linker.nvJitLinkGetErrorLogSize(handle, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value + 1)
        self.linker.nvJitLinkGetErrorLog(handle, log)
        return log.value.decode()


if a.link_only:
    tools = Toolchain()
    for dtype, n in itertools.product(a.dtype, a.n):
        image, threads, teams, shared = tools.cubin(n, dtype, a.link_only)
        print(json.dumps(dict(peer="cusolverdx", version=tools.version(), dtype=dtype, n=n, bytes=len(image), threads=threads, teams=teams, shared=shared)))
    sys.exit()


def figures(torch, tools, driver, dtype, n):
    """Nanoseconds a matrix of each repetition, and the residual of one of them in n·ε."""
    major, minor = torch.cuda.get_device_capability()
    image, threads, teams, shared = tools.cubin(n, dtype, 10 * major + minor)
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    checked(driver, "cuModuleLoadData")(ctypes.byref(module), image)
    checked(driver, "cuModuleGetFunction")(ctypes.byref(function), module, b"decompose")
    checked(driver, "cuFuncSetAttribute")(function, 8, shared)  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    batch = max(8, a.elements // (n * n))
    kind = getattr(torch, dtype)
    x = torch.randn(batch, n, n, dtype=kind, device="cuda")
    matrices = (x @ x.mH) / n
    work, found = matrices.mT.contiguous(), torch.zeros(batch, dtype=torch.int32, device="cuda")
    values = torch.zeros(batch, n, dtype=matrices.real.dtype, device="cuda")
    arguments = [ctypes.c_longlong(batch), *(ctypes.c_void_p(t.data_ptr()) for t in (work, values, found))]
    addresses = (ctypes.c_void_p * 4)(*map(ctypes.addressof, arguments))
    stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)

    def run():
        checked(driver, "cuLaunchKernel")(function, -(-batch // teams), 1, 1, threads, 1, 1, shared, stream, addresses, None)

    times = []
    for repetition in range(a.reps + 2):
        work.copy_(matrices.mT)  # the eigenvectors were written over it
        torch.cuda.synchronize()
        start = time.perf_counter_ns()
        run()
        torch.cuda.synchronize()
        times.append(time.perf_counter_ns() - start)
    if int(found.count_nonzero()):
        raise RuntimeError("not converged")
    some = slice(0, min(batch, 256))
    v = work[some].mT
    off = matrices[some] @ v - v * values[some, None, :]
    epsilon = torch.finfo(values.dtype).eps
    residual = float((off.abs().amax((-2, -1)) / values[some].abs().amax(-1)).max()) / (n * epsilon)
    checked(driver, "cuModuleUnload")(module)
    return batch, times[2:], residual


try:
    import torch

    if not torch.cuda.is_available():
        raise ImportError("it is installed, but finds no GPU")
    tools, driver = Toolchain(), ctypes.CDLL("libcuda.so.1")
except (ImportError, OSError) as missing:
    print(json.dumps(dict(peer="cusolverdx", missing=str(missing))))
    sys.exit()
for dtype, n in itertools.product(a.dtype, a.n):
    first = dict(peer="cusolverdx", version=tools.version(), device="cuda", dtype=dtype, n=n)
    try:
        batch, ns, residual = figures(torch, tools, driver, dtype, n)
    except RuntimeError as failed:
        print(json.dumps(first | dict(failed=str(failed)[:500])), flush=True)
        continue
    row = first | dict(batch=batch, what="forward", median_ns=round(statistics.median(ns) / batch, 3), min_ns=round(min(ns) / batch, 3))
    print(json.dumps(row | dict(residual=round(residual, 2))), flush=True)

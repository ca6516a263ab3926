#!/usr/bin/env bash
# Runs a section of the bundle beside this file and writes OUT_DIR/SECTION.json: run.sh SECTION [OUT_DIR]; README.md tells the rest.
set -uo pipefail
readonly sections=(bars conformance suite sanitizer python candle forward backward calculus cusolverdx peers)
readonly usage="usage: run.sh ${sections[*]}|all [OUT_DIR]"
readonly section=${1:?$usage}
here=$(cd "$(dirname "$0")" && pwd -P)
mkdir -p -- "${2:-out}"
out=$(cd "${2:-out}" && pwd -P)
elements=${EIGENGRAD_BENCH_ELEMENTS:-67108864} # batch·n² of what is timed
limit=${EIGENGRAD_BENCH_SECONDS:-510}          # of a section
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
bin=$work/bin
mkdir -p -- "$bin"
for packed in "$here"/*.gz; do
    [[ $packed == *.tar.gz ]] && continue
    program=$bin/$(basename "${packed%.gz}")
    gunzip -c "$packed" >"$program" && chmod +x "$program"
done
export EIGENGRAD_CACHE=$work/cache EIGENGRAD_REQUIRE_CUDA=1 XLA_PYTHON_CLIENT_PREALLOCATE=false

# Where pip put NVIDIA's libraries: one folder for all of CUDA 13, one for each library of CUDA 12.
wheels() {
    python3 -c '
import glob, os, site, sysconfig
roots = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()])
folders = [folder for root in roots for folder in sorted(glob.glob(os.path.join(root, "nvidia", "*", "lib")))]
if any(glob.glob(os.path.join(folder, "libcusolver.so.*")) for folder in folders):
    print("\n".join(folders))'
}

# One folder with all of them, which is what our programs are told. The Python peers find their own.
found=${LD_LIBRARY_PATH:-}
libraries=$work/lib
if [[ -z ${EIGENGRAD_CUDA_LIB_DIR:-} ]]; then
    mapfile -t folders < <(wheels)
    if ((${#folders[@]} == 0)); then
        folders=(/usr/local/cuda/lib64)
    fi
    mkdir -p "$libraries"
    for folder in "${folders[@]}"; do
        ln -s "$folder"/*.so* "$libraries" 2>>"$work/links"
    done
    for library in "$libraries"/*.so.[0-9]*; do # by the names, too, that a toolkit beside the wheels may have in the loader's folders
        ln -sf "$library" "${library%%.so.*}.so"
    done
    export EIGENGRAD_CUDA_LIB_DIR=$libraries
    driver=/usr/local/nvidia/lib64 # where containers have it
    path=$libraries:${found:+$found:}$driver
else
    path=$found
fi
ours() {
    LD_LIBRARY_PATH=$path "$@"
}

# step NAME SECONDS COMMAND …: keeps what it prints and how it ends.
step() {
    local name=$1 seconds=$2 left=$((deadline - SECONDS)) start end status
    shift 2
    seconds=$((seconds < left ? seconds : left))
    if ((seconds <= 0)); then
        printf '%s\tnot begun\t0\t%s\n' "$name" "${*##*/}" >>"$steps/steps"
        return
    fi
    printf '%s: %s\n' "$name" "$*" >&2
    start=$(date +%s%N)
    ours timeout --kill-after=5 "$seconds" "$@" >"$steps/$name.out" 2>"$steps/$name.err" </dev/null
    status=$?
    end=$(date +%s%N)
    printf '%s\t%s\t%s\t%s\n' "$name" "$status" "$(((end - start) / 1000000))" "${*##*/}" >>"$steps/steps"
}

# measured NAME SECONDS SECTION …: the program stops by itself in time for a case that has begun to end.
measured() {
    local name=$1 seconds=$2 left=$((deadline - SECONDS))
    shift 2
    seconds=$((seconds < left ? seconds : left))
    step "$name" "$seconds" "$bin/gpu" "$@" --elements "$elements" --seconds $((seconds > 20 ? seconds - 10 : seconds / 2)) \
        ${EIGENGRAD_BENCH_REPS:+--reps "$EIGENGRAD_BENCH_REPS"}
}

# What is asked of both passes, in one call: batches of 2²⁴/n², every solver in the same run.
bars() {
    local elements=${EIGENGRAD_BENCH_ELEMENTS:-16777216} of_256
    step warm 60 "$bin/eigengrad" warm
    measured copy 15 copy
    measured forward-complex64 95 forward --dtype complex64 --n 8 32 64 4 16 48 128
    measured backward 60 backward --dtype float32 complex64 --n 8 32 96 16 64
    # The same where a block has two buffers, and by the kernels of large matrices.
    EIGENGRAD_BACKWARD=two-buffers measured backward-two-buffers 25 backward --dtype float32 complex64 --n 32 96 64
    EIGENGRAD_BACKWARD=inner-outer measured backward-inner-outer 25 backward --dtype float32 complex64 --n 96 64
    for of_256 in 8 32; do
        elements=$((256 * of_256 * of_256)) measured "forward-256-$of_256" 20 forward --dtype complex64 --n "$of_256"
    done
    measured forward-others 95 forward --dtype float32 float64 complex128 --n 32 8 64
    step cusolverdx 95 env LD_LIBRARY_PATH="$found" EIGENGRAD_MATHDX="$bin" \
        python3 "$here/cusolverdx.py" --elements "$elements" --dtype complex64 float32 --n 8 32 64
}

conformance() {
    export EIGENGRAD_CONFORMANCE_OUT=$steps/conformance.facts
    step conformance 500 "$bin/conformance" --test-threads=1 # a call that hangs or breaks the context is the last that is named
    unset EIGENGRAD_CONFORMANCE_OUT
}

suite() {
    step cuda 120 "$bin/cuda"
    step suite 280 "$bin/suite" cuda::
    # The solver by QL, which `Auto` takes where the user's table says so.
    local dtype capability
    capability=$(ours "$bin/eigengrad" devices | sed -n 's/.*capability \([0-9.]*\),.*/\1/p' | head -n 1)
    for dtype in float32 complex64; do printf '%s\n' "$capability $dtype 1-128 ql"; done >"$work/solvers"
    for dtype in float64 complex128; do printf '%s\n' "$capability $dtype 1-64 ql"; done >>"$work/solvers"
    EIGENGRAD_BACKWARD=two-buffers step gradients-two-buffers 30 "$bin/cuda" orders::
    EIGENGRAD_BACKWARD=inner-outer step gradients-inner-outer 30 "$bin/cuda" orders::
    step suite-by-ql 60 env EIGENGRAD_SOLVERS="$work/solvers" "$bin/suite" the_catalogue_of_spectra the_spectrum_of every_rank \
        the_same_bits_again matrices_that_are_not_finite at_most_the_largest --skip cpu::
}

sanitizer() {
    local tool test sanitizer
    sanitizer=$(PATH=$PATH:/usr/local/cuda/bin:/usr/local/cuda/compute-sanitizer command -v compute-sanitizer)
    if [[ -z $sanitizer ]]; then
        printf 'compute-sanitizer\tmissing\t0\t\n' >>"$steps/steps"
        return
    fi
    step warm 60 "$bin/eigengrad" warm
    # An order of each path of each kernel, then what is stored as halves. Beside each other: what takes the time is a processor's work.
    for tool in memcheck racecheck initcheck synccheck; do
        for test in races::decompositions races::gradients races::factors_of_both_shapes races::derivatives races::functions \
            races::losses cuda::complex_float16::stored_as_halves cuda::float32::exact_ties_show; do
            local program=$bin/suite
            [[ $test == races::* ]] && program=$bin/cuda
            step "$tool-${test//::/-}" $((limit * 4 / 5)) "$sanitizer" --tool "$tool" --error-exitcode 86 \
                "$program" --exact "$test" --test-threads=1
        done &
    done
    wait
}

# The Python package in torch and JAX, which find NVIDIA's libraries by themselves.
python() {
    tar -C "$work" -xzf "$here/python.tar.gz"
    step python 480 env LD_LIBRARY_PATH="$found" PYTHONPATH="$work/python:$work/python/pytest" \
        python3 -m pytest -p no:cacheprovider --tb=short --verbose "$work/python/tests/test_cuda.py"
}

# candle's training, where the bundle was made with a toolkit.
candle() {
    if [[ ! -f $bin/digits ]]; then
        printf 'candle\tnot in this bundle\t0\t\n' >>"$steps/steps"
        return
    fi
    step candle 120 "$bin/digits" "$here/data/digits_covariance.npy" "$steps/digits.svg"
}

forward() {
    export EIGENGRAD_CACHE=$work/empty
    measured cold-empty-cache 60 cold
    measured cold-full-cache 30 cold
    export EIGENGRAD_CACHE=$work/cache
    step warm 60 "$bin/eigengrad" warm
    measured copy 30 copy
    for way in auto 'on chip' ql jacobi 'syev fastest'; do
        measured "capture-${way// /-}" 30 capture --solver "$way"
    done
    measured forward-deciding 170 forward --n 8 32 33 4 16 64 128
    measured accuracy 110 accuracy
    measured forward-others 140 forward --n 24 48 12 3 2 96 256
}

backward() {
    step warm 60 "$bin/eigengrad" warm
    measured copy 30 copy
    measured backward 420 backward
}

calculus() {
    step warm 60 "$bin/eigengrad" warm
    measured calculus 440 calculus
}

# Linking takes most of the time: some 8 s for an order and a type. Ours before and behind.
cusolverdx() {
    step warm 60 "$bin/eigengrad" warm
    measured ours-before 60 times --n 4 8 16 32 64
    step cusolverdx 340 env LD_LIBRARY_PATH="$found" EIGENGRAD_MATHDX="$bin" \
        python3 "$here/cusolverdx.py" --elements "$elements" --n 4 8 16 32 64
    measured ours-behind 60 times --n 4 8 16 32 64
}

peers() {
    step warm 60 "$bin/eigengrad" warm
    measured copy 30 copy
    step peers 450 env LD_LIBRARY_PATH="$found" python3 "$here/peers.py" --seconds $((limit > 80 ? limit - 80 : limit / 2)) --elements "$elements" \
        --program "$bin/gpu" --library-path "$path" ${EIGENGRAD_BENCH_REPS:+--reps "$EIGENGRAD_BENCH_REPS"} ${EIGENGRAD_BENCH_N:+--n $EIGENGRAD_BENCH_N} \
        ${EIGENGRAD_BENCH_DTYPE:+--dtype $EIGENGRAD_BENCH_DTYPE}
}

one() {
    steps=$work/$1
    mkdir -p "$steps"
    deadline=$((SECONDS + limit))
    local start=$SECONDS
    "$1"
    ours "$bin/eigengrad" devices >"$steps/devices" 2>&1
    python3 "$here/collect.py" "$1" "$steps" --seconds $((SECONDS - start)) --commit "$(<"$here/COMMIT")" >"$work/$1.json" &&
        mv -- "$work/$1.json" "$out/$1.json" && printf '%s\n' "$out/$1.json"
}

case " ${sections[*]} all " in
*" $section "*) ;;
*) printf '%s\n' "$usage" >&2; exit 2 ;;
esac
status=0
for name in "${sections[@]}"; do
    if [[ $section == all || $section == "$name" ]]; then
        one "$name" || status=1
    fi
done
exit "$status"

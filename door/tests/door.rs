//! The door by addresses, on the CPU and on a GPU or its emulator: each operation has the bits that
//! the library has with memory of its own.

use eigengrad::num_complex::Complex;
use eigengrad::{
    Array, Backend, Cotangents, Cpu, Derivative, Eigenpairs, Engine, FactorBatch, FactorPairs, Function, HermitianBatch, Options,
    Pod, Read, Real, Scalar, Status, eigh, eigh_factor, eigvalsh, fidelity,
};
use eigengrad_door::{Address, Call, CotangentsAt, Dtype, FunctionAt, Operation, PairsAt, Place, ResultAt, SpectrumAt};

/// A backend whose memory has addresses, and the place that calls on it name.
trait Addressed: Backend {
    fn address<T: Pod, const D: usize>(of: &Array<T, Self, D>) -> Address;
    fn run(&self, call: impl Fn(Place<'_>) -> eigengrad::Result<()>);
}

impl Addressed for Cpu {
    fn address<T: Pod, const D: usize>(of: &Array<T, Self, D>) -> Address {
        of.view().memory().as_ptr() as Address
    }

    fn run(&self, call: impl Fn(Place<'_>) -> eigengrad::Result<()>) {
        for threads in [1, 3] {
            call(Place::Cpu { threads }).unwrap();
        }
    }
}

#[cfg(all(feature = "cuda", target_os = "linux"))]
impl Addressed for eigengrad::cuda::Cuda {
    fn address<T: Pod, const D: usize>(of: &Array<T, Self, D>) -> Address {
        of.view().memory().address() as Address
    }

    fn run(&self, call: impl Fn(Place<'_>) -> eigengrad::Result<()>) {
        let lent = std::sync::Mutex::new(Vec::new());
        let memory = |bytes: usize| {
            let memory = Array::<u32, Self, 1>::zeros(self, [bytes.div_ceil(4)]).ok()?;
            let address = Self::address(&memory);
            lent.lock().unwrap().push(memory);
            Some(address)
        };
        let stream = self.stream().cu_stream() as usize;
        call(Place::Cuda { ordinal: 0, stream, memory: eigengrad_door::Memory(&memory) }).unwrap();
        if !lent.lock().unwrap().is_empty() {
            assert!(
                call(Place::Cuda { ordinal: 0, stream, memory: eigengrad_door::Memory(&|_| None) }).is_err(),
                "without memory to work in"
            );
        }
        self.synchronize().unwrap();
    }
}

const BATCH: usize = 5;
const N: usize = 6;
const R: usize = 3;

fn dtype<T: Scalar>() -> Dtype {
    match T::DTYPE {
        eigengrad::Dtype::F32 => Dtype::F32,
        eigengrad::Dtype::F64 => Dtype::F64,
        eigengrad::Dtype::Complex64 => Dtype::Complex64,
        _ => Dtype::Complex128,
    }
}

/// Numbers from -1 to 1 that repeat from run to run.
fn numbers<T: Scalar>(count: usize, seed: u64) -> Vec<T> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        <T::Real as Real>::of((state >> 40) as f64 / f64::from(1_u32 << 23) - 1.0)
    };
    (0..count).map(|_| T::from_parts(next(), next())).collect()
}

/// B Bᴴ of factors `[batch, k, i]`.
fn squares<T: Scalar>(b: &[T]) -> Vec<T> {
    let entry = |m: usize, i: usize, j: usize| {
        (0..R).map(|k| b[(m * R + k) * N + i] * b[(m * R + k) * N + j].conj()).fold(T::zero(), |sum, x| sum + x)
    };
    (0..BATCH * N * N).map(|at| entry(at / (N * N), at / N % N, at % N)).collect()
}

/// Memory that the door writes, compared with what the library made.
struct Written<T: Pod, B: Backend, const D: usize>(Array<T, B, D>);

impl<T: Pod, B: Addressed, const D: usize> Written<T, B, D> {
    fn new(backend: &B, shape: [usize; D]) -> Self {
        Self(Array::zeros(backend, shape).unwrap())
    }

    fn at(&self) -> Address {
        B::address(&self.0)
    }

    fn expect(&self, other: &Array<T, B, D>, what: &str) {
        // By their text, which tells -0 from 0 and has NaN equal to itself.
        let text = |array: &Array<T, B, D>| format!("{:?}", array.to_host().unwrap().to_vec());
        assert_eq!(text(&self.0), text(other), "{what}");
    }
}

/// A batch of no matrices, and matrices of no order, which have no memory, are nothing to do.
fn nothing<B: Addressed>(backend: &B) {
    for (batch, n) in [(0, 3), (0, 0), (2, 0)] {
        let status = Written::<Status, B, 1>::new(backend, [batch]);
        let each = || Array::<f64, B, 1>::zeros(backend, [batch]).unwrap();
        let (rank, gaps) = (Array::<u32, B, 1>::zeros(backend, [batch]).unwrap(), [each(), each()]);
        let [gap_kept, gap_dropped] = gaps.each_ref().map(B::address);
        let spectrum = SpectrumAt { values: 0, kept: 0, rank: B::address(&rank), status: status.at(), gap_kept, gap_dropped };
        let pairs = PairsAt { values: 0, kept: 0, status: status.at(), vectors: 0 };
        let out = ResultAt { data: 0, status: status.at() };
        let run = |operation: &dyn Fn(&Call<'_>) -> eigengrad::Result<()>| {
            backend.run(|place| operation(&Call { dtype: Dtype::F64, batch, n, options: Options::default(), place }));
        };
        let eigh = eigengrad_door::Eigh { a: 0, read: Read::Lower, spectrum, vectors: 0, with_vectors: true };
        let function = FunctionAt::Named(Function::Sqrt);
        let spectral = eigengrad_door::SpectralOf { pairs, function, derivative: Derivative::Zeroth, out };
        // SAFETY: what has elements is there.
        run(&|call| unsafe { call.run(eigh) });
        // SAFETY: as above.
        run(&|call| unsafe { call.run(spectral) });
    }
}

struct Door<'a, B> {
    backend: &'a B,
    dtype: Dtype,
}

impl<B: Addressed> Door<'_, B> {
    fn run(&self, operation: impl Into<Operation>) {
        let (&Self { backend, dtype }, operation) = (self, operation.into());
        backend.run(|place| {
            let call = Call { dtype, batch: BATCH, n: N, options: Options::default(), place };
            // SAFETY: the arrays of this test have the shapes that the operations name.
            unsafe { call.run(operation) }
        });
    }
}

/// Memory for λ of so many pairs and what the cut makes of it.
type SpectrumOf<T, B> = eigengrad::Spectrum<<T as eigengrad::Element>::Real, B>;

fn at<T: Scalar, B: Addressed>(of: &SpectrumOf<T, B>) -> SpectrumAt {
    SpectrumAt {
        values: B::address(&of.values),
        kept: B::address(&of.kept),
        rank: B::address(&of.rank),
        status: B::address(&of.status),
        gap_kept: B::address(&of.gap_kept),
        gap_dropped: B::address(&of.gap_dropped),
    }
}

fn same<T: Scalar, B: Backend>(one: &SpectrumOf<T, B>, other: &SpectrumOf<T, B>) {
    let text = |of: &SpectrumOf<T, B>| format!("{:?}", of.to_host().unwrap());
    assert_eq!(text(one), text(other));
}

fn every_operation<T: Scalar, B: Engine<T> + Addressed>(backend: &B) {
    let door = Door { backend, dtype: dtype::<T>() };
    let factors = numbers::<T>(BATCH * R * N, 1);
    let of = |host: Vec<T>, shape| Array::<T, B, 3>::from_host(backend, host, shape).unwrap();
    let square = [BATCH, N, N];
    let a = of(squares(&factors), square);
    let matrices = HermitianBatch::of(of(squares(&factors), square), Read::Lower).unwrap();
    let options = Options::default();

    let pairs = eigh(&matrices, &options).unwrap();
    let plan = eigengrad::Plan::<T, B>::new(backend, BATCH, N, &options).unwrap();
    let mut made: Eigenpairs<T, B> = plan.eigenpairs().unwrap();
    let mut eigh_at = eigengrad_door::Eigh {
        a: B::address(&a),
        read: Read::Lower,
        spectrum: at::<T, B>(&made.spectrum),
        vectors: 0,
        with_vectors: false,
    };
    door.run(eigh_at);
    same::<T, B>(&made.spectrum, &eigvalsh(&matrices, &options).unwrap());
    made = plan.eigenpairs().unwrap();
    (eigh_at.spectrum, eigh_at.vectors, eigh_at.with_vectors) = (at::<T, B>(&made.spectrum), B::address(&made.vectors), true);
    door.run(eigh_at);
    same::<T, B>(&made.spectrum, &pairs.spectrum);
    Written(made.vectors).expect(&pairs.vectors, "V");

    let pairs_at = PairsAt {
        values: B::address(&pairs.spectrum.values),
        kept: B::address(&pairs.spectrum.kept),
        status: B::address(&pairs.spectrum.status),
        vectors: B::address(&pairs.vectors),
    };
    let (v_bar, h) = (of(numbers(BATCH * N * N, 2), square), of(numbers(BATCH * N * N, 3), square));
    let values_bar: Vec<_> = numbers::<T>(BATCH * N, 4).into_iter().map(Scalar::re).collect();
    let values_bar = Array::<T::Real, B, 2>::from_host(backend, values_bar, [BATCH, N]).unwrap();
    let cotangents = CotangentsAt { values: B::address(&values_bar), vectors: B::address(&v_bar), rows: false };
    let bars = Cotangents::from_columns(
        Some(Array::from_host(backend, values_bar.to_host().unwrap().to_vec(), [BATCH, N]).unwrap()),
        Some(of(numbers(BATCH * N * N, 2), square)),
    );
    let direction = HermitianBatch::of(of(numbers(BATCH * N * N, 3), square), Read::Mean).unwrap();
    let matrix = || Written::<T, B, 3>::new(backend, square);
    let reals = || Written::<T::Real, B, 2>::new(backend, [BATCH, N]);
    let (each, status) = (|| Written::<T::Real, B, 1>::new(backend, [BATCH]), || Written::<Status, B, 1>::new(backend, [BATCH]));

    let (a_bar, gauge, tie, found) = (matrix(), reals(), each(), status());
    door.run(eigengrad_door::Backward {
        pairs: pairs_at,
        directions: 1,
        cotangents,
        a_bar: a_bar.at(),
        gauge_defect: gauge.at(),
        tie_defect: tie.at(),
        status: found.at(),
    });
    let gradient = pairs.backward(&bars).unwrap();
    a_bar.expect(&gradient.a_bar, "Ā");
    gauge.expect(&gradient.gauge_defect, "ρ");
    tie.expect(&gradient.tie_defect, "tie defect");
    found.expect(&gradient.status, "status");

    let (values, vectors, found) = (reals(), matrix(), status());
    door.run(eigengrad_door::Jvp {
        pairs: pairs_at,
        directions: 1,
        a_dot: B::address(&h),
        values: values.at(),
        vectors: vectors.at(),
        status: found.at(),
    });
    let tangents = pairs.jvp(&direction).unwrap();
    values.expect(&tangents.values, "λ̇");
    vectors.expect(&tangents.vectors, "V̇");
    found.expect(&tangents.status, "status of V̇");

    let (a_bar, values, vectors, found) = (matrix(), reals(), matrix(), status());
    door.run(eigengrad_door::DoubleBackward {
        pairs: pairs_at,
        directions: 1,
        cotangents,
        h: B::address(&h),
        a_bar: a_bar.at(),
        values_bar_bar: values.at(),
        vectors_bar_bar: vectors.at(),
        status: found.at(),
    });
    let double = pairs.double_backward(&bars, &direction, None).unwrap();
    a_bar.expect(&double.a_bar, "the cotangent of A");
    values.expect(&double.values_bar_bar, "that of λ̄");
    vectors.expect(&double.vectors_bar_bar, "that of V̄");

    let (data, found) = (matrix(), status());
    let out = ResultAt { data: data.at(), status: found.at() };
    door.run(eigengrad_door::BackwardJvp { pairs: pairs_at, cotangents, a_dot: B::address(&h), cotangents_dot: cotangents, out });
    data.expect(&pairs.backward_jvp(&bars, &direction, &bars).unwrap().data, "the tangent of Ā");

    let function = FunctionAt::Named(Function::Sqrt);
    door.run(eigengrad_door::SpectralOf { pairs: pairs_at, function, derivative: Derivative::Zeroth, out });
    data.expect(&pairs.spectral(&Function::Sqrt.into()).unwrap().data, "√A");
    door.run(eigengrad_door::SpectralDerivative { pairs: pairs_at, function, e: B::address(&h), out });
    data.expect(&pairs.spectral_derivative(&Function::Sqrt.into(), &direction).unwrap().data, "the derivative of √A");
    let trace = each();
    door.run(eigengrad_door::TraceOf { pairs: pairs_at, function, trace: trace.at(), status: found.at() });
    trace.expect(&pairs.trace_of(&Function::Sqrt.into()).unwrap().values, "tr √A");

    let thin = [BATCH, R, N];
    let b = of(factors.clone(), thin);
    let of_factors: FactorPairs<T, B> = eigh_factor(&FactorBatch::from_columns(of(factors, thin)).unwrap(), &options).unwrap();
    let factor_plan = eigengrad::FactorPlan::<T, B>::new(backend, BATCH, N, R, &options).unwrap();
    let made = factor_plan.pairs::<T>().unwrap();
    door.run(eigengrad_door::EighFactor {
        b: B::address(&b),
        r: R,
        spectrum: at::<T, B>(&made.spectrum),
        vectors: B::address(&made.vectors),
        projection: B::address(&made.projection),
    });
    same::<T, B>(&made.spectrum, &of_factors.spectrum);
    let factor_at = PairsAt {
        values: B::address(&made.spectrum.values),
        kept: B::address(&made.spectrum.kept),
        status: B::address(&made.spectrum.status),
        vectors: B::address(&made.vectors),
    };
    let rows = of(numbers(BATCH * N * R, 5), [BATCH, N, R]);
    let b_bar = Written::<T, B, 3>::new(backend, thin);
    let (gauge, tie, found) = (Written::<T::Real, B, 2>::new(backend, [BATCH, R]), each(), status());
    door.run(eigengrad_door::BackwardFactor {
        pairs: factor_at,
        projection: B::address(&made.projection),
        r: R,
        cotangents: CotangentsAt { values: 0, vectors: B::address(&rows), rows: true },
        b_bar: b_bar.at(),
        gauge_defect: gauge.at(),
        tie_defect: tie.at(),
        status: found.at(),
    });
    let gradient = of_factors.backward(&Cotangents::from_rows(None, Some(rows))).unwrap();
    b_bar.expect(&gradient.b_bar, "B̄");
    gauge.expect(&gradient.gauge_defect, "ρ of factors");

    let state = || HermitianBatch::of(of(squares(&numbers::<T>(BATCH * R * N, 6)), square), Read::Lower).unwrap();
    let other = state();
    let (root, a_bar, b_bar, found) = (each(), matrix(), matrix(), status());
    door.run(eigengrad_door::FidelityOf {
        a: B::address(&a),
        b: B::address(other.data()),
        read: Read::Lower,
        root: root.at(),
        status: found.at(),
        a_bar: a_bar.at(),
        b_bar: b_bar.at(),
    });
    let found = fidelity(&matrices, &state(), &options).unwrap();
    root.expect(&found.root, "√F");
    a_bar.expect(&found.a_bar.data, "the gradient of F by A");
    b_bar.expect(&found.b_bar.data, "that by B");
}

#[test]
fn on_the_cpu() {
    let cpu = Cpu::default();
    every_operation::<f32, _>(&cpu);
    every_operation::<Complex<f64>, _>(&cpu);
    nothing(&cpu);
}

/// On the emulator, or on a GPU: see scripts/test-emulated.
#[cfg(all(feature = "cuda", target_os = "linux"))]
#[test]
fn on_a_device() {
    use std::io::Write;
    match eigengrad::cuda::Cuda::new(0) {
        Ok(cuda) => {
            every_operation::<f32, _>(&cuda);
            every_operation::<Complex<f64>, _>(&cuda);
            nothing(&cuda);
        }
        Err(reason) if std::env::var("EIGENGRAD_REQUIRE_CUDA").is_ok_and(|required| required == "1") => panic!("{reason}"),
        Err(reason) => drop(writeln!(std::io::stderr(), "not run, no CUDA device: {reason}")),
    }
}

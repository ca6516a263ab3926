//! Whether a decomposition repeats its bits, in a CUDA graph too. Promised for neither routine:
//! recorded.

use crate::fact::fact;
use crate::gpu::{Gpu, gpu};
use crate::matrices::Matrices;
use crate::number::Number;
use crate::objects::Status;
use crate::solver::{Job, Outcome, Prepared, Routine};
use cudarc::driver::result::{graph, stream};
use cudarc::driver::sys::{CUgraph, CUgraphInstantiate_flags, CUstreamCaptureMode};
use num_complex::Complex;

/// The same batch twice, and in reversed order.
#[test]
fn bits_are_compared() {
    fn record<T: Number>(gpu: &Gpu, routine: Routine, n: usize) {
        let (count, each) = (33, n * n);
        let a = Matrices::<T>::random(n, count, 41);
        let reversed = Matrices { data: a.data.chunks(each).rev().flatten().copied().collect(), ..a.clone() };
        let job = Job::new(routine, n, count);
        let run = |a: &Matrices<T>| job.run(gpu, a).expect("the call succeeds");
        let (once, twice, back) = (run(&a), run(&a), run(&reversed));
        let first = Matrices { n, count: 1, data: a.data[..each].to_vec() };
        let alone = Job::new(routine, n, 1).run(gpu, &first).expect("the call succeeds");
        let same = once.w == twice.w && once.v.data == twice.v.data;
        let place = once.w.chunks(n).eq(back.w.chunks(n).rev()) && once.v.data.chunks(each).eq(back.v.data.chunks(each).rev());
        let alone = alone.w == once.w[..n] && alone.v.data == once.v.data[..each];
        fact!("bits", routine: routine.name(), dtype: T::NAME, n: n, same_twice: same, same_at_any_place: place, same_alone: alone);
    }
    let Some(gpu) = gpu("bits_are_compared") else { return };
    for routine in Routine::all() {
        for n in [3, 8, 32, 33] {
            record::<f32>(&gpu, routine, n);
            record::<f64>(&gpu, routine, n);
            record::<Complex<f32>>(&gpu, routine, n);
            record::<Complex<f64>>(&gpu, routine, n);
        }
    }
}

/// What came of capturing: where it ended, and whether the graph, launched, gives the bits of the
/// plain call.
struct Capture {
    call: Status,
    ended: String,
    equal: bool,
}

fn capture<T: Number>(gpu: &Gpu, prepared: &mut Prepared<T>, input: &Matrices<T>) -> Capture {
    let saved = gpu.upload(&input.data);
    prepared.a.copy_from(&saved);
    prepared.enqueue().expect("the call succeeds");
    let plain = prepared.outcome();
    let queue = gpu.stream.cu_stream();
    // SAFETY: the stream is alive and not capturing.
    let begun = unsafe { stream::begin_capture(queue, CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED) };
    if let Err(error) = begun {
        return Capture { call: -1, ended: error.to_string(), equal: false };
    }
    prepared.a.copy_from(&saved);
    let call = prepared.enqueue().err().unwrap_or(0);
    // SAFETY: the stream is alive; capture has begun.
    match unsafe { stream::end_capture(queue) } {
        Ok(graph) if !graph.is_null() => {
            let replayed = replay(gpu, graph, prepared);
            let equal = replayed.as_ref().is_ok_and(|replayed| replayed.w == plain.w && replayed.v.data == plain.v.data);
            Capture { call, ended: replayed.err().unwrap_or_else(|| "captured".to_owned()), equal }
        }
        Ok(_) => Capture { call, ended: "no graph".to_owned(), equal: false },
        Err(error) => Capture { call, ended: error.to_string(), equal: false },
    }
}

/// The outcome of the graph alone: λ is spoilt before it is launched.
fn replay<T: Number>(gpu: &Gpu, captured: CUgraph, prepared: &Prepared<T>) -> Result<Outcome<T>, String> {
    let spoilt = gpu.filled::<T::Real>(prepared.w.len(), 0xff);
    prepared.w.copy_from(&spoilt);
    // SAFETY: the graph was captured and not yet destroyed.
    let made = unsafe { graph::instantiate(captured, CUgraphInstantiate_flags(0)) };
    let replayed = made.map_err(|e| e.to_string()).and_then(|exec| {
        // SAFETY: graph and stream are alive, and so is all memory that the graph names: `prepared`
        // and its caller hold it.
        let launched = unsafe { graph::launch(exec, gpu.stream.cu_stream()) };
        let done = launched.and_then(|()| gpu.stream.synchronize());
        // SAFETY: it was made above, has run, and is destroyed once.
        let destroyed = unsafe { graph::exec_destroy(exec) };
        done.and(destroyed).map_err(|e| e.to_string())
    });
    // SAFETY: the graph is destroyed once, here.
    unsafe { graph::destroy(captured) }.map_err(|e| e.to_string())?;
    replayed.map(|()| prepared.outcome())
}

/// Each call in a stream that is being captured.
#[test]
fn calls_are_captured_in_a_graph() {
    fn record<T: Number>(routine: Routine, n: usize) {
        // a stream each: a failed capture may spoil it
        let Some(gpu) = gpu("calls_are_captured_in_a_graph") else { return };
        let input = Matrices::<T>::random(n, 16, 42);
        let Ok(mut prepared) = Job::new(routine, n, 16).prepare::<T>(&gpu) else { return };
        let Capture { call, ended, equal } = capture(&gpu, &mut prepared, &input);
        fact!("capture", routine: routine.name(), dtype: T::NAME, n: n, call_status: call, ended: ended, replay_equal: equal);
    }
    if gpu("calls_are_captured_in_a_graph").is_none() {
        return;
    }
    for routine in Routine::all() {
        for n in [4, 32, 33, 64] {
            record::<f64>(routine, n);
            record::<Complex<f32>>(routine, n);
        }
    }
}

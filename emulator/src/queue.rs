//! One stream: a queue of work that runs when something waits for it, in the thread that waits.

use crate::answer::{CAPTURE_INVALIDATED, CAPTURE_UNSUPPORTED, ILLEGAL_ADDRESS, LAUNCH_FAILED};
use crate::fault;
use crate::graph::Capture;
use crate::handle::lock;
use crate::stream::Work;
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

/// Work that a stream and graphs may hold at the same time.
pub(crate) type Shared = Arc<Mutex<Work>>;

enum Item {
    /// `always` even in a broken context.
    Work {
        work: Shared,
        always: bool,
    },
    Record(Arc<Marker>),
    Wait(Arc<Marker>),
}

/// A stream, the legacy one of a context or one that was made.
pub(crate) struct Stream {
    pub(crate) context: usize,
    pub(crate) device: usize,
    /// Whether the legacy stream waits for it.
    pub(crate) blocking: bool,
    broken: Arc<AtomicI32>,
    pub(crate) capture: Mutex<Option<Arc<Capture>>>,
    state: Mutex<State>,
    progress: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Item>,
    appended: u64,
    completed: u64,
    /// A thread runs an item and has not locked the state.
    busy: bool,
}

/// A place in a stream that an event has recorded.
pub(crate) struct Marker {
    stream: Weak<Stream>,
    place: u64,
    reached: AtomicBool,
    at: OnceLock<Instant>,
}

impl Marker {
    pub(crate) fn is_reached(&self) -> bool {
        self.reached.load(Ordering::SeqCst)
    }

    /// When it was reached.
    pub(crate) fn at(&self) -> Option<Instant> {
        self.at.get().copied()
    }

    /// Runs its stream up to it.
    pub(crate) fn wait(&self) {
        if let Some(stream) = self.stream.upgrade() {
            stream.drain_to(self.place);
        }
    }
}

thread_local! {
    static WORKING_ON: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The device whose work this thread is running.
pub(crate) fn working_on() -> Option<usize> {
    WORKING_ON.get()
}

/// Breaks a context for a reason, which is written out; the error code that its calls return from
/// now on.
pub(crate) fn break_down(broken: &AtomicI32, reason: &str) -> i32 {
    eprintln!("emulator: {reason}");
    let code = if reason.contains("device memory") { ILLEGAL_ADDRESS } else { LAUNCH_FAILED };
    let _ = broken.compare_exchange(0, code, Ordering::SeqCst, Ordering::SeqCst);
    broken.load(Ordering::SeqCst)
}

impl Stream {
    pub(crate) fn new(context: usize, device: usize, broken: Arc<AtomicI32>, blocking: bool) -> Self {
        let (capture, state, progress) = (Mutex::default(), Mutex::default(), Condvar::new());
        Self { context, device, blocking, broken, capture, state, progress }
    }

    /// The error that broke its context.
    pub(crate) fn check(&self) -> Result<(), i32> {
        match self.broken.load(Ordering::SeqCst) {
            0 => Ok(()),
            code => Err(code),
        }
    }

    pub(crate) fn capturing(&self) -> Option<Arc<Capture>> {
        lock(&self.capture).clone()
    }

    /// An error while a graph is captured, which is then spoilt: what was called would wait, or is
    /// no part of a graph.
    pub(crate) fn refuse_capture(&self) -> Result<(), i32> {
        match self.capturing() {
            None => Ok(()),
            Some(capture) if capture.is_invalid() => Err(CAPTURE_INVALIDATED),
            Some(capture) => {
                capture.invalidate();
                Err(CAPTURE_UNSUPPORTED)
            }
        }
    }

    fn push(&self, item: impl FnOnce(u64) -> Item) {
        let mut state = lock(&self.state);
        state.appended += 1;
        let item = item(state.appended);
        state.queue.push_back(item);
    }

    /// Appends work, or captures it.
    pub(crate) fn append(&self, work: Shared) -> Result<(), i32> {
        self.check()?;
        match self.capturing() {
            Some(capture) => capture.add(self, work),
            None => {
                self.push(|_| Item::Work { work, always: false });
                Ok(())
            }
        }
    }

    /// Appends work that is done in a broken context too.
    pub(crate) fn append_always(&self, work: impl Fn() -> Result<(), String> + Send + 'static) {
        self.push(|_| Item::Work { work: Arc::new(Mutex::new(Box::new(work))), always: true });
    }

    /// Appends the mark of an event.
    pub(crate) fn record(self: &Arc<Self>) -> Arc<Marker> {
        let mut marker = None;
        self.push(|place| {
            let new = Marker { stream: Arc::downgrade(self), place, reached: AtomicBool::new(false), at: OnceLock::new() };
            Item::Record(marker.insert(Arc::new(new)).clone())
        });
        marker.expect("it was just recorded")
    }

    /// What is appended from now on runs after the mark.
    pub(crate) fn wait_for(&self, marker: Arc<Marker>) {
        self.push(|_| Item::Wait(marker));
    }

    /// Runs all that was appended so far.
    pub(crate) fn drain(&self) {
        let appended = lock(&self.state).appended;
        self.drain_to(appended);
    }

    /// Runs what was appended up to a place. No lock is held while another stream is waited for, so
    /// that no two threads block each other.
    fn drain_to(&self, place: u64) {
        let mut state = lock(&self.state);
        while state.completed < place {
            if state.busy {
                state = self.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let awaited = match state.queue.front() {
                Some(Item::Wait(marker)) if !marker.is_reached() => Some(marker.clone()),
                _ => None,
            };
            if let Some(marker) = awaited {
                drop(state);
                marker.wait();
                state = lock(&self.state);
                if marker.stream.strong_count() == 0 {
                    // its stream has ended, after all its work
                    marker.reached.store(true, Ordering::SeqCst);
                }
                continue;
            }
            let Some(item) = state.queue.pop_front() else { return };
            state.busy = true;
            drop(state);
            self.run(item);
            state = lock(&self.state);
            state.busy = false;
            state.completed += 1;
            self.progress.notify_all();
        }
    }

    fn run(&self, item: Item) {
        match item {
            Item::Work { work, always } => {
                if always || self.check().is_ok() {
                    let before = WORKING_ON.replace(Some(self.device));
                    let on_purpose = || Err("work breaks on purpose, as if it had touched what is no device memory".to_owned());
                    let run = || if !always && fault::breaks() { on_purpose() } else { lock(&work)() };
                    let done = catch_unwind(AssertUnwindSafe(run));
                    WORKING_ON.set(before);
                    let done = done.unwrap_or_else(|_| Err("work panicked".to_owned()));
                    done.err().map(|reason| break_down(&self.broken, &reason));
                }
            }
            Item::Record(marker) => {
                marker.at.get_or_init(Instant::now);
                marker.reached.store(true, Ordering::SeqCst);
            }
            Item::Wait(_) => {}
        }
    }
}

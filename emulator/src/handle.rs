//! Objects by the numbers that stand for pointers to them, which are never used twice.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// A number that no object had before; no memory lies there.
pub(crate) fn fresh() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0x0e16_0000_0000);
    NEXT.fetch_add(64, Ordering::Relaxed)
}

/// A lock that a panic in another thread does not spoil.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All objects of one kind.
pub(crate) struct Table<T>(LazyLock<Mutex<HashMap<usize, Arc<T>>>>);

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    pub(crate) fn insert(&self, name: usize, object: Arc<T>) {
        lock(&self.0).insert(name, object);
    }

    pub(crate) fn get(&self, name: *mut c_void) -> Option<Arc<T>> {
        lock(&self.0).get(&name.addr()).cloned()
    }

    pub(crate) fn remove(&self, name: *mut c_void) -> Option<Arc<T>> {
        lock(&self.0).remove(&name.addr())
    }

    /// Those that are chosen.
    pub(crate) fn all(&self, choose: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        lock(&self.0).values().filter(|object| choose(object)).cloned().collect()
    }

    /// Removes those that belong to something that ends.
    pub(crate) fn retain(&self, keep: impl Fn(&T) -> bool) {
        lock(&self.0).retain(|_, object| keep(object));
    }
}

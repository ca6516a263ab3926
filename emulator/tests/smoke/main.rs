//! The emulator found by dlopen and dlsym, as a program finds CUDA: what it computes, and what it
//! detects.
//!
//! What ends the process runs in a process of its own: a test that is ignored, started by one that
//! is not.

mod child;

mod detected;

mod driver;

mod order;

mod results;

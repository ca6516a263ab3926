//! What the CUDA backend takes for granted of libcuda, libnvrtc, libcublas and libcusolver, put to
//! whichever libraries are found.
//!
//! Each test says which documented or reported behaviour it pins. What is documented is asserted;
//! what is only reported, or is to be measured, becomes a line of JSON on the standard output and,
//! where `EIGENGRAD_CONFORMANCE_OUT` names a file, at the end of that file. Without a device a test
//! says so and passes; under `EIGENGRAD_REQUIRE_CUDA=1` it fails.
#![allow(unsafe_code, reason = "calls libraries written in C")]

mod gpu;

mod fact;

mod number;

mod matrices;

mod objects;

mod solver;

mod driver;

mod compiler;

mod product;

mod accuracy;

mod contract;

mod limits;

mod repetition;

//! [`Operation`]: what is done with a batch.

use crate::call::Job;
use crate::{
    Backward, BackwardFactor, BackwardJvp, DoubleBackward, Eigh, EighFactor, FidelityOf, Jvp, SpectralDerivative, SpectralOf,
    TraceOf,
};
use eigengrad::{Engine, Result, Scalar};

/// Declares the operations, each of which has a struct of its name.
macro_rules! operations {
    ($($name:ident)*) => {
        /// An operation on a batch, with the memory that it reads and writes.
        #[derive(Clone, Copy, Debug)]
        #[non_exhaustive]
        pub enum Operation {
            $(#[doc = concat!("See [`", stringify!($name), "`].")] $name($name),)*
        }

        $(impl From<$name> for Operation {
            fn from(operation: $name) -> Self {
                Self::$name(operation)
            }
        })*

        impl Operation {
            pub(crate) fn run<T: Scalar, B: Engine<T>>(&self, job: &Job<'_, T, B>) -> Result<()> {
                match *self {
                    $(Self::$name(operation) => operation.run(job),)*
                }
            }
        }
    };
}
operations! { Eigh Backward Jvp DoubleBackward BackwardJvp SpectralOf SpectralDerivative TraceOf FidelityOf EighFactor BackwardFactor }

//! Bytes on their way out: answers in order, small values copied, large ones pinned in place.
//!
//! Knows no socket, no store and no protocol. See [`Output`].
#![forbid(unsafe_code)]

mod output;

pub use output::{Output, Region};

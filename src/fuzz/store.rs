//! Operations on a store, beside the model of its tests.
#![forbid(unsafe_code)]

use crate::store::model;

/// A tiny store and a naive map never differ, its parts are in order after every some steps, and nothing
/// is left in the end.
pub fn store(data: &[u8]) {
    model::operate(data);
}

//! Checks of memcached's chunk and class sizes (options, sections 2 and 3). Nothing comes of them
//! here, but a configuration that memcached refuses is one that its writer wants to hear of.
#![forbid(unsafe_code)]

use crate::cli::UsageError;

/// memcached's default of `slab_chunk_max`, in bytes.
pub(super) const MAX_DEFAULT: i64 = 512 << 10;

/// memcached's page, in bytes.
const PAGE_SIZE: i64 = 1 << 20;

/// Checks `slab_chunk_max` against `-I`, both in bytes.
pub(super) fn check_max(chunk: i64, item_size: i64) -> Result<(), UsageError> {
    let message = if chunk > item_size {
        format!(
            "slab_chunk_max (bytes: {chunk}) cannot be larger than -I (item_size_max {item_size})"
        )
    } else if item_size % chunk != 0 {
        format!(
            "-I (item_size_max: {item_size}) must be evenly divisible by \
             slab_chunk_max (bytes: {chunk})"
        )
    } else if PAGE_SIZE % chunk != 0 {
        format!(
            "slab_chunk_max (bytes: {chunk}) must divide evenly into \
             {PAGE_SIZE} (slab_page_size)"
        )
    } else {
        return Ok(());
    };
    Err(UsageError::usage(message))
}

/// Checks a list of class sizes in bytes with `-` between them.
pub(super) fn check_sizes(sizes: &str, least: i64, largest: i64) -> Result<(), UsageError> {
    /// memcached's bytes between two classes, and its classes.
    const STEP: i64 = 8;
    const CLASSES_MAX: usize = 62;
    let mut previous = 0;
    for (index, text) in sizes.split('-').enumerate() {
        let size = text.parse().ok().filter(|size| (least..=largest).contains(size));
        let message = match size {
            None => format!("slab size {} is out of valid range", text.parse().unwrap_or(0)),
            Some(size) if size <= previous => {
                format!("slab size {size} cannot be lower than or equal to a previous class size")
            }
            Some(size) if size <= previous + STEP => {
                format!("slab size {size} must be at least {STEP} bytes larger than previous class")
            }
            Some(_) if index >= CLASSES_MAX => "too many slab classes specified".to_owned(),
            Some(size) => {
                previous = size;
                continue;
            }
        };
        return Err(UsageError::usage(message));
    }
    Ok(())
}

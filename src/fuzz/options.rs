//! Lists of `-o`.
#![forbid(unsafe_code)]

use crate::cli::UsageError;
use crate::cli::extended::Extended;
use crate::cli::number;

/// A list is taken, or refused with words for a person; and it is worth what its parts are worth one after
/// the other.
pub fn options(data: &[u8]) {
    let Ok(list) = std::str::from_utf8(data) else { return };
    let mut whole = Extended::default();
    let taken = whole.take_list(list);
    if let Err(error) = &taken {
        check_complaint(error);
    }
    if let Some((first, rest)) = list.split_once(',')
        && !(first.is_empty() || rest.is_empty())
    {
        let mut parts = Extended::default();
        let in_parts = parts.take_list(first).and_then(|()| parts.take_list(rest));
        assert_eq!(taken, in_parts);
        // A number that is none is not equal to itself.
        assert!(taken.is_err() || format!("{whole:?}") == format!("{parts:?}"));
    }
    for read in [number::decimal(list), number::octal(list), number::size(list)] {
        let _whatever = read.or_zero();
    }
    assert!(
        number::fraction(list).is_none_or(|fraction| !fraction.is_infinite() || list.len() > 1)
    );
}

/// It says something, and a supervisor can tell what from the exit code.
pub(super) fn check_complaint(error: &UsageError) {
    assert!(!error.message.is_empty() && !error.message.ends_with('\n'));
    assert!(matches!(error.exit_code, 1 | 64 | 71), "{}", error.exit_code);
}

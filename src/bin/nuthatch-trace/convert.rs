//! Traces of others, brought into this tool's form.
#![forbid(unsafe_code)]

use std::io;
use std::path::PathBuf;

use ahash::AHashMap;

use crate::formats::{self, Format, Found};
use crate::generate::KEY_SIZE_MAX;
use crate::sizes::Sizes;
use crate::trace::{self, Request, Writer};

/// A conversion to be done.
#[derive(Debug)]
pub struct Conversion {
    /// What is read; `-` for standard input.
    pub input: PathBuf,
    /// What is in it.
    pub format: Format,
    /// Requests to pass over at the start.
    pub skip: u64,
    /// Requests to write at most.
    pub limit: u64,
    /// Sizes of values, whatever the input says.
    pub value_sizes: Option<Sizes>,
    /// Sizes of keys, whatever the input says.
    pub key_sizes: Option<Sizes>,
    /// Factor on the sizes of values that the input gives.
    pub scale: f64,
    /// Bound on the size of values.
    pub value_max: u32,
    /// Seed of the sizes.
    pub seed: u64,
    /// Requests a second, where the input has no times.
    pub rate: f64,
}

impl Conversion {
    /// Does it.
    ///
    /// # Errors
    ///
    /// Those of input and output.
    pub fn run(&self, writer: &mut Writer) -> io::Result<()> {
        let mut numbers = Numbers::default();
        let mut skip = self.skip;
        formats::read(self.format, trace::open(&self.input)?, &mut |found| {
            if skip > 0 {
                skip -= 1;
                return Ok(true);
            }
            if writer.written() >= self.limit {
                return Ok(false);
            }
            let request = self.request(&found, &mut numbers, writer.written());
            writer.write(&request)?;
            Ok(true)
        })
    }

    fn request(&self, found: &Found, numbers: &mut Numbers, index: u64) -> Request {
        let next = numbers.of_keys.len() as u64;
        let key = *numbers.of_keys.entry(found.key).or_insert(next);
        let time_ms = match found.time_ms {
            Some(time_ms) => time_ms.saturating_sub(*numbers.start_ms.get_or_insert(time_ms)),
            None => (index as f64 * 1000.0 / self.rate) as u64,
        };
        let value_size = match (&self.value_sizes, found.size) {
            (Some(sizes), _) => sizes.of(key, self.seed, self.value_max),
            (None, Some(size)) => ((f64::from(size) * self.scale) as u32).clamp(1, self.value_max),
            (None, None) => VALUES.of(key, self.seed, self.value_max),
        };
        let key_size = match (&self.key_sizes, found.key_size) {
            (Some(sizes), _) => sizes.of(key, self.seed ^ 1, KEY_SIZE_MAX) as u16,
            (None, Some(size)) => size,
            (None, None) => KEY_SIZE,
        };
        Request {
            time_ms: u32::try_from(time_ms).unwrap_or(u32::MAX),
            key,
            key_size,
            op: found.op,
            value_size,
            ttl: found.ttl,
        }
    }
}

/// What the input's numbers become.
#[derive(Default)]
struct Numbers {
    /// Keys are numbered as they come.
    of_keys: AHashMap<u64, u64>,
    /// The time of the first request, which becomes 0.
    start_ms: Option<u64>,
}

/// Values of an input that has no sizes: as of the preset `twitter`.
const VALUES: Sizes = Sizes::LogNormal(230.0, 1.0);

/// Keys of an input that does not say how long they are.
const KEY_SIZE: u16 = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Op;

    fn conversion() -> Conversion {
        Conversion {
            input: "-".into(),
            format: Format::Kv,
            skip: 0,
            limit: u64::MAX,
            value_sizes: None,
            key_sizes: None,
            scale: 0.5,
            value_max: 1000,
            seed: 1,
            rate: 1000.0,
        }
    }

    #[test]
    fn what_the_input_says_is_kept_and_the_rest_is_made() {
        let mut numbers = Numbers::default();
        let found = Found { size: Some(100), time_ms: Some(5000), ..Found::key(77) };
        let request = conversion().request(&found, &mut numbers, 9);
        let want =
            Request { time_ms: 0, key: 0, key_size: 24, op: Op::Get, value_size: 50, ttl: 0 };
        assert_eq!(request, want);
        let later = Found { size: Some(9000), time_ms: Some(5250), ..Found::key(78) };
        let request = conversion().request(&later, &mut numbers, 10);
        assert_eq!((request.key, request.time_ms, request.value_size), (1, 250, 1000));
        let request = conversion().request(&Found::key(77), &mut numbers, 11);
        assert_eq!((request.key, request.time_ms), (0, 11));
    }

    #[test]
    fn sizes_that_are_asked_for_replace_the_inputs() {
        let sized = Conversion {
            value_sizes: Some(Sizes::Fixed(7)),
            key_sizes: Some(Sizes::Fixed(20)),
            ..conversion()
        };
        let found = Found { size: Some(100), key_size: Some(9), ..Found::key(1) };
        let request = sized.request(&found, &mut Numbers::default(), 0);
        assert_eq!((request.key_size, request.value_size), (20, 7));
    }
}

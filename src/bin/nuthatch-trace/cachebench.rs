//! Popularity and sizes as CacheLib's cachebench publishes them: JSON objects with lists of numbers.
//!
//! Only those lists are read, by name and wherever they are. A parser of all of JSON would be a
//! dependency of the whole package, daemon included.
#![forbid(unsafe_code)]

use std::path::Path;

use crate::popularity::Buckets;
use crate::sizes::Sizes;

/// The popularity in a `pop.json`, scaled to `keys` keys.
///
/// # Errors
///
/// The file cannot be read or is something else.
pub fn popularity(path: &Path, keys: u64) -> Result<Buckets, String> {
    let text = read(path)?;
    let (counts, weights) = (list(&text, "popularityBuckets"), list(&text, "popularityWeights"));
    match (counts, weights) {
        (Some(counts), Some(weights)) if counts.len() == weights.len() && !counts.is_empty() => {
            Ok(Buckets::new(&counts, &weights, keys))
        }
        _ => Err(format!(
            "{}: no popularityBuckets and popularityWeights of one length",
            path.display()
        )),
    }
}

/// The sizes of values in a `sizes.json`.
///
/// # Errors
///
/// The file cannot be read or is something else.
pub fn sizes(path: &Path) -> Result<Sizes, String> {
    table(&read(path)?).ok_or_else(|| {
        format!("{}: no valSizeRange with its valSizeRangeProbability", path.display())
    })
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn table(text: &str) -> Option<Sizes> {
    let mut edges = list(text, "valSizeRange")?;
    let weights = list(text, "valSizeRangeProbability")?;
    let total: f64 = weights.iter().sum();
    if edges.len() == weights.len() {
        // The edges are upper bounds, then.
        edges.insert(0, 1.0);
    }
    if edges.len() != weights.len() + 1 || total <= 0.0 {
        return None;
    }
    let mut sum = 0.0;
    let cumulative = weights.iter().map(|weight| {
        sum += weight / total;
        sum
    });
    let cumulative = cumulative.collect();
    Some(Sizes::Table(edges, cumulative))
}

/// The numbers of the list with this name.
fn list(text: &str, name: &str) -> Option<Vec<f64>> {
    let (_, rest) = text.split_once(&format!("\"{name}\""))?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('[')?;
    let (inside, _) = rest.split_once(']')?;
    inside.split(',').map(|number| number.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_found_by_their_whole_name() {
        let text = "{\"valSizeRangeProbability\" : [\n 0.5, 5e-1],\"valSizeRange\":[1,10.5, 100]}";
        assert_eq!(list(text, "valSizeRange"), Some(vec![1.0, 10.5, 100.0]));
        assert_eq!(list(text, "valSizeRangeProbability"), Some(vec![0.5, 0.5]));
        assert_eq!(list(text, "Range"), None);
        assert_eq!(list("{\"a\":[1,x]}", "a"), None);
        assert_eq!(list("{\"a\":[1", "a"), None);
    }

    #[test]
    fn edges_with_and_without_the_lowest() {
        let full = table("{\"valSizeRange\":[1,5,9],\"valSizeRangeProbability\":[1,3]}");
        let upper = table("{\"valSizeRange\":[5,9],\"valSizeRangeProbability\":[1,3]}");
        assert_eq!(full, Some(Sizes::Table(vec![1.0, 5.0, 9.0], vec![0.25, 1.0])));
        assert_eq!(full, upper);
        assert_eq!(table("{\"valSizeRange\":[5],\"valSizeRangeProbability\":[1,3]}"), None);
    }
}

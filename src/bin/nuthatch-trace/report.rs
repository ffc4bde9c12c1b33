//! What is shown to people and to scripts.
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::{self, Write};

/// A figure.
#[derive(Clone, Debug)]
pub enum Figure {
    /// A whole number.
    Count(u64),
    /// A ratio or a time, shown with five places.
    Number(f64),
    /// A row of ratios.
    Numbers(Vec<f64>),
}

/// Figures with their names, in the order in which they are shown.
pub type Report = Vec<(&'static str, Figure)>;

/// How a report looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A figure a line.
    Text,
    /// One line with an object.
    Json,
}

/// Writes a report to standard output.
///
/// # Errors
///
/// It cannot be written.
pub fn show(report: &Report, look: Look) -> io::Result<()> {
    write(report, look, &mut io::stdout().lock())
}

/// Writes a line to standard error.
pub fn complain(message: &dyn Display) {
    let _ = writeln!(io::stderr(), "nuthatch-trace: {message}");
}

fn write(report: &Report, look: Look, out: &mut impl Write) -> io::Result<()> {
    if look == Look::Text {
        return report
            .iter()
            .try_for_each(|(name, figure)| writeln!(out, "{name:18} {}", shown(figure)));
    }
    let fields = report.iter().map(|(name, figure)| format!("\"{name}\":{}", shown(figure)));
    writeln!(out, "{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn shown(figure: &Figure) -> String {
    match figure {
        Figure::Count(count) => count.to_string(),
        Figure::Number(number) => format!("{number:.5}"),
        Figure::Numbers(numbers) => {
            let numbers = numbers.iter().map(|number| format!("{number:.5}"));
            format!("[{}]", numbers.collect::<Vec<_>>().join(","))
        }
    }
}

/// A part of a whole; 0 of nothing.
pub fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_looks() {
        let report = vec![
            ("hits", Figure::Count(3)),
            ("hit_ratio", Figure::Number(0.25)),
            ("windows", Figure::Numbers(vec![0.5, 0.125])),
        ];
        let look = |look| {
            let mut out = Vec::new();
            write(&report, look, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            look(Look::Json),
            "{\"hits\":3,\"hit_ratio\":0.25000,\"windows\":[0.50000,0.12500]}\n"
        );
        assert!(look(Look::Text).starts_with("hits               3\nhit_ratio "));
    }
}

//! The floor under a cache server: answers made in advance, one read and one write for what has come.
//!
//! What it costs is what the kernel costs, and a server's figure over its figure says how much is
//! left to gain. It looks at its input no further than to know how many answers are wanted.
//!
//! ```text
//! args → serve → conn → canned
//! ```
#![forbid(unsafe_code)]

mod args;

mod serve;

mod conn;

mod canned;

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let plan = args::parse();
    let Err(error) = serve::serve(&plan);
    let _ = writeln!(io::stderr(), "nuthatch-floor: {error}");
    ExitCode::from(2)
}

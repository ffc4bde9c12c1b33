//! The seeded loop over the bodies of `nuthatch::fuzz`, on a stable toolchain.
//!
//! Seeds (`corpus`) are mutated (`mutate`) and run (`run`), some thousand at a time, each such stream with
//! random choices of its own: so a seed repeats a run whatever thread has which stream. What fails is made
//! small, printed and kept as a file. In the middle and at the end of a run its memory is compared.
//!
//! ```text
//! NUTHATCH_SEED               the seed, printed by every run
//! NUTHATCH_FUZZ_EXECUTIONS    of each target, in units of what it costs (1000000)
//! NUTHATCH_FUZZ_SECONDS       in place of that: for so long, all targets together
//! NUTHATCH_FUZZ_TARGETS       some of them, parted by commas or spaces (all)
//! NUTHATCH_FUZZ_THREADS       (one a CPU)
//! NUTHATCH_FUZZ_FOUND         folder for inputs that fail (one in the target directory)
//! NUTHATCH_FUZZ_INPUT         a file: run it alone, by NUTHATCH_FUZZ_TARGETS
//! NUTHATCH_FUZZ_CORPUS        a folder: write all seeds and words there, for cargo-fuzz
//! ```
#![deny(unsafe_code)]

#[path = "../it/pattern.rs"]
#[expect(dead_code, reason = "shared with the integration tests, which use more of it")]
mod pattern;

#[path = "../it/packet.rs"]
mod packet;

/// What patterns want of the integration tests' client.
mod client {
    /// Bytes as a person can read them.
    pub fn show(bytes: &[u8]) -> String {
        bytes.escape_ascii().to_string()
    }
}

#[path = "../diff/random.rs"]
#[expect(dead_code, reason = "shared with the differential test, which uses more of it")]
mod random;

mod corpus;

mod failure;

mod mutate;

mod run;

mod watchdog;

use std::env;
use std::path::{Path, PathBuf};

use nuthatch::fuzz::{TARGETS, Target};

#[test]
fn fuzz() {
    let targets = targets();
    if let Some(dir) = env::var_os("NUTHATCH_FUZZ_CORPUS") {
        return targets.iter().for_each(|target| corpus::write(target, &PathBuf::from(&dir)));
    }
    if let Some(path) = env::var_os("NUTHATCH_FUZZ_INPUT") {
        let input = std::fs::read(path).expect("an input");
        return targets.iter().for_each(|target| (target.run)(&input));
    }
    let plan = run::Plan {
        seed: number("NUTHATCH_SEED").unwrap_or_else(|| u64::from(std::process::id())),
        executions: number("NUTHATCH_FUZZ_EXECUTIONS").unwrap_or(1_000_000),
        seconds: number("NUTHATCH_FUZZ_SECONDS"),
        threads: number("NUTHATCH_FUZZ_THREADS").map_or_else(run::cpus, |count| count as usize),
    };
    println!("NUTHATCH_SEED={}", plan.seed);
    run::run(&plan, &targets);
}

fn targets() -> Vec<Target> {
    let Ok(names) = env::var("NUTHATCH_FUZZ_TARGETS") else { return TARGETS.to_vec() };
    let names = names.split([',', ' ']).filter(|name| !name.is_empty());
    let known = |name: &str| TARGETS.iter().find(|target| target.name == name).copied();
    names.map(|name| known(name).unwrap_or_else(|| panic!("no target {name}"))).collect()
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// Every target has seeds and words, and no file is nobody's.
#[test]
fn seeds_are_read() {
    for target in TARGETS {
        assert!(!corpus::seeds(target).is_empty(), "no seeds for {}", target.name);
        assert!(!corpus::words(target).is_empty(), "no words for {}", target.name);
    }
    for name in corpus::files("seeds") {
        assert!(TARGETS.iter().any(|target| target.name == name), "seeds for no target: {name}");
    }
    for name in corpus::files("words") {
        assert!(TARGETS.iter().any(|target| target.words == name), "words for no target: {name}");
    }
}

/// cargo-fuzz has every target, and no other.
#[test]
fn cargo_fuzz_has_the_same_targets() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/cargo-fuzz");
    let manifest = std::fs::read_to_string(project.join("Cargo.toml")).expect("a manifest");
    let bins = manifest.split("[[bin]]").skip(1);
    let names: Vec<&str> = bins.filter_map(|bin| bin.split('"').nth(1)).collect();
    assert_eq!(names, TARGETS.iter().map(|target| target.name).collect::<Vec<_>>());
    for name in names {
        let path = project.join(format!("fuzz_targets/{name}.rs"));
        let text = std::fs::read_to_string(path).expect("a line for each");
        assert!(text.contains(&format!("nuthatch::fuzz::{name}(data)")), "{text}");
    }
}

/// What is in the corpus holds, as it is.
#[test]
fn seeds_hold() {
    for target in TARGETS {
        for seed in corpus::seeds(target) {
            for head in [0, 0xff, 0x5a] {
                let input = [&vec![head; target.head][..], &seed].concat();
                (target.run)(&input);
            }
        }
    }
}

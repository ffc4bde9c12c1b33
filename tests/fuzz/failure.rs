//! What becomes of an input that fails.
#![forbid(unsafe_code)]

use std::any::Any;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::{env, fs, io};

use nuthatch::fuzz::Target;

/// Executions that are spent on making an input small.
const TRIES_MAX: usize = 2000;

/// Runs an input; the words of the panic that it ends with.
pub fn of(target: &Target, input: &[u8]) -> Option<String> {
    let panicked = catch_unwind(AssertUnwindSafe(|| (target.run)(input))).err()?;
    Some(words(&*panicked))
}

fn words(panicked: &(dyn Any + Send)) -> String {
    let text = panicked.downcast_ref::<String>().map(String::as_str);
    text.or(panicked.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

/// An input that fails like `input` and of which hardly any part can be left out.
pub fn smaller(target: &Target, input: &[u8]) -> Vec<u8> {
    let mut input = input.to_vec();
    let (mut part, mut tries) = (input.len() / 2, 0);
    while part > 0 {
        let mut at = target.head.min(input.len());
        while at < input.len() && tries < TRIES_MAX {
            let end = (at + part).min(input.len());
            let without = [&input[..at], &input[end..]].concat();
            tries += 1;
            match of(target, &without) {
                Some(_) => input = without,
                None => at = end,
            }
        }
        part /= 2;
    }
    input
}

/// Prints an input and keeps it as a file. Not by `println`, which the test harness would hold back.
pub fn report(name: &str, input: &[u8], words: &str) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let dir = env::var_os("NUTHATCH_FUZZ_FOUND")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fuzz"), PathBuf::from);
    let sum = input.iter().fold(0xcbf2_9ce4_8422_2325u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let path = dir.join(format!("{name}-{sum:016x}"));
    let kept = fs::create_dir_all(&dir).and_then(|()| fs::write(&path, input));
    let _whatever = writeln!(
        io::stderr(),
        "{name} fails: {words}\ninput: b\"{}\"\n{}",
        input.escape_ascii(),
        match kept {
            Ok(()) => format!("kept as {}", path.display()),
            Err(error) => format!("not kept: {error}"),
        }
    );
}

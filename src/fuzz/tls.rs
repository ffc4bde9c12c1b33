//! The records of a client, up to what a server makes of its first message.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fs;

use crate::clock::Secs;
use crate::fuzz::input::{self, Cuts};
use crate::limits::TLS_PENDING_MAX_BYTES;
use crate::tls::{Certificates, Layer, Mode, Options, Scratch};

/// A certificate and its key, made for this and good for nothing else.
const PEM: &str = include_str!("tls.pem");

const NOW: Secs = Secs(1000);

/// Plain bytes that are taken at a time.
const PLAIN_MAX: usize = 64 * 1024;

/// What has come of records.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    failure: Option<String>,
    pending: usize,
    is_open: bool,
    is_ended: bool,
}

thread_local! {
    static PLACE: RefCell<(Certificates, Scratch)> = RefCell::new((load(), Scratch::new(16 * 1024)));
}

fn load() -> Certificates {
    let name =
        format!("nuthatch-fuzz-{}-{:?}.pem", std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, PEM).expect("a file");
    let name = Some(path.display().to_string());
    let options = Options {
        chain_cert: name.clone(),
        key: name,
        key_format: 1,
        write_bytes: 16 * 1024,
        handshake_secs: 10,
        ..Options::default()
    };
    let certificates = Certificates::load(options, NOW).expect("they are good");
    fs::remove_file(&path).expect("it was written");
    certificates
}

/// What comes of a client's bytes does not depend on how they were cut, what is held back has a bound, and
/// who has no keys opens nothing. (What a server answers is random: executions of one input differ in that.)
pub fn tls(data: &[u8]) {
    let Some((head, records)) = input::split(data) else { return };
    PLACE.with_borrow_mut(|(certificates, scratch)| {
        let whole = feed(certificates, scratch, records, None);
        let cut = feed(certificates, scratch, records, Some(head.cuts));
        assert_eq!(whole, cut);
        assert!(!whole.is_open);
    });
}

fn feed(
    certificates: &Certificates,
    scratch: &mut Scratch,
    mut records: &[u8],
    mut cuts: Option<Cuts>,
) -> Outcome {
    let mut layer = Layer::new(certificates, Mode::Default, NOW).expect("a layer");
    let mut plain = vec![0; PLAIN_MAX];
    let mut failure = None;
    while !records.is_empty() && failure.is_none() && !layer.is_ended() {
        let piece = match &mut cuts {
            Some(cuts) => cuts.piece(&mut records),
            None => std::mem::take(&mut records),
        };
        let space = layer.space(scratch, PLAIN_MAX);
        space[..piece.len()].copy_from_slice(piece);
        match layer.take(scratch, piece.len(), &mut plain) {
            Ok(taken) => assert_eq!(taken.plain, 0),
            Err(error) => failure = Some(error.0),
        }
        scratch.clear();
    }
    let pending = layer.pending_len();
    assert!(pending <= TLS_PENDING_MAX_BYTES);
    // What is thrown away after a failure was cut somewhere.
    let pending = if failure.is_some() { 0 } else { pending };
    Outcome { failure, pending, is_open: layer.is_open(), is_ended: layer.is_ended() }
}

//! Files of users, and of passwords.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Instant;

use crate::auth::{Ask, Attempt, Gate, Options, Rights, UserFile, Verdict, with_entry};
use crate::clock::Clock;

/// Lines whose users are looked up; each takes some hashes.
const LOOKED_UP_MAX: usize = 3;

/// Whoever stands in a file that is taken gets in, under its own name, and nobody else; and a line that is
/// put into a file is there once.
pub fn users(data: &[u8]) {
    let Some((kind, text)) = data.split_first() else { return };
    let is_users = kind & 1 == 0;
    let file = if is_users { UserFile::Users } else { UserFile::Passwords };
    let options = Options {
        file: Some(file(PathBuf::new())),
        sasl: false,
        hostname: "host".to_owned(),
        ..Options::default()
    };
    let _rights = Rights::parse(text);
    // What a check of a hash takes is up to the file: it is not for here.
    let has_hashes = text.contains(&b'$') || text.windows(5).any(|part| part == b"SCRAM");
    if let Ok(mut gate) = Gate::of_text(options, text)
        && !has_hashes
    {
        let now = Clock::start().now().instant;
        let lines = text.split(|byte| *byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let users = lines.filter(|line| !is_users || !(line.is_empty() || line.starts_with(b"#")));
        users.take(LOOKED_UP_MAX).for_each(|line| look_up(&mut gate, line, now));
        assert_eq!(granted(&mut gate, b"nobody-at-all", b"nothing", now), None);
    }
    // The end of a line is made a plain one.
    if let Ok(text) = std::str::from_utf8(text)
        && !has_hashes
        && !text.contains('\r')
    {
        check_edited(text, kind >> 1 & 1 == 1);
    }
}

fn look_up(gate: &mut Gate, line: &[u8], now: Instant) {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
    let (name, rest) = (&line[..colon], &line[colon + 1..]);
    if name.contains(&b' ') {
        return;
    }
    // Which of its colons ends the password is the reader's business.
    let ends = (0..rest.len()).filter(|at| rest[*at] == b':').chain([rest.len()]);
    let found = ends.filter_map(|end| granted(gate, name, &rest[..end], now)).next();
    assert_eq!(found.as_deref(), Some(name));
}

/// The name of who is let in.
fn granted(gate: &mut Gate, name: &[u8], password: &[u8], now: Instant) -> Option<Vec<u8>> {
    let ask = Ask::Token([name, b" ", password].concat().into());
    match gate.judge(Attempt { ask, from: None }, now).verdict {
        Verdict::Granted(user, _) => Some(user.name.clone()),
        _ => None,
    }
}

fn check_edited(text: &str, keeps_rights: bool) {
    const LINE: &str = "a:new";
    let once = with_entry(text, LINE, keeps_rights);
    assert!(once.ends_with('\n') && once.lines().any(|line| line.starts_with(LINE)));
    assert_eq!(with_entry(&once, LINE, keeps_rights), once, "twice is as good as once");
}

//! The words behind `config` (docs/protocol.md, "Discovery").
#![forbid(unsafe_code)]

use super::VALUE_LEN_MAX;
use crate::limits::KEY_LEN_MAX;
use crate::protocol::Reply;
use crate::protocol::control::Config;
use crate::protocol::number;
use crate::protocol::token::Tokens;

/// `config get [KEY]`, `config set KEY FLAGS BYTES [noreply]` and `config delete KEY [noreply]`.
pub(super) fn words<'a>(tokens: &Tokens<'a>) -> Config<'a> {
    let key = tokens.at(2).filter(|key| key.len() <= KEY_LEN_MAX);
    let count = tokens.count() - usize::from(tokens.end_in_noreply());
    match (tokens.at(1), key, count) {
        (Some(b"get"), key, _) if tokens.count() == 2 + usize::from(key.is_some()) => {
            Config::Get(key)
        }
        (Some(b"set"), ..) => set(tokens),
        (Some(b"delete"), Some(key), 3) => Config::Delete(key),
        (Some(b"get" | b"delete"), ..) => refused(Reply::BadLine, 0),
        _ => refused(Reply::Error, 0),
    }
}

/// As for `set`: from the length on the block is known and swallowed (section 4).
fn set<'a>(tokens: &Tokens<'a>) -> Config<'a> {
    let [Some(key), Some(flags), Some(value_len)] = [2, 3, 4].map(|at| tokens.at(at)) else {
        return refused(Reply::BadLine, 0);
    };
    let value_len = match number::i32(value_len) {
        Some(len @ 0..=VALUE_LEN_MAX) => len as usize,
        _ => return refused(Reply::BadLine, 0),
    };
    if key.len() > KEY_LEN_MAX || number::libc_u32(flags).is_none() {
        return refused(Reply::BadLine, value_len as u64 + 2);
    }
    Config::Set { key, value_len }
}

fn refused<'a>(error: Reply, block_len: u64) -> Config<'a> {
    Config::Refused { error, block_len }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Config<'_>) {
        assert_eq!(words(&Tokens::split(line.as_bytes())), expected, "{line:?}");
    }

    #[test]
    fn words_and_their_number() {
        let set = Config::Set { key: b"cluster", value_len: 5 };
        check("config get cluster", Config::Get(Some(b"cluster")));
        check("config get", Config::Get(None));
        check("config get noreply", Config::Get(Some(b"noreply")));
        check("config set cluster 0 5", set);
        check("config set cluster 0 5 noreply", set);
        check("config delete a", Config::Delete(b"a"));
        check("config delete a noreply", Config::Delete(b"a"));
        for line in ["config", "config GET cluster", "config list", "config  x"] {
            check(line, refused(Reply::Error, 0));
        }
        let long = "k".repeat(KEY_LEN_MAX + 1);
        for line in [
            "config get a b",
            "config delete",
            "config delete a b c d e",
            "config delete noreply",
            "config set",
            "config set cluster 0",
            "config set cluster 0 -1",
            "config set cluster 0 x",
            &format!("config get {long}"),
            &format!("config delete {long}"),
        ] {
            check(line, refused(Reply::BadLine, 0));
        }
        for line in ["config set cluster x 5", &format!("config set {long} 0 5")] {
            check(line, refused(Reply::BadLine, 7));
        }
    }
}

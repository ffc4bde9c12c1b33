//! What a user may do, as the user file says it.
#![forbid(unsafe_code)]

/// What a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: `version`, `quit`, a noop.
    Nothing,
    /// To see an item.
    Read,
    /// To make, change or remove an item.
    Write,
    /// Both.
    ReadWrite,
    /// To see or change the server as a whole.
    Admin,
}

/// What a user may do: some of read, write and admin, and with which keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    read: bool,
    write: bool,
    admin: bool,
    /// How a key has to begin to be read or written; empty: as it likes.
    prefixes: Vec<Vec<u8>>,
}

impl Rights {
    /// Reads a list like `read,write,prefix=app:`. Its words are `read`, `write`, `admin`, and `prefix=`
    /// with the first bytes of keys, which may be there several times. A list of prefixes alone stands for
    /// `read,write` with them. None: it is no such list.
    pub fn parse(text: &[u8]) -> Option<Rights> {
        let mut rights = Rights::default();
        for word in text.split(|byte| *byte == b',') {
            match word {
                b"read" => rights.read = true,
                b"write" => rights.write = true,
                b"admin" => rights.admin = true,
                _ => match word.strip_prefix(b"prefix=") {
                    Some(prefix) if !prefix.is_empty() => rights.prefixes.push(prefix.to_vec()),
                    _ => return None,
                },
            }
        }
        if !(rights.read || rights.write || rights.admin) {
            (rights.read, rights.write) = (true, true);
        }
        Some(rights)
    }

    /// Whether they cover what a command on `key` needs; `key` is empty where there is none.
    pub fn allow(&self, need: Need, key: &[u8]) -> bool {
        let on_key = match need {
            Need::Nothing => return true,
            Need::Admin => return self.admin,
            Need::Read => self.read,
            Need::Write => self.write,
            Need::ReadWrite => self.read && self.write,
        };
        on_key
            && (self.prefixes.is_empty()
                || self.prefixes.iter().any(|prefix| key.starts_with(prefix)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rights: &str, need: Need, key: &str, expected: bool) {
        let rights = Rights::parse(rights.as_bytes()).expect("a list");
        assert_eq!(rights.allow(need, key.as_bytes()), expected, "{need:?} {key}");
    }

    #[test]
    fn each_word_allows_its_own() {
        use Need::{Admin, Nothing, Read, ReadWrite, Write};
        for (rights, allowed) in [
            ("read", &[Nothing, Read][..]),
            ("write", &[Nothing, Write]),
            ("admin", &[Nothing, Admin]),
            ("write,read", &[Nothing, Read, Write, ReadWrite]),
            ("read,write,admin", &[Nothing, Read, Write, ReadWrite, Admin]),
        ] {
            for need in [Nothing, Read, Write, ReadWrite, Admin] {
                check(rights, need, "any", allowed.contains(&need));
            }
        }
    }

    #[test]
    fn prefixes_bound_keys() {
        check("prefix=a:", Need::ReadWrite, "a:1", true);
        check("prefix=a:", Need::Read, "a:", true);
        check("prefix=a:", Need::Read, "a", false);
        check("prefix=a:", Need::Read, "b:a:", false);
        check("prefix=a:", Need::Admin, "", false);
        check("read,prefix=a:,prefix=b", Need::Read, "b2", true);
        check("read,prefix=a:,prefix=b", Need::Write, "b2", false);
        check("admin,prefix=a:", Need::Admin, "", true);
        check("admin,prefix=a:", Need::Read, "a:1", false);
    }

    #[test]
    fn anything_else_is_no_list() {
        for text in ["", "read,", ",read", "Read", "read write", "prefix=", "prefix", "reads"] {
            assert_eq!(Rights::parse(text.as_bytes()), None, "{text}");
        }
    }
}

//! One line of a user file, and of the password file of memcached's builds.
//!
//! A user file has one user a line, `user:secret[:rights]`; lines that are empty or begin with `#` are
//! left out. The secret is what [`Secret::parse`] reads, the rights what [`Rights::parse`] reads. A secret
//! in plain text may hold colons, as in memcached's own files (behaviour, section 8): what stands behind a
//! colon is rights only if all of it reads as such. A user may have several lines.
#![forbid(unsafe_code)]

use super::rights::Rights;
use super::secret::{Ring, Secret};
use crate::limits::USERS_MAX;

/// What a line says of a user.
pub(super) struct Line<'a> {
    pub(super) name: &'a [u8],
    pub(super) secret: Secret,
    /// The secret as it stands there.
    pub(super) password: &'a [u8],
    pub(super) rights: Option<Rights>,
    /// There is a colon in the password: perhaps rights were meant.
    pub(super) is_doubtful: bool,
}

/// How a file is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The user file.
    Users,
    /// `MEMCACHED_SASL_PWDB`: `user:password[:anything]` (behaviour, section 9). A line without a colon is
    /// nobody's, as in memcached.
    Passwords,
}

/// A line that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// From 1 on; 0: there is no line with a user.
    pub number: usize,
    /// What is wrong with it; nothing of what it says.
    pub reason: &'static str,
}

/// Reads all lines of a file.
pub(super) fn each<'a>(
    text: &'a [u8],
    format: Format,
    ring: &Ring,
    mut take: impl FnMut(usize, Line<'a>),
) -> Result<(), BadLine> {
    let mut count = 0;
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let number = index + 1;
        let read = match format {
            Format::Users => user(line, ring).map_err(|reason| BadLine { number, reason })?,
            Format::Passwords => password(line, ring),
        };
        if let Some(line) = read {
            count += 1;
            if count > USERS_MAX {
                return Err(BadLine { number, reason: "too many users" });
            }
            take(number, line);
        }
    }
    Ok(())
}

fn user<'a>(line: &'a [u8], ring: &Ring) -> Result<Option<Line<'a>>, &'static str> {
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(None);
    }
    if let Some(line) = certificate(line)? {
        return Ok(Some(line));
    }
    let (name, rest) = split(line).ok_or("no colon")?;
    let (password, rights) = secret_and_rights(rest)?;
    let secret = Secret::parse(password, ring)?;
    let is_plain = matches!(secret, Secret::Plain { .. });
    let is_doubtful = is_plain && password.contains(&b':');
    Ok(Some(Line { name, secret, password, rights, is_doubtful }))
}

/// The rights behind the password of `name` as `line` has them, empty if it has none. None: it is not a line
/// of a password of this user.
pub(super) fn password_rights<'a>(line: &'a str, name: &str, ring: &Ring) -> Option<&'a str> {
    let read = user(line.as_bytes(), ring).ok()??;
    if read.name != name.as_bytes() || matches!(read.secret, Secret::Certificate) {
        return None;
    }
    let end = read.name.len() + 1 + read.password.len();
    Some(line[end..].strip_prefix(':').unwrap_or_default())
}

/// A line of somebody who is known by a certificate, whose name may have colons.
fn certificate(line: &[u8]) -> Result<Option<Line<'_>>, &'static str> {
    const MARK: &[u8] = b":$cert";
    let Some(at) = line.windows(MARK.len()).rposition(|part| part == MARK) else { return Ok(None) };
    let (name, password) = (&line[..at], &MARK[1..]);
    let rights = match &line[at + MARK.len()..] {
        [] => None,
        [b':', rights @ ..] => Some(Rights::parse(rights).ok_or("malformed rights")?),
        _ => return Ok(None),
    };
    let secret = Secret::Certificate;
    Ok(Some(Line { name, secret, password, rights, is_doubtful: false }))
}

fn password<'a>(line: &'a [u8], ring: &Ring) -> Option<Line<'a>> {
    let (name, rest) = split(line)?;
    let password = split(rest).map_or(rest, |(password, _)| password);
    let secret = Secret::plain(password, ring);
    Some(Line { name, secret, password, rights: None, is_doubtful: false })
}

/// Before and behind the first colon.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b':')?;
    Some((&text[..at], &text[at + 1..]))
}

/// Divides what stands behind a name. Where a secret of a fixed form ends is known; in any other case the
/// rights begin behind the first colon from which on everything reads as rights.
fn secret_and_rights(text: &[u8]) -> Result<(&[u8], Option<Rights>), &'static str> {
    let colons = || text.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
    let own_colons = Secret::colons(text);
    if let Some(count) = own_colons {
        let Some(end) = colons().nth(count) else { return Ok((text, None)) };
        let rights = Rights::parse(&text[end + 1..]).ok_or("malformed rights")?;
        return Ok((&text[..end], Some(rights)));
    }
    let found = colons().find_map(|at| Some((at, Rights::parse(&text[at + 1..])?)));
    Ok(found.map_or((text, None), |(at, rights)| (&text[..at], Some(rights))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, password, whether there are rights, whether it is doubtful.
    #[track_caller]
    fn check(format: Format, text: &str, expected: &[(&str, &str, bool, bool)]) {
        let mut found = Vec::new();
        each(text.as_bytes(), format, &Ring::new(), |_, line| {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let rights = line.rights.is_some();
            found.push((text(line.name), text(line.password), rights, line.is_doubtful));
        })
        .expect("well formed");
        let found: Vec<_> =
            found.iter().map(|(name, word, r, d)| (name.as_str(), word.as_str(), *r, *d)).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[track_caller]
    fn check_bad(text: &str, number: usize, reason: &'static str) {
        let read = each(text.as_bytes(), Format::Users, &Ring::new(), |_, _| {});
        assert_eq!(read, Err(BadLine { number, reason }), "{text}");
    }

    #[test]
    fn users_section_8() {
        check(Format::Users, "foo:bar", &[("foo", "bar", false, false)]);
        check(
            Format::Users,
            "foo:bar\r\nx: a b\n",
            &[("foo", "bar", false, false), ("x", " a b", false, false)],
        );
        check(Format::Users, "\n# foo:bar\n:\n", &[("", "", false, false)]);
        check(Format::Users, "a:b:c", &[("a", "b:c", false, true)]);
        let long = "x".repeat(70_000);
        check(Format::Users, &format!("a:{long}"), &[("a", &long, false, false)]);
    }

    #[test]
    fn rights_end_a_line() {
        check(Format::Users, "a:b:read", &[("a", "b", true, false)]);
        check(Format::Users, "a:b:read,prefix=x:y:", &[("a", "b", true, false)]);
        check(Format::Users, "a:b:c:read,write", &[("a", "b:c", true, true)]);
        check(Format::Users, "a::admin", &[("a", "", true, false)]);
        check(Format::Users, "a:b:raed", &[("a", "b:raed", false, true)]);
        check(Format::Users, "a:$cert:read", &[("a", "$cert", true, false)]);
        check(
            Format::Users,
            "spiffe://td/app:$cert:read,prefix=a:\nx:y:$cert\n",
            &[("spiffe://td/app", "$cert", true, false), ("x:y", "$cert", false, false)],
        );
        check(Format::Users, "a:b:$certain", &[("a", "b:$certain", false, true)]);
        check_bad("a:b\na:$cert:raed", 2, "malformed rights");
        check_bad("a:$cert:", 1, "malformed rights");
    }

    #[test]
    fn hashes_have_colons_of_their_own() {
        let keys = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
                    WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                    wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        check(Format::Users, &format!("a:{keys}"), &[("a", keys, false, false)]);
        check(Format::Users, &format!("a:{keys}:read"), &[("a", keys, true, false)]);
        check_bad(&format!("a:{keys}:x"), 1, "malformed rights");
        check_bad("a:SCRAM-SHA-256$4096:x", 1, "malformed SCRAM keys");
        check_bad("a:$argon2id$x:read", 1, "malformed argon2id hash");
        check_bad("a:$2y$10$abcdefghij", 1, "a kind of hash that is not known");
    }

    #[test]
    fn malformed_lines() {
        check_bad(&":\n".repeat(USERS_MAX + 1), USERS_MAX + 1, "too many users");
        check_bad("foo:bar\nnobody\n", 2, "no colon");
    }

    #[test]
    fn password_files_section_9() {
        check(
            Format::Passwords,
            "u@h:p:more:x\nno colon\n\nv:$cert\nw:",
            &[("u@h", "p", false, false), ("v", "$cert", false, false), ("w", "", false, false)],
        );
    }
}

//! The words of `watch` (text, section 7).
#![forbid(unsafe_code)]

use crate::protocol::request::WatchWords;
use crate::protocol::token::Tokens;

/// In the order in which memcached tries them: a word of the client's stands for the first that
/// begins with it.
const WORDS: [&[u8]; 10] = [
    b"rawcmds",
    b"evictions",
    b"fetchers",
    b"mutations",
    b"sysevents",
    b"connevents",
    b"proxyreqs",
    b"proxyevents",
    b"proxyuser",
    b"deletions",
];

/// What stands behind `watch`; None: a word that is none of these.
pub(super) fn words(tokens: &Tokens<'_>) -> Option<WatchWords> {
    let mut words = WatchWords::default();
    for at in 1..tokens.count() {
        let begin = tokens.at(at)?;
        let word = WORDS.iter().position(|word| word.starts_with(begin))?;
        words.0[word] = true;
    }
    if tokens.count() < 2 {
        words.0[2] = true;
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, numbers: &[usize]) {
        let found = words(&Tokens::split(line.as_bytes())).expect("known words");
        let found: Vec<usize> = (0..10).filter(|&at| found.0[at]).collect();
        assert_eq!(found, numbers, "{line}");
    }

    #[test]
    fn words_section_7() {
        check("watch", &[2]);
        check("watch ", &[2]);
        check("watch fetchers", &[2]);
        check("watch m", &[3]);
        check("watch p proxye proxyu", &[6, 7, 8]);
        check("watch r e f m s c p d", &[0, 1, 2, 3, 4, 5, 6, 9]);
        for line in ["watch x", "watch f noreply", "watch fetcherss", "watch F"] {
            assert_eq!(words(&Tokens::split(line.as_bytes())), None, "{line}");
        }
    }
}

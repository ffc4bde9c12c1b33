//! The sub-commands of `lru_crawler` (text, section 7). A word may be cut short: what is given has
//! to be a beginning of it, and the first in the listed order is taken.
#![forbid(unsafe_code)]

use super::refused;
use crate::protocol::Reply;
use crate::protocol::control::{ClassSet, Classes, Crawler, DumpFormat};
use crate::protocol::number;
use crate::protocol::request::Request;
use crate::protocol::token::Tokens;

/// `lru_crawler`
pub(super) fn crawler<'a>(tokens: &Tokens<'a>) -> Request<'a> {
    let word = tokens.at(1).unwrap_or_default();
    let begins = |whole: &[u8]| whole.starts_with(word);
    let request = match (tokens.at(2), tokens.count()) {
        (Some(list), 3) if begins(b"metadump") => {
            Crawler::Dump { format: DumpFormat::Metadump, classes: classes(list) }
        }
        (Some(list), 3) if begins(b"mgdump") => {
            Crawler::Dump { format: DumpFormat::Mgdump, classes: classes(list) }
        }
        _ => return refused(Reply::Error),
    };
    Request::Crawler(request)
}

/// A list of class numbers with commas between them, or a word for all.
fn classes(list: &[u8]) -> Classes {
    match list {
        b"all" => return Classes::All,
        b"hash" => return Classes::Hash,
        _ => {}
    }
    let mut set = ClassSet::default();
    for number in list.split(|&byte| byte == b',').filter(|number| !number.is_empty()) {
        match number::libc_u32(number).and_then(|class| u8::try_from(class).ok()) {
            None | Some(0) => return Classes::Bad,
            Some(class) => set.insert(class),
        }
    }
    Classes::List(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Request<'_> {
        crawler(&Tokens::split(line.as_bytes()))
    }

    fn list(of: &[u8]) -> Classes {
        let mut set = ClassSet::default();
        of.iter().for_each(|&class| set.insert(class));
        Classes::List(set)
    }

    #[test]
    fn dumps_section_7() {
        for (text, classes) in [
            ("all", Classes::All),
            ("hash", Classes::Hash),
            ("1", list(&[1])),
            ("3,1,,200,", list(&[1, 3, 200])),
            (",", list(&[])),
            ("0", Classes::Bad),
            ("256", Classes::Bad),
            ("1,x", Classes::Bad),
            ("al", Classes::Bad),
            ("-1", Classes::Bad),
        ] {
            let dump = |format| Request::Crawler(Crawler::Dump { format, classes });
            for (word, format) in [
                ("metadump", DumpFormat::Metadump),
                ("me", DumpFormat::Metadump),
                ("mgdump", DumpFormat::Mgdump),
                ("mg", DumpFormat::Mgdump),
            ] {
                assert_eq!(read(&format!("lru_crawler {word} {text}")), dump(format), "{text}");
            }
        }
        for line in [
            "lru_crawler",
            "lru_crawler metadump",
            "lru_crawler metadump 1 2",
            "lru_crawler metadumps all",
            "lru_crawler x all",
        ] {
            assert_eq!(read(line), refused(Reply::Error), "{line}");
        }
    }
}

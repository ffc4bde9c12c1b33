//! The sub-commands of `lru_crawler`, `slabs` and `lru` (text, section 7). A word may be cut short: what is given has
//! to be a beginning of it, and the first in the listed order is taken.
#![forbid(unsafe_code)]

use super::refused;
use crate::protocol::Reply;
use crate::protocol::control::{ClassSet, Classes, Crawler, DumpFormat, Lru, LruMode, Slabs};
use crate::protocol::number;
use crate::protocol::request::Request;
use crate::protocol::token::Tokens;

/// Longest `lru_crawler sleep` in microseconds.
const SLEEP_MAX: u32 = 1_000_000;

/// Shortest and longest `slabs automove window`.
const WINDOW: std::ops::RangeInclusive<u32> = 3..=1800;

/// Largest `slabs automove`.
const AUTOMOVE_MAX: u32 = 2;

/// Largest sum of the percentages of `lru tune`.
const PERCENTS_MAX: u32 = 80;

/// `lru_crawler`
pub(super) fn crawler<'a>(tokens: &Tokens<'a>) -> Request<'a> {
    let word = tokens.at(1).unwrap_or_default();
    let begins = |whole: &[u8]| whole.starts_with(word);
    let request = match (tokens.at(2), tokens.count()) {
        (Some(list), 3) if begins(b"crawl") => Crawler::Crawl(classes(list)),
        (Some(list), 3) if begins(b"metadump") => {
            Crawler::Dump { format: DumpFormat::Metadump, classes: classes(list) }
        }
        (Some(list), 3) if begins(b"mgdump") => {
            Crawler::Dump { format: DumpFormat::Mgdump, classes: classes(list) }
        }
        (Some(count), 3) if begins(b"tocrawl") => match number::u32(count) {
            Some(count) => Crawler::ToCrawl(count),
            None => return refused(Reply::BadLine),
        },
        (Some(micros), 3) if begins(b"sleep") => match number::u32(micros) {
            Some(micros) if micros <= SLEEP_MAX => Crawler::Sleep(micros),
            Some(_) => return refused(Reply::SleepTooLong),
            None => return refused(Reply::BadLine),
        },
        (None, 2) if begins(b"enable") => Crawler::Enable,
        (None, 2) if begins(b"disable") => Crawler::Disable,
        _ => return refused(Reply::Error),
    };
    Request::Crawler(request)
}

/// `slabs`
pub(super) fn slabs<'a>(tokens: &Tokens<'a>) -> Request<'a> {
    let word = tokens.at(1).unwrap_or_default();
    let begins = |whole: &[u8]| whole.starts_with(word);
    if let (4, Some(src), Some(dst)) = (tokens.count(), tokens.at(2), tokens.at(3))
        && begins(b"reassign")
    {
        return Request::Slabs(Slabs::Reassign(number::i32(src).zip(number::i32(dst))));
    }
    match tokens.at(2) {
        Some(what) if begins(b"automove") => match automove(what, tokens.at(3)) {
            Ok(request) => Request::Slabs(request),
            Err(error) => refused(error),
        },
        _ => refused(Reply::Error),
    }
}

fn automove(what: &[u8], argument: Option<&[u8]>) -> Result<Slabs, Reply> {
    let begins = |whole: &[u8]| whole.starts_with(what);
    let ratio = || argument.and_then(number::float).ok_or(Reply::Error);
    if begins(b"ratio") {
        return Ok(Slabs::AutomoveRatio(ratio()?));
    }
    if begins(b"freeratio") {
        return Ok(Slabs::AutomoveFreeRatio(ratio()?));
    }
    if begins(b"window") {
        let window = argument.and_then(number::u32).ok_or(Reply::BadLine)?;
        return WINDOW
            .contains(&window)
            .then_some(Slabs::AutomoveWindow(window))
            .ok_or(Reply::BadWindow);
    }
    match number::u32(what) {
        Some(level) if level <= AUTOMOVE_MAX => Ok(Slabs::Automove(level)),
        Some(_) => Err(Reply::Error),
        None => Err(Reply::BadLine),
    }
}

/// `lru`
pub(super) fn lru<'a>(tokens: &Tokens<'a>) -> Request<'a> {
    let word = tokens.at(1).unwrap_or_default();
    let begins = |whole: &[u8]| whole.starts_with(word);
    if let [Some(hot_pct), Some(warm_pct), Some(hot_factor), Some(warm_factor)] =
        [2, 3, 4, 5].map(|at| tokens.at(at))
        && begins(b"tune")
    {
        return match tune([hot_pct, warm_pct], [hot_factor, warm_factor]) {
            Ok(request) => Request::Lru(request),
            Err(error) => refused(error),
        };
    }
    match tokens.at(2) {
        Some(mode) if begins(b"mode") => Request::Lru(Lru::Mode(match mode {
            _ if b"flat".starts_with(mode) => Some(LruMode::Flat),
            _ if b"segmented".starts_with(mode) => Some(LruMode::Segmented),
            _ => None,
        })),
        Some(ttl) if begins(b"temp_ttl") => Request::Lru(Lru::TempTtl(number::i32(ttl))),
        _ => refused(Reply::Error),
    }
}

fn tune(percents: [&[u8]; 2], factors: [&[u8]; 2]) -> Result<Lru, Reply> {
    let ([Some(hot_pct), Some(warm_pct)], [Some(hot_factor), Some(warm_factor)]) =
        (percents.map(number::u32), factors.map(number::float))
    else {
        return Err(Reply::Error);
    };
    if hot_pct.wrapping_add(warm_pct) > PERCENTS_MAX {
        Err(Reply::BadPercents)
    } else if hot_factor <= 0.0 || warm_factor <= 0.0 {
        Err(Reply::BadFactors)
    } else {
        Ok(Lru::Tune { hot_pct, warm_pct, hot_factor, warm_factor })
    }
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
            "lru_crawler crawl",
            "lru_crawler enable 1",
            "lru_crawler metadump",
            "lru_crawler metadump 1 2",
            "lru_crawler metadumps all",
            "lru_crawler x all",
        ] {
            assert_eq!(read(line), refused(Reply::Error), "{line}");
        }
    }

    #[test]
    fn the_crawler_section_7() {
        let is = |line: &str, request| assert_eq!(read(line), Request::Crawler(request), "{line}");
        is("lru_crawler crawl 1,2", Crawler::Crawl(list(&[1, 2])));
        is("lru_crawler c all", Crawler::Crawl(Classes::All));
        is("lru_crawler enable", Crawler::Enable);
        is("lru_crawler d", Crawler::Disable);
        is("lru_crawler sleep 1000000", Crawler::Sleep(1_000_000));
        is("lru_crawler t 4294967295", Crawler::ToCrawl(u32::MAX));
        for (line, error) in [
            ("lru_crawler sleep 1000001", Reply::SleepTooLong),
            ("lru_crawler sleep x", Reply::BadLine),
            ("lru_crawler tocrawl -1", Reply::BadLine),
            ("lru_crawler sleep", Reply::Error),
        ] {
            assert_eq!(read(line), refused(error), "{line}");
        }
    }

    #[test]
    fn slabs_section_7() {
        let read = |line: &'static str| slabs(&Tokens::split(line.as_bytes()));
        let is = |line, request| assert_eq!(read(line), Request::Slabs(request), "{line}");
        is("slabs reassign 1 2", Slabs::Reassign(Some((1, 2))));
        is("slabs r -1 0", Slabs::Reassign(Some((-1, 0))));
        is("slabs reassign x 2", Slabs::Reassign(None));
        is("slabs automove 0", Slabs::Automove(0));
        is("slabs a 2 x", Slabs::Automove(2));
        is("slabs automove ratio 0.5", Slabs::AutomoveRatio(0.5));
        is("slabs automove f -1e2", Slabs::AutomoveFreeRatio(-100.0));
        is("slabs automove window 1800", Slabs::AutomoveWindow(1800));
        for (line, error) in [
            ("slabs", Reply::Error),
            ("slabs reassign 1", Reply::Error),
            ("slabs reassign 1 2 3", Reply::Error),
            ("slabs automove", Reply::Error),
            ("slabs automove 3", Reply::Error),
            ("slabs automove x", Reply::BadLine),
            ("slabs automove ratio", Reply::Error),
            ("slabs automove ratio x", Reply::Error),
            ("slabs automove window", Reply::BadLine),
            ("slabs automove window 2", Reply::BadWindow),
            ("slabs automove window 1801", Reply::BadWindow),
        ] {
            assert_eq!(read(line), refused(error), "{line}");
        }
    }

    #[test]
    fn lru_section_7() {
        let read = |line: &'static str| lru(&Tokens::split(line.as_bytes()));
        let tuned = Lru::Tune { hot_pct: 10, warm_pct: 70, hot_factor: 0.5, warm_factor: 2.0 };
        for (line, request) in [
            ("lru tune 10 70 0.5 2", tuned),
            ("lru t 10 70 0.5 2 x", tuned),
            ("lru mode flat", Lru::Mode(Some(LruMode::Flat))),
            ("lru m s", Lru::Mode(Some(LruMode::Segmented))),
            ("lru mode x", Lru::Mode(None)),
            ("lru temp_ttl -5", Lru::TempTtl(Some(-5))),
            ("lru t 5", Lru::TempTtl(Some(5))),
            ("lru temp_ttl x", Lru::TempTtl(None)),
        ] {
            assert_eq!(read(line), Request::Lru(request), "{line}");
        }
        for (line, error) in [
            ("lru", Reply::Error),
            ("lru x", Reply::Error),
            ("lru tune 10 70 0.5", Reply::Error),
            ("lru tune 10 x 0.5 2", Reply::Error),
            ("lru tune 10 71 0.5 2", Reply::BadPercents),
            ("lru tune 10 70 0 2", Reply::BadFactors),
            ("lru tune 10 70 1 -1", Reply::BadFactors),
        ] {
            assert_eq!(read(line), refused(error), "{line}");
        }
    }
}

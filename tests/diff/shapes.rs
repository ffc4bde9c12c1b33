//! Shapes of requests that rules in `allowed` speak of.
//!
//! A test looks at one request as it was made. What an earlier one with a wrong length makes of it is not
//! followed: the blocks that are sent hold nothing that would matter.
#![forbid(unsafe_code)]

use crate::sequence::{Cuts, Line, Request, Sequence, Word};

const STORAGE: &[&str] = &["set", "add", "replace", "append", "prepend", "cas"];
const RETRIEVAL: &[&str] = &["get", "gets", "gat", "gats"];
const OTHERS: &[&str] = &[
    "delete",
    "incr",
    "decr",
    "touch",
    "mg",
    "ms",
    "md",
    "ma",
    "mn",
    "me",
    "stats",
    "watch",
    "quit",
    "version",
    "shutdown",
    "slabs",
    "cache_memlimit",
    "flush_all",
    "lru_crawler",
    "verbosity",
    "lru",
    "refresh_certs",
];

const KEY_LEN_MAX: usize = 250;

fn line(sequence: &Sequence, index: usize) -> Option<&Line> {
    sequence.requests[index].line()
}

fn is_one_of(word: &[u8], list: &[&str]) -> bool {
    list.iter().any(|name| name.as_bytes() == word)
}

fn number(word: &[u8]) -> Option<i64> {
    std::str::from_utf8(word).ok().filter(|text| !text.starts_with('+'))?.parse().ok()
}

/// A plain number: digits, at most `len` of them, not more than `max`.
fn is_plain(word: &[u8], len: usize, max: u64) -> bool {
    let value = std::str::from_utf8(word).ok().and_then(|text| text.parse::<u64>().ok());
    word.len() <= len && word[..].iter().all(u8::is_ascii_digit) && value.is_some_and(|n| n <= max)
}

/// The same with a sign before it, or not.
fn is_plain_signed(word: &[u8]) -> bool {
    is_plain(word.strip_prefix(b"-").unwrap_or(word), 10, i32::MAX as u64)
}

pub fn long_key_retrieval(sequence: &Sequence, index: usize) -> bool {
    line(sequence, index).is_some_and(|line| {
        // A CR that does not belong to the line's end belongs to its last word.
        let more = usize::from(line.end.starts_with(b"\r\r"));
        let has_long =
            (1..line.words.len()).any(|index| line.word(index).len() + more > KEY_LEN_MAX);
        is_one_of(line.command(), RETRIEVAL) && has_long
    })
}

pub fn late_http(sequence: &Sequence, index: usize) -> bool {
    line(sequence, index).is_some_and(|line| {
        let is_known =
            [STORAGE, RETRIEVAL, OTHERS].iter().any(|list| is_one_of(line.command(), list));
        let may_be_unknown = !is_known || is_shifted(&sequence.requests[..index]);
        index > 0 && may_be_unknown && line.last().starts_with(b"HTTP/")
    })
}

pub fn long_line(sequence: &Sequence, index: usize) -> bool {
    const LINE_LEN_MAX: usize = 1_600;
    const PACKET_LEN_MAX: usize = 300;
    // A packet amid lines is the begin of the next line.
    let packet = sequence.requests[index].packet();
    let is_long_packet = packet.is_some_and(|packet| {
        packet.head_len().max(packet.key.len()) + packet.value.len() > PACKET_LEN_MAX
    });
    let is_long_line = line(sequence, index).is_some_and(|line| {
        let may_be_long =
            matches!(line.command(), b"get" | b"gets") && index == 0 && line.gaps[0] == 0;
        line.len_max() > LINE_LEN_MAX && !may_be_long
    });
    is_long_line || is_long_packet && !sequence.is_binary()
}

/// How long the block of a storage line is said to be.
fn claimed(line: &Line) -> Option<usize> {
    let word = match line.command() {
        b"ms" => line.word(2),
        command if is_one_of(command, STORAGE) => line.word(4),
        _ => return None,
    };
    let digits = word.strip_prefix(b"+").unwrap_or(word);
    let len = number(digits)?;
    // More than that is refused, and then nothing is waited for.
    const BLOCK_LEN_MAX: i64 = i32::MAX as i64 - 2;
    (len <= BLOCK_LEN_MAX).then(|| usize::try_from(len).ok()).flatten()
}

/// Whether the length of a block is a unique, which may be any number.
fn has_odd_length(line: &Line) -> bool {
    let at = if line.command() == b"ms" { 2 } else { 4 };
    let is_storage = line.command() == b"ms" || is_one_of(line.command(), STORAGE);
    is_storage && matches!(line.words.get(at), Some(Word::Unique(..)))
}

pub fn endless_block(sequence: &Sequence, index: usize) -> bool {
    let request = &sequence.requests[index];
    if request.line().is_some_and(has_odd_length) {
        return true;
    }
    let wanted = match (request.line(), request.packet()) {
        (Some(line), _) => claimed(line).map(|len| line.len_max() + len + 2),
        // An unknown opcode swallows extras and key twice.
        (_, Some(packet)) => {
            Some(24 + packet.body_len() + packet.head_len()).filter(|len| *len < 1 << 30)
        }
        _ => None,
    };
    wanted.is_some_and(|len| len > sequence.len_from(index))
}

pub fn soon_flush(sequence: &Sequence, index: usize) -> bool {
    line(sequence, index).is_some_and(|line| {
        let delay = number(line.word(1));
        line.command() == b"flush_all" && delay.is_some_and(|secs| (1..100).contains(&secs))
    })
}

pub fn statistics(sequence: &Sequence, index: usize) -> bool {
    line(sequence, index).is_some_and(|line| {
        let group = line.word(1);
        let is_list = line.words.len() == 1
            || is_one_of(group, &["items", "slabs", "sizes"])
            || [&b"settings"[..], b"conns"].iter().any(|name| name.starts_with(group));
        let is_dump = b"cachedump".starts_with(group)
            && number(line.word(2)).is_some_and(|class| (0..64).contains(&class));
        line.command() == b"stats" && (is_list || is_dump)
    })
}

pub fn late_watch(sequence: &Sequence, index: usize) -> bool {
    const WORDS: &[&[u8]] = &[
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
    line(sequence, index).is_some_and(|line| {
        let is_class = |index: usize| WORDS.iter().any(|word| word.starts_with(line.word(index)));
        let is_taken = (1..line.words.len()).all(is_class);
        line.command() == b"watch" && (index > 0 || is_taken)
    })
}

pub fn memory_limit(sequence: &Sequence, index: usize) -> bool {
    line(sequence, index).is_some_and(|line| {
        let limit = number(line.word(1));
        line.command() == b"cache_memlimit"
            && limit.is_some_and(|limit| (8..=1_000_000_000).contains(&limit))
    })
}

pub fn huge_body(sequence: &Sequence, index: usize) -> bool {
    sequence.requests[index].packet().is_some_and(|packet| packet.body_len() > 1 << 30)
}

/// A line of which older releases made something else, whatever follows it.
pub fn old_line(sequence: &Sequence, index: usize) -> bool {
    let Some(line) = line(sequence, index) else { return false };
    let words = line.words.len();
    let (command, last) = (line.command(), line.last());
    let is_known = [STORAGE, RETRIEVAL, OTHERS].iter().any(|list| is_one_of(command, list));
    let arguments = words - 1 - usize::from(last == b"noreply" && words > 2);
    let is_bad = match command {
        b"get" | b"gets" => arguments < 1,
        b"gat" | b"gats" => words < 3 || !is_plain_signed(line.word(1)),
        b"touch" => arguments != 2 || !is_plain_signed(line.word(2)),
        b"incr" | b"decr" => arguments != 2 || line.word(2).starts_with(b"+"),
        b"delete" => arguments != 1,
        b"flush_all" => words > 2,
        b"verbosity" => words < 2,
        b"shutdown" => true,
        b"slabs" => is_one_of(line.word(1), &["automove", "r"]),
        b"lru" => line.word(1) == b"mode",
        b"lru_crawler" => line.word(1) == b"mgdump",
        b"stats" => is_one_of(line.word(1), &["res", "sizes_enable", "detail"]),
        _ => false,
    };
    line.len_max() < 4
        || line.gaps[0] > 0
        || words > 20 && !matches!(command, b"get" | b"gets")
        || !is_known && last == b"noreply"
        || is_bad
}

/// A storage line that is refused, or whose block is not as long as it says: what is swallowed, and what
/// is answered to the rest, was otherwise.
pub fn old_block(sequence: &Sequence, index: usize) -> bool {
    let Some(line) = line(sequence, index) else { return false };
    let is_storage = is_one_of(line.command(), STORAGE);
    if !is_storage && line.command() != b"ms" {
        return line.block.is_some();
    }
    let block_len = line.block.as_ref().map_or(0, Vec::len);
    let len = line.word(if is_storage { 4 } else { 2 });
    let is_right =
        claimed(line).is_some_and(|claim| claim + 2 == block_len) && is_plain(len, 10, u64::MAX);
    let wanted = if line.command() == b"cas" { 6 } else { 5 };
    let words = line.words.len() - usize::from(line.last() == b"noreply");
    let is_unique = |word: Option<&Word>| match word {
        Some(Word::Bytes(bytes)) => is_plain(bytes, 20, u64::MAX),
        Some(Word::Unique(..)) => true,
        None => false,
    };
    let is_good = !is_storage
        || words == wanted
            && is_plain(line.word(2), 10, u64::from(u32::MAX))
            && is_plain_signed(line.word(3))
            && (wanted == 5 || is_unique(line.words.get(5)));
    !is_right || !is_good || line.word(1).len() > KEY_LEN_MAX
}

/// A meta line with something that older releases did not know, or refused in other words.
pub fn old_meta(sequence: &Sequence, index: usize) -> bool {
    let Some(line) = line(sequence, index) else { return false };
    let (known, first): (&str, usize) = match line.command() {
        b"mg" => ("bcfhklOqstuvNRT", 2),
        b"ms" => ("bcCFIkOqTM", 3),
        b"md" => ("bCIkOqT", 2),
        b"ma" => ("bcCDJkMNOqtTv", 2),
        b"me" => ("", 2),
        _ => return false,
    };
    let words = line.words.get(first..).unwrap_or_default();
    let flag = |word: &Word| match word {
        Word::Bytes(bytes) => bytes.first().map_or(' ', |byte| char::from(*byte)),
        Word::Unique(letter, _) => letter.chars().next().unwrap_or(' '),
    };
    let is_known = |word: &Word| known.contains(flag(word)) && !is_odd_token(word, flag(word));
    let flags: Vec<char> = words.iter().map(flag).collect();
    let is_repeated = (1..flags.len()).any(|at| flags[..at].contains(&flags[at]));
    let is_quiet_creation = line.command() == b"ma" && flags.contains(&'N') && flags.contains(&'q');
    line.words.len() < first
        || line.words.len() > 12
        || line.word(1).len() > KEY_LEN_MAX
        || !words.iter().all(is_known)
        || is_repeated
        || is_quiet_creation
}

/// A token that was read otherwise.
fn is_odd_token(word: &Word, flag: char) -> bool {
    let Word::Bytes(bytes) = word else { return false };
    let token = &bytes[1..];
    match flag {
        'T' | 'N' | 'R' => !is_plain_signed(token),
        'F' => !is_plain(token, 10, u64::from(u32::MAX)),
        'C' | 'D' | 'J' => !is_plain(token, 20, u64::MAX),
        'M' => token.len() != 1,
        'O' => false,
        _ => !token.is_empty(),
    }
}

pub fn refused_ms(sequence: &Sequence, index: usize) -> bool {
    const OPAQUE_LEN_MAX: usize = 32;
    line(sequence, index).is_some_and(|line| {
        let more = usize::from(line.end.starts_with(b"\r\r"));
        let is_long = |index: usize| {
            let word = line.word(index);
            word.first() == Some(&b'O') && word.len() + more > OPAQUE_LEN_MAX
        };
        let block = line.block.as_deref().unwrap_or_default();
        let is_whole = taken(line).is_some_and(|len| block.len() == len + 2);
        let is_refused =
            (3..line.words.len()).any(is_long) || !is_whole || !block.ends_with(b"\r\n");
        line.command() == b"ms" && is_refused
    })
}

pub fn unique_behind_refused_ms(sequence: &Sequence, index: usize) -> bool {
    let names_unique = line(sequence, index).is_some_and(|line| {
        let is_flag = |index: usize| line.word(index).starts_with(b"C");
        let is_number = |word: &Word| matches!(word, Word::Unique(..));
        line.command() == b"cas"
            || line.words.iter().any(is_number)
            || (2..line.words.len()).any(is_flag)
    });
    names_unique && (0..index).any(|earlier| refused_ms(sequence, earlier))
}

pub fn broken_flag(sequence: &Sequence, index: usize) -> bool {
    line(sequence, index).is_some_and(|line| {
        let is_broken = |index: usize| {
            line.word(index).first().is_some_and(|byte| !matches!(byte, b'A'..=b'z' | b'0'..=b'9'))
        };
        line.command() == b"ms" && (3..line.words.len()).any(is_broken)
    })
}

pub fn debug_base64(sequence: &Sequence, index: usize) -> bool {
    line(sequence, index).is_some_and(|line| {
        line.command() == b"me" && (2..line.words.len()).any(|index| line.word(index) == b"b")
    })
}

/// Known opcodes, of which memcached looks at the layout.
fn is_known(opcode: u8) -> bool {
    matches!(opcode, 0..=0x1a | 0x1c..=0x1e | 0x20..=0x24)
}

pub fn unknown_opcode(sequence: &Sequence, index: usize) -> bool {
    let packet = sequence.requests[index].packet();
    packet.is_some_and(|packet| !is_known(packet.opcode) && packet.body_len() > 0)
}

pub fn surplus_value(sequence: &Sequence, index: usize) -> bool {
    let packet = sequence.requests[index].packet();
    packet.is_some_and(|packet| {
        let is_unchecked = matches!(packet.opcode, 0x10 | 0x1c..=0x1e | 0x23 | 0x24);
        is_unchecked && packet.body_len() > packet.head_len()
    })
}

pub fn statistics_packet(sequence: &Sequence, index: usize) -> bool {
    let packet = sequence.requests[index].packet();
    packet.is_some_and(|packet| {
        let is_list = is_one_of(&packet.key, &["", "items", "slabs", "sizes"]);
        packet.opcode == 0x10 && (is_list || packet.key.starts_with(b"settings"))
    })
}

pub fn lost_framing(sequence: &Sequence, index: usize) -> bool {
    if !sequence.is_binary() {
        return false;
    }
    let is_last = index + 1 == sequence.requests.len();
    match sequence.requests[index].packet() {
        None => index > 0,
        Some(packet) => {
            let real = packet.extras.len() + packet.key.len() + packet.value.len();
            let (claimed, is_foreign) = (packet.body_len(), packet.magic != 0x80);
            (is_foreign && index > 0) || claimed < real || (claimed > real && !is_last)
        }
    }
}

/// What a block holds but for its end.
fn value(line: &Line) -> &[u8] {
    let block = line.block.as_deref().unwrap_or_default();
    block.strip_suffix(b"\r\n").unwrap_or(block)
}

pub fn long_loose_block(sequence: &Sequence, index: usize) -> bool {
    const LEN_MAX: usize = 1_600;
    line(sequence, index).is_some_and(|line| {
        let is_taken = line.gaps.first() == Some(&0)
            && taken(line).is_some_and(|len| len >= value(line).len());
        let stores = STORAGE.iter().any(|command| {
            value(line).windows(command.len()).any(|part| part == command.as_bytes())
        });
        let is_long = value(line).len() > LEN_MAX;
        (!is_taken && (is_long || stores)) || (is_long && is_shifted(&sequence.requests[..index]))
    })
}

/// Whether a block among these is not as its line says, so that what follows is read from elsewhere.
fn is_shifted(requests: &[Request]) -> bool {
    requests.iter().any(|request| {
        // A packet amid lines is the begin of the next line.
        let Some(line) = request.line() else { return true };
        let block = line.block.as_deref();
        let is_whole = taken(line).map(|len| len + 2) == block.map(<[u8]>::len);
        !is_whole || block.is_some_and(|block| !block.ends_with(b"\r\n"))
    })
}

/// The length of the block that is read behind a line: none if its number is not well-formed.
fn taken(line: &Line) -> Option<usize> {
    const DIGITS_MAX: usize = 11;
    let at = if line.command() == b"ms" { 2 } else { 4 };
    let is_well_formed = |word: &[u8]| word.len() <= DIGITS_MAX && !word.starts_with(b"+");
    // A CR that does not belong to the line's end belongs to its last word.
    let has_cr = line.words.len() == at + 1 && line.end.starts_with(b"\r\r");
    claimed(line).filter(|_| is_well_formed(line.word(at)) && !has_cr)
}

pub fn marked_sum(sequence: &Sequence, index: usize) -> bool {
    line(sequence, index).is_some_and(|line| {
        let has = |letters: &[&str]| {
            (2..line.words.len()).any(|index| match &line.words[index] {
                Word::Bytes(bytes) => {
                    letters.iter().any(|letter| bytes.starts_with(letter.as_bytes()))
                }
                Word::Unique(letter, _) => letters.contains(letter),
            })
        };
        line.command() == b"ma" && has(&["T", "E"]) && !has(&["MD", "M-"])
    })
}

pub fn endless_head(sequence: &Sequence, index: usize) -> bool {
    const HEAD_LEN_MAX: usize = 16_000;
    sequence.requests[index].packet().is_some_and(|packet| packet.head_len() > HEAD_LEN_MAX)
}

pub fn blank_value(sequence: &Sequence, index: usize) -> bool {
    let is_blank = |value: &[u8]| {
        !value.is_empty() && value.iter().all(|byte| matches!(byte, b' ' | b'\t'..=b'\r'))
    };
    match &sequence.requests[index] {
        Request::Line(line) => line.block.is_some() && is_blank(value(line)),
        Request::Packet(packet) => is_blank(&packet.value),
    }
}

fn key(request: &Request) -> Vec<&[u8]> {
    match request {
        Request::Packet(packet) => vec![&packet.key],
        Request::Line(line) => (1..line.words.len()).map(|index| line.word(index)).collect(),
    }
}

fn is_sum(request: &Request) -> bool {
    match request {
        Request::Packet(packet) => matches!(packet.opcode, 5 | 6 | 0x15 | 0x16),
        Request::Line(line) => is_one_of(line.command(), &["incr", "decr", "ma"]),
    }
}

fn shows_item(request: &Request) -> bool {
    match request {
        Request::Packet(packet) => {
            matches!(packet.opcode, 0 | 9 | 0x0c | 0x0d | 0x1c..=0x1e | 0x23 | 0x24)
        }
        Request::Line(line) => is_one_of(line.command(), &["get", "gets", "gat", "gats", "mg"]),
    }
}

pub fn sum_behind_retrieval(sequence: &Sequence, index: usize) -> bool {
    let request = &sequence.requests[index];
    // Several texts stand for the same key in base64.
    let plain = |word: &[u8]| match word {
        [b'Z', b'm', ..] => b"foo".to_vec(),
        [b'Z', b'g', ..] => b"f".to_vec(),
        _ => word.to_vec(),
    };
    let keys: Vec<Vec<u8>> = key(request).into_iter().take(1).map(plain).collect();
    is_sum(request)
        && sequence.requests[..index].iter().any(|earlier| {
            shows_item(earlier)
                && key(earlier).into_iter().map(plain).any(|key| keys.contains(&key))
        })
}

pub fn key_that_breaks_lines(sequence: &Sequence, index: usize) -> bool {
    const KEY: &[u8] = b"AP8gDQo=";
    line(sequence, index).is_some_and(|line| {
        let has = |letter: &str| {
            (2..line.words.len()).any(|index| line.word(index).starts_with(letter.as_bytes()))
        };
        let makes = match line.command() {
            b"mg" => has("N"),
            b"ms" => has("MA") || has("MP"),
            b"md" => has("x"),
            command => command == b"ma",
        };
        line.word(1) == KEY && makes
    })
}

pub fn page_move(sequence: &Sequence, index: usize) -> bool {
    line(sequence, index).is_some_and(|line| {
        let is_word = !line.word(1).is_empty() && b"reassign".starts_with(line.word(1));
        let is_number = |word: &[u8]| word == b"-" || number(word).is_some();
        let has_numbers = [2, 3].iter().all(|index| is_number(line.word(*index)));
        line.command() == b"slabs" && is_word && has_numbers
    })
}

pub fn word_with_nul(sequence: &Sequence, index: usize) -> bool {
    line(sequence, index).is_some_and(|line| {
        let has_nul = (1..line.words.len()).any(|index| line.word(index).contains(&0));
        is_one_of(line.command(), &["lru_crawler", "slabs", "lru", "stats"]) && has_nul
    })
}

pub fn padding_amid(sequence: &Sequence, index: usize) -> bool {
    line(sequence, index).is_some_and(|line| {
        let is_odd = |group: &[u8]| {
            let padding = group.iter().skip_while(|byte| **byte != b'=');
            padding.clone().next().is_some() && padding.into_iter().any(|byte| *byte != b'=')
        };
        let is_base64 = (2..line.words.len()).any(|index| line.word(index) == b"b");
        line.command().starts_with(b"m") && is_base64 && line.word(1).chunks(4).any(is_odd)
    })
}

pub fn sum_behind_long_value(sequence: &Sequence, index: usize) -> bool {
    const LEN_MAX: usize = 1_000;
    let is_long = |request: &Request| match request {
        Request::Packet(packet) => packet.value.len() > LEN_MAX,
        Request::Line(line) => value(line).len() > LEN_MAX,
    };
    is_sum(&sequence.requests[index]) && sequence.requests[..index].iter().any(is_long)
}

pub fn blank_number(sequence: &Sequence, index: usize) -> bool {
    let is_blank =
        |word: &[u8]| !word.is_empty() && word.iter().all(|byte| matches!(byte, b'\t'..=b'\r'));
    line(sequence, index).is_some_and(|line| {
        is_one_of(line.command(), STORAGE) && [2, 3].iter().any(|at| is_blank(line.word(*at)))
    })
}

pub fn late_dump(sequence: &Sequence, index: usize) -> bool {
    const REQUESTS_PER_TURN: usize = 20;
    let is_cut = index > 0 && matches!(sequence.cuts, Cuts::At(_));
    line(sequence, index).is_some_and(|line| {
        let word = line.word(1);
        let is_dump = [&b"metadump"[..], b"mgdump"].iter().any(|dump| dump.starts_with(word));
        let is_late = is_cut || index + 2 > REQUESTS_PER_TURN;
        line.command() == b"lru_crawler" && is_dump && is_late
    })
}

//! Answers as bytes.
#![forbid(unsafe_code)]

use itoa::Buffer;

/// Bytes of a `VALUE` line beside its key: the word, four spaces, three numbers, CR LF.
const VALUE_LINE_EXTRA: usize = 5 + 4 + 10 + 10 + 20 + 2;

/// An answer that is one fixed line (text, section 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The value was stored.
    Stored,
    /// The condition of add, replace, append or prepend did not hold.
    NotStored,
    /// The item has another unique.
    Exists,
    /// There is no such item.
    NotFound,
    /// The item is gone.
    Deleted,
    /// The item has its new expiry.
    Touched,
    /// Done.
    Ok,
    /// The counters are 0.
    Reset,
    /// End of a list.
    End,
    /// No such command.
    Error,
    /// The line is not what the command takes.
    BadLine,
    /// The data block does not end where the line said.
    BadChunk,
    /// An exptime that is no number.
    BadExptime,
    /// A delta that is no number.
    BadDelta,
    /// A stored value that is no number.
    NonNumeric,
    /// `-F`
    FlushNotAllowed,
    /// No such mode of `shutdown`.
    BadShutdownMode,
    /// `-A` is not given.
    ShutdownNotEnabled,
    /// The item would be larger than `-I`.
    TooLarge,
    /// No memory for a new item.
    NoMemoryStoring,
    /// No memory for the rest of a value that has begun to arrive.
    NoMemoryReading,
    /// No memory for a longer number.
    NoMemory,
    /// `cache_memlimit` below 8 MB.
    LimitTooSmall,
    /// `cache_memlimit` of more than a petabyte.
    LimitTooLarge,
    /// `cache_memlimit` that the store cannot follow.
    LimitRefused,
    /// `refresh_certs` without certificates.
    TlsNotEnabled,
    /// A meta line of more than 20 tokens.
    MetaLineTooLong,
    /// A meta flag that is there twice.
    MetaDuplicateFlag,
    /// No such meta flag.
    MetaInvalidFlag,
    /// A key that is not base64.
    MetaBadKey,
    /// The argument of T, N, R, C or E is no number.
    MetaBadToken,
    /// The argument of J is no number.
    MetaBadInitial,
    /// The argument of D is no number.
    MetaBadDelta,
    /// Whatever is wrong with the flags of `ma`.
    MetaBadArithFlag,
    /// O has more than 31 bytes.
    MetaOpaqueTooLong,
    /// No such mode of `ms`.
    MetaBadSetMode,
    /// No such mode of `ma`.
    MetaBadArithMode,
    /// No memory for the number that `ma` was to make.
    MetaNoMemory,
    /// End of `lru_crawler mgdump`.
    EndOfKeys,
    /// `lru_crawler disable` was given.
    CrawlerDisabled,
    /// `lru_crawler metadump` with `-X`.
    MetadumpNotAllowed,
    /// `lru_crawler mgdump` with `-X`.
    MgdumpNotAllowed,
    /// `lru_crawler metadump` while earlier answers are unsent.
    MetadumpPipelined,
    /// `lru_crawler mgdump` while earlier answers are unsent.
    MgdumpPipelined,
    /// A slab class that does not exist.
    BadClass,
    /// A list of no slab classes.
    NothingToCrawl,
    /// `lru_crawler crawl` of something that no crawl is for.
    CrawlFailed,
    /// `lru_crawler enable` while it is enabled.
    CrawlerNotStarted,
    /// `lru_crawler sleep` of more than a second.
    SleepTooLong,
    /// `slabs reassign` with `-o no_slab_reassign`.
    ReassignDisabled,
    /// `slabs reassign` from a class to itself.
    SameClass,
    /// `slabs reassign` from or to a class that does not exist.
    BadReassign,
    /// `slabs reassign` from a class with fewer than two pages.
    NoSparePage,
    /// `slabs automove window` out of its range.
    BadWindow,
    /// `lru tune` of more than 80 per cent.
    BadPercents,
    /// `lru tune` with a factor that is not above 0.
    BadFactors,
    /// `stats detail` with `-X`.
    DetailNotAllowed,
    /// `stats detail` without a word that it knows.
    DetailUsage,
    /// `stats cachedump` with `-X`.
    CachedumpNotAllowed,
    /// `stats cachedump` without its arguments.
    BadStatsLine,
    /// `stats cachedump` of a slab class that does not exist.
    IllegalClass,
    /// `-W`
    WatchNotAllowed,
    /// `watch` with answers before it that are not written yet.
    WatchPipelined,
    /// As many clients watch as may.
    WatcherTooMany,
}

impl Reply {
    /// Whether it tells the client of an error.
    pub fn is_error(self) -> bool {
        let line = self.line();
        [
            b"ERROR".as_slice(),
            b"CLIENT_ERROR",
            b"SERVER_ERROR",
            b"MEMLIMIT_",
            b"Error",
            b"BADCLASS",
            b"NOTSTARTED",
            b"SAME",
            b"NOSPARE",
            b"WATCHER_",
        ]
        .iter()
        .any(|word| line.starts_with(word))
    }

    /// The line of the text protocol, CR LF included.
    pub const fn line(self) -> &'static [u8] {
        match self {
            Reply::Stored => b"STORED\r\n",
            Reply::NotStored => b"NOT_STORED\r\n",
            Reply::Exists => b"EXISTS\r\n",
            Reply::NotFound => b"NOT_FOUND\r\n",
            Reply::Deleted => b"DELETED\r\n",
            Reply::Touched => b"TOUCHED\r\n",
            Reply::Ok => b"OK\r\n",
            Reply::Reset => b"RESET\r\n",
            Reply::End => b"END\r\n",
            Reply::Error => b"ERROR\r\n",
            Reply::BadLine => b"CLIENT_ERROR bad command line format\r\n",
            Reply::BadChunk => b"CLIENT_ERROR bad data chunk\r\n",
            Reply::BadExptime => b"CLIENT_ERROR invalid exptime argument\r\n",
            Reply::BadDelta => b"CLIENT_ERROR invalid numeric delta argument\r\n",
            Reply::NonNumeric => {
                b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
            }
            Reply::FlushNotAllowed => b"CLIENT_ERROR flush_all not allowed\r\n",
            Reply::BadShutdownMode => b"CLIENT_ERROR invalid shutdown mode\r\n",
            Reply::ShutdownNotEnabled => b"SERVER_ERROR: shutdown not enabled\r\n",
            Reply::TooLarge => b"SERVER_ERROR object too large for cache\r\n",
            Reply::NoMemoryStoring => b"SERVER_ERROR out of memory storing object\r\n",
            Reply::NoMemoryReading => b"SERVER_ERROR Out of memory during read\r\n",
            Reply::NoMemory => b"SERVER_ERROR out of memory\r\n",
            Reply::LimitTooSmall => b"MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n",
            Reply::LimitTooLarge => {
                b"MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n"
            }
            Reply::LimitRefused => b"MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n",
            Reply::TlsNotEnabled => b"Error TLS not enabled\r\n",
            Reply::MetaLineTooLong => b"CLIENT_ERROR options flags are too long\r\n",
            Reply::MetaDuplicateFlag => b"CLIENT_ERROR duplicate flag\r\n",
            Reply::MetaInvalidFlag => b"CLIENT_ERROR invalid flag\r\n",
            Reply::MetaBadKey => b"CLIENT_ERROR error decoding key\r\n",
            Reply::MetaBadToken => b"CLIENT_ERROR bad token in command line format\r\n",
            Reply::MetaBadInitial => b"CLIENT_ERROR invalid numeric initial value\r\n",
            Reply::MetaBadDelta => b"CLIENT_ERROR invalid numeric delta value\r\n",
            Reply::MetaBadArithFlag => b"CLIENT_ERROR invalid or duplicate flag\r\n",
            Reply::MetaOpaqueTooLong => b"CLIENT_ERROR opaque token too long\r\n",
            Reply::MetaBadSetMode => b"CLIENT_ERROR invalid mode for ms M token\r\n",
            Reply::MetaBadArithMode => b"CLIENT_ERROR invalid mode for ma M token\r\n",
            Reply::MetaNoMemory => b"SERVER_ERROR Out of memory allocating new item\r\n",
            Reply::EndOfKeys => b"EN\r\n",
            Reply::CrawlerDisabled => b"CLIENT_ERROR lru crawler disabled\r\n",
            Reply::MetadumpNotAllowed => b"ERROR metadump not allowed\r\n",
            Reply::MgdumpNotAllowed => b"ERROR key dump not allowed\r\n",
            Reply::MetadumpPipelined => b"ERROR cannot pipeline other commands before metadump\r\n",
            Reply::MgdumpPipelined => b"ERROR cannot pipeline other commands before mgdump\r\n",
            Reply::BadClass => b"BADCLASS invalid class id\r\n",
            Reply::NothingToCrawl => b"NOTSTARTED no items to crawl\r\n",
            Reply::CrawlFailed => b"ERROR an unknown error happened\r\n",
            Reply::CrawlerNotStarted => b"ERROR failed to start lru crawler thread\r\n",
            Reply::SleepTooLong => b"CLIENT_ERROR sleep must be one second or less\r\n",
            Reply::ReassignDisabled => b"CLIENT_ERROR slab reassignment disabled\r\n",
            Reply::SameClass => b"SAME src and dst class are identical\r\n",
            Reply::BadReassign => b"BADCLASS invalid src or dst class id\r\n",
            Reply::NoSparePage => b"NOSPARE source class has no spare pages\r\n",
            Reply::BadWindow => b"CLIENT_ERROR automove window too low or too high\r\n",
            Reply::BadPercents => b"ERROR hot and warm pcts must not exceed 80\r\n",
            Reply::BadFactors => b"ERROR hot/warm age factors must be greater than 0\r\n",
            Reply::DetailNotAllowed => b"CLIENT_ERROR stats detail not allowed\r\n",
            Reply::DetailUsage => b"CLIENT_ERROR usage: stats detail on|off|dump\r\n",
            Reply::CachedumpNotAllowed => b"CLIENT_ERROR stats cachedump not allowed\r\n",
            Reply::BadStatsLine => b"CLIENT_ERROR bad command line\r\n",
            Reply::IllegalClass => b"CLIENT_ERROR Illegal slab id\r\n",
            Reply::WatchNotAllowed => b"CLIENT_ERROR watch commands not allowed\r\n",
            Reply::WatchPipelined => b"ERROR cannot pipeline other commands before watch\r\n",
            Reply::WatcherTooMany => b"WATCHER_TOO_MANY log watcher limit reached\r\n",
        }
    }
}

/// Appends `VALUE <key> <flags> <bytes>[ <unique>]` and its CR LF, and makes room for `room` more
/// bytes (text, section 5).
pub fn value_line(
    into: &mut Vec<u8>,
    key: &[u8],
    flags: u32,
    value_len: usize,
    cas: Option<u64>,
    room: usize,
) {
    into.reserve(VALUE_LINE_EXTRA + key.len() + room);
    into.extend_from_slice(b"VALUE ");
    into.extend_from_slice(key);
    if flags == 0 {
        into.extend_from_slice(b" 0 ");
    } else {
        into.push(b' ');
        into.extend_from_slice(Buffer::new().format(flags).as_bytes());
        into.push(b' ');
    }
    into.extend_from_slice(Buffer::new().format(value_len).as_bytes());
    if let Some(cas) = cas {
        into.push(b' ');
        into.extend_from_slice(Buffer::new().format(cas).as_bytes());
    }
    into.extend_from_slice(b"\r\n");
}

/// Appends a number on a line of its own.
pub fn number_line(into: &mut Vec<u8>, number: u64) {
    into.extend_from_slice(Buffer::new().format(number).as_bytes());
    into.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: &[u8], flags: u32, value_len: usize, cas: Option<u64>) -> String {
        let mut bytes = Vec::new();
        value_line(&mut bytes, key, flags, value_len, cas, 0);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn value_lines_section_5() {
        assert_eq!(value(b"a", 0, 5, None), "VALUE a 0 5\r\n");
        assert_eq!(value(b"a", 7, 0, Some(0)), "VALUE a 7 0 0\r\n");
        let longest = value(&[b'k'; 250], u32::MAX, 1 << 30, Some(u64::MAX));
        assert_eq!(longest.len(), VALUE_LINE_EXTRA + 250);
    }
}

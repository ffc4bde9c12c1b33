//! The answers that are one fixed line (text, section 10; meta, section 2).
#![forbid(unsafe_code)]

/// Declares each answer with its line, so that neither can be without the other.
macro_rules! replies {
    ($($(#[$doc:meta])* $name:ident = $line:literal),+ $(,)?) => {
        /// An answer that is one fixed line (text, section 10).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reply { $($(#[$doc])* $name),+ }

        impl Reply {
            /// The line of the text protocol, CR LF included.
            pub const fn line(self) -> &'static [u8] {
                match self { $(Reply::$name => $line),+ }
            }
        }
    };
}

replies! {
    /// The value was stored.
    Stored = b"STORED\r\n",
    /// The condition of add, replace, append or prepend did not hold.
    NotStored = b"NOT_STORED\r\n",
    /// The item has another unique.
    Exists = b"EXISTS\r\n",
    /// There is no such item.
    NotFound = b"NOT_FOUND\r\n",
    /// The item is gone.
    Deleted = b"DELETED\r\n",
    /// The item has its new expiry.
    Touched = b"TOUCHED\r\n",
    /// Done.
    Ok = b"OK\r\n",
    /// The counters are 0.
    Reset = b"RESET\r\n",
    /// End of a list.
    End = b"END\r\n",
    /// No such command.
    Error = b"ERROR\r\n",
    /// The line is not what the command takes.
    BadLine = b"CLIENT_ERROR bad command line format\r\n",
    /// The data block does not end where the line said.
    BadChunk = b"CLIENT_ERROR bad data chunk\r\n",
    /// An exptime that is no number.
    BadExptime = b"CLIENT_ERROR invalid exptime argument\r\n",
    /// A delta that is no number.
    BadDelta = b"CLIENT_ERROR invalid numeric delta argument\r\n",
    /// A stored value that is no number.
    NonNumeric = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
    /// `-F`
    FlushNotAllowed = b"CLIENT_ERROR flush_all not allowed\r\n",
    /// No such mode of `shutdown`.
    BadShutdownMode = b"CLIENT_ERROR invalid shutdown mode\r\n",
    /// `-A` is not given.
    ShutdownNotEnabled = b"SERVER_ERROR: shutdown not enabled\r\n",
    /// The item would be larger than `-I`.
    TooLarge = b"SERVER_ERROR object too large for cache\r\n",
    /// No memory for a new item.
    NoMemoryStoring = b"SERVER_ERROR out of memory storing object\r\n",
    /// No memory for the rest of a value that has begun to arrive.
    NoMemoryReading = b"SERVER_ERROR Out of memory during read\r\n",
    /// No memory for a value that was asked for.
    NoMemoryShowing = b"SERVER_ERROR out of memory writing get response\r\n",
    /// No memory for a longer number.
    NoMemory = b"SERVER_ERROR out of memory\r\n",
    /// `cache_memlimit` below 8 MB.
    LimitTooSmall = b"MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n",
    /// `cache_memlimit` of more than a petabyte.
    LimitTooLarge = b"MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n",
    /// `cache_memlimit` that the store cannot follow.
    LimitRefused = b"MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n",
    /// Anything but a login from a client that has to log in.
    Unauthenticated = b"CLIENT_ERROR unauthenticated\r\n",
    /// A login of more than 16 KiB.
    AuthTokenTooLong = b"CLIENT_ERROR auth token too long\r\n",
    /// A login that does not end where it should.
    AuthBadTermination = b"CLIENT_ERROR bad command line termination\r\n",
    /// A login without a space between name and password.
    AuthBadToken = b"CLIENT_ERROR bad authentication token format\r\n",
    /// A login with a name or password that is not known.
    AuthFailure = b"CLIENT_ERROR authentication failure\r\n",
    /// What the client's user has no right to.
    PermissionDenied = b"CLIENT_ERROR permission denied\r\n",
    /// `config set` of something that is no list of nodes.
    BadCluster = b"CLIENT_ERROR bad cluster configuration\r\n",
    /// `config set` with a key that is not `cluster`.
    BadConfigKey = b"CLIENT_ERROR only cluster can be configured\r\n",
    /// `refresh_certs` without certificates.
    TlsNotEnabled = b"Error TLS not enabled\r\n",
    /// A meta line of more than 20 tokens.
    MetaLineTooLong = b"CLIENT_ERROR options flags are too long\r\n",
    /// A meta flag that is there twice.
    MetaDuplicateFlag = b"CLIENT_ERROR duplicate flag\r\n",
    /// No such meta flag.
    MetaInvalidFlag = b"CLIENT_ERROR invalid flag\r\n",
    /// A key that is not base64.
    MetaBadKey = b"CLIENT_ERROR error decoding key\r\n",
    /// The argument of T, N, R, C or E is no number.
    MetaBadToken = b"CLIENT_ERROR bad token in command line format\r\n",
    /// The argument of J is no number.
    MetaBadInitial = b"CLIENT_ERROR invalid numeric initial value\r\n",
    /// The argument of D is no number.
    MetaBadDelta = b"CLIENT_ERROR invalid numeric delta value\r\n",
    /// Whatever is wrong with the flags of `ma`.
    MetaBadArithFlag = b"CLIENT_ERROR invalid or duplicate flag\r\n",
    /// O has more than 31 bytes.
    MetaOpaqueTooLong = b"CLIENT_ERROR opaque token too long\r\n",
    /// No such mode of `ms`.
    MetaBadSetMode = b"CLIENT_ERROR invalid mode for ms M token\r\n",
    /// No such mode of `ma`.
    MetaBadArithMode = b"CLIENT_ERROR invalid mode for ma M token\r\n",
    /// No memory for the number that `ma` was to make.
    MetaNoMemory = b"SERVER_ERROR Out of memory allocating new item\r\n",
    /// End of `lru_crawler mgdump`.
    EndOfKeys = b"EN\r\n",
    /// `lru_crawler disable` was given.
    CrawlerDisabled = b"CLIENT_ERROR lru crawler disabled\r\n",
    /// `lru_crawler metadump` with `-X`.
    MetadumpNotAllowed = b"ERROR metadump not allowed\r\n",
    /// `lru_crawler mgdump` with `-X`.
    MgdumpNotAllowed = b"ERROR key dump not allowed\r\n",
    /// `lru_crawler metadump` while earlier answers are unsent.
    MetadumpPipelined = b"ERROR cannot pipeline other commands before metadump\r\n",
    /// `lru_crawler mgdump` while earlier answers are unsent.
    MgdumpPipelined = b"ERROR cannot pipeline other commands before mgdump\r\n",
    /// A slab class that does not exist.
    BadClass = b"BADCLASS invalid class id\r\n",
    /// A list of no slab classes.
    NothingToCrawl = b"NOTSTARTED no items to crawl\r\n",
    /// `lru_crawler crawl` of something that no crawl is for.
    CrawlFailed = b"ERROR an unknown error happened\r\n",
    /// `lru_crawler enable` while it is enabled.
    CrawlerNotStarted = b"ERROR failed to start lru crawler thread\r\n",
    /// `lru_crawler sleep` of more than a second.
    SleepTooLong = b"CLIENT_ERROR sleep must be one second or less\r\n",
    /// `slabs reassign` with `-o no_slab_reassign`.
    ReassignDisabled = b"CLIENT_ERROR slab reassignment disabled\r\n",
    /// `slabs reassign` from a class to itself.
    SameClass = b"SAME src and dst class are identical\r\n",
    /// `slabs reassign` from or to a class that does not exist.
    BadReassign = b"BADCLASS invalid src or dst class id\r\n",
    /// `slabs reassign` from a class with fewer than two pages.
    NoSparePage = b"NOSPARE source class has no spare pages\r\n",
    /// `slabs automove window` out of its range.
    BadWindow = b"CLIENT_ERROR automove window too low or too high\r\n",
    /// `lru tune` of more than 80 per cent.
    BadPercents = b"ERROR hot and warm pcts must not exceed 80\r\n",
    /// `lru tune` with a factor that is not above 0.
    BadFactors = b"ERROR hot/warm age factors must be greater than 0\r\n",
    /// `stats detail` with `-X`.
    DetailNotAllowed = b"CLIENT_ERROR stats detail not allowed\r\n",
    /// `stats detail` without a word that it knows.
    DetailUsage = b"CLIENT_ERROR usage: stats detail on|off|dump\r\n",
    /// `stats cachedump` with `-X`.
    CachedumpNotAllowed = b"CLIENT_ERROR stats cachedump not allowed\r\n",
    /// `stats cachedump` without its arguments.
    BadStatsLine = b"CLIENT_ERROR bad command line\r\n",
    /// `stats cachedump` of a slab class that does not exist.
    IllegalClass = b"CLIENT_ERROR Illegal slab id\r\n",
    /// `-W`
    WatchNotAllowed = b"CLIENT_ERROR watch commands not allowed\r\n",
    /// `watch` with answers before it that are not written yet.
    WatchPipelined = b"ERROR cannot pipeline other commands before watch\r\n",
    /// As many clients watch as may.
    WatcherTooMany = b"WATCHER_TOO_MANY log watcher limit reached\r\n",
    /// The command needs a connection.
    NotOverUdp = b"CLIENT_ERROR not possible over UDP\r\n",
    /// The answers to a datagram would have more than `limits::DATAGRAM_ANSWERS_MAX_BYTES`.
    TooLongForUdp = b"SERVER_ERROR answer too long for UDP\r\n",
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
}

#[cfg(test)]
mod tests {
    use super::Reply;

    #[test]
    fn errors_are_told_from_answers() {
        use Reply::*;
        for reply in [Error, BadLine, NoMemory, LimitTooSmall, LimitRefused, TlsNotEnabled] {
            assert!(reply.is_error(), "{reply:?}");
        }
        for reply in [BadClass, NothingToCrawl, SameClass, NoSparePage, WatcherTooMany] {
            assert!(reply.is_error(), "{reply:?}");
        }
        for reply in [Stored, NotStored, Exists, NotFound, Deleted, Touched, Ok, End, EndOfKeys] {
            assert!(!reply.is_error(), "{reply:?}");
        }
    }
}

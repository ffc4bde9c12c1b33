//! Every bound of the server, in one place, with its unit and its reason.
//!
//! A number that limits what a client can make the server do belongs here; a number that shapes
//! a data structure stays beside that structure.
#![forbid(unsafe_code)]

use std::num::NonZeroU32;
use std::time::Duration;

/// Longest key in bytes (protocol text, section 4: memcached's `KEY_MAX_LENGTH`).
pub const KEY_LEN_MAX: usize = 250;

/// Longest request line in bytes that is held while its end has not arrived, and the window of a
/// retrieval line whose keys are checked before the first one is looked up. memcached closes a
/// connection at the same number (text, section 1, "Long lines").
pub const LINE_LEN_MAX: usize = 2048;

/// Tokens of a line that are looked at, command included (text, section 1).
pub const TOKENS_MAX: usize = 23;

/// Size in bytes of a worker's read buffers: one read takes at most this much. Large enough for
/// 64 pipelined requests of a kilobyte, small enough to stay in the L2 cache.
pub const READ_BUF_BYTES: usize = 64 * 1024;

/// A connection that has this many bytes of answers waiting is not asked for more requests until
/// its peer has read them. Values above [`COPY_VALUE_MAX`] are pinned, not copied, and each counts
/// with [`PINNED_VALUE_WEIGHT`] only.
pub const OUTPUT_HIGH_WATER_BYTES: usize = 64 * 1024;

/// What a pinned value counts toward [`OUTPUT_HIGH_WATER_BYTES`]: at most 8 of them wait at a time.
pub const PINNED_VALUE_WEIGHT: usize = OUTPUT_HIGH_WATER_BYTES / 8;

/// Longest value in bytes that is copied into the output; longer ones are sent from the item's own
/// memory, pinned until the client has them.
pub const COPY_VALUE_MAX: usize = 16 * 1024;

/// Slices handed to one vectored read or write (the kernel's own bound is 1,024).
pub const IO_SLICES_MAX: usize = 128;

/// Connections accepted in one go before the acceptor looks at its other listeners and signals.
pub const ACCEPT_BATCH: usize = 64;

/// Bytes that one connection may have executed in one go before others get their turn (beside
/// `-R`, which counts requests).
pub const TURN_BYTES_MAX: usize = 128 * 1024;

/// Bytes that one connection may read into a value, or write, in one go: a value of the default `-I` goes
/// in one call, some 0.1 to 0.2 ms of the worker's time. A value in eight parts costs a quarter more.
pub const VALUE_BYTES_PER_GO: usize = (1 << 20) + 4096;

/// Bytes that those which go at once, or in one round, may read and write in all before each has [`BUSY_GO_BYTES`] only: so
/// that many that may each move a large value do not do so one after another.
pub const ROUND_BYTES_MAX: usize = 2 * VALUE_BYTES_PER_GO;

/// Goes of busy connections before a worker asks the kernel for new events: few enough that a newcomer
/// waits well under a millisecond, enough that a deep pipeline taken in several goes costs one poll.
pub const GOES_PER_POLL: usize = 16;

/// Who reads or writes so many bytes in a go is busy: it goes after those that do not.
pub const BUSY_GO_BYTES: u32 = 16 * 1024;

/// Who has moved so many bytes since it was last drained, has more to do, and had not moved half as many before
/// it was, is heavy: it goes after those that are busy. Nor may a light one write more in a go.
pub const HEAVY_BYTES: u32 = 128 * 1024;

/// Bytes that a busy one may write in a go of which nothing is known, or that has taken little at a time: many may
/// come at once.
pub const BUSY_WRITE_BYTES: usize = 32 * 1024;

/// Bytes that a heavy one may write in a go while others wait: 80 µs or so, and up to a millisecond where the kernel
/// has to fetch memory for it. Half as much costs pipelined values of a megabyte a tenth of their throughput.
pub const SHARED_GO_BYTES: usize = 688 * 1024;

/// Bytes without TLS that a worker mostly writes in a millisecond at the least. Where it is less, a byte counts as
/// several ...
pub const BYTES_PER_MS: usize = 5 << 19;

/// ... so many at the least, ...
pub const BYTE_COST_MIN: usize = 3;

/// ... and at the most.
pub const BYTE_COST_MAX: usize = 32;

/// Writes of so many bytes are timed for that.
pub const TIMED_WRITE_BYTES: usize = BUSY_WRITE_BYTES;

/// What encrypting and writing a byte costs at the most, or reading and decrypting one, in bytes without TLS. Measured:
/// 505 µs a megabyte against 100 to 200, and up to 8 ms where the kernel needs new memory for all the records that
/// slow clients leave there. So a go moves some 64 KiB, which cost those a call each anyway.
pub const TLS_BYTE_COST: usize = 16;

/// What the answer to messages of a handshake costs likewise, by its keys: some 100 µs with an elliptic curve, so that
/// one of them goes between two polls.
pub const TLS_FLIGHT_COST_BYTES: usize = BUSY_BYTES_PER_POLL;

/// Bytes that busy connections read and write before a worker asks the kernel for new events: some 100 µs,
/// or one large value.
pub const BUSY_BYTES_PER_POLL: usize = 512 * 1024;

/// Bytes that those which go at once have read and written in their goes before, at the most.
pub const BUSY_BYTES_AT_ONCE: usize = 256 * 1024;

/// While somebody watches, a go executes one part in so many of `-R`: up to 20 watchers are told of each
/// request.
pub const WATCHED_REQUESTS_PART: u32 = 8;

/// Work beside reading and writing, such as copying a value to which something is appended, counts as one
/// request (`-R`) for each so many bytes.
pub const WORK_BYTES_PER_REQUEST: usize = 16 * 1024;

/// Connections of a worker that read before one of them is executed, and write after all of them are.
/// Measured: 8 to 16 cost least, and what they hold fits the L2 cache.
pub const GOES_AT_ONCE: usize = 16;

/// Bytes of answers that are written before other connections have theirs.
pub const WRITE_AT_ONCE_BYTES: usize = PINNED_VALUE_WEIGHT;

/// Read buffers of [`READ_BUF_BYTES`] that the connections of one worker may hold from one go to
/// the next. With that many out, a read takes [`SMALL_READ_BYTES`] and leaves only what is unread.
pub const BUFFERS_HELD_MAX: usize = 32;

/// Unused read buffers that a worker keeps for the next connections: as many as they may hold, since a
/// new one costs more than the requests that come into it. Those that a second did without go.
pub const BUFFERS_SPARE_MAX: usize = BUFFERS_HELD_MAX;

/// Unused read buffers that stay however long nobody needs them.
pub const BUFFERS_KEPT: usize = 4;

/// Nor more than one part in so many of `-m` for all workers together.
pub const BUFFERS_LIMIT_PART: usize = 8;

/// Bytes that one read takes while [`BUFFERS_HELD_MAX`] buffers are out, and the answers that a
/// connection without a read buffer may keep unsent when it gives way. More than a line.
pub const SMALL_READ_BYTES: usize = 4096;

/// Bytes of input thrown away after the last answer, so that a client that is still sending gets
/// that answer instead of a reset. Beyond it the connection is closed all the same.
pub const LINGER_BYTES_MAX: u32 = 1 << 20;

/// Seconds for which input is thrown away; see [`LINGER_BYTES_MAX`].
pub const LINGER_SECS: u32 = 2;

/// Milliseconds before accepting is tried again when the system had no descriptor or memory left
/// (memcached waits as long).
pub const ACCEPT_RETRY_MILLIS: u64 = 10;

/// Failures of accept in a row that are taken for clients that have gone, before it pauses as for want of
/// descriptors: a filter of system calls that refuses it says the same each time.
pub const ACCEPT_FAILURES_MAX: usize = 2 * ACCEPT_BATCH;

/// Slices of a dump (`lru_crawler metadump`, `stats cachedump`) in one go of a connection; each locks
/// one shard at a time for some 20 to 50 µs, and the worker looks at the others before the next go.
pub const DUMP_SLICES_PER_GO: usize = 1;

/// Prefixes that are counted (`stats detail`), memcached's own bound; keys with others are not.
pub const PREFIXES_MAX: usize = 1 << 16;

/// Bytes that these prefixes may have in all.
pub const PREFIX_BYTES_MAX: usize = 1 << 20;

/// Bytes of a `STAT detail dump` (binary protocol), which is one packet and so held whole: as many
/// as some 4,000 prefixes take. The text protocol lists any number.
pub const DETAIL_PACKET_BYTES_MAX: usize = 256 * 1024;

/// Room for a value that is arriving is made for as many bytes as have come already, or as the
/// connection's last large value had, within these bounds: the upper one is what a client holds at the
/// most that stops amid a value, the lower one makes room for a whole value of usual size at once.
pub const UPLOAD_AHEAD_MIN_BYTES: usize = 8 * 1024;
/// See [`UPLOAD_AHEAD_MIN_BYTES`].
pub const UPLOAD_AHEAD_MAX_BYTES: usize = 512 * 1024;

/// A connection whose last stored value had so many bytes is likely to send another one: its next read
/// takes [`SMALL_READ_BYTES`], so that little more than the request line has to be copied.
pub const LARGE_VALUE_BYTES: usize = 32 * 1024;

/// Parts of the memory in which the following bounds on values that are on their way are given.
pub const TRANSIT_PARTS: usize = 8;
/// While they hold so many parts or more of what the items have, no more of that is lent to clients.
pub const TRANSIT_LENDS_PARTS: usize = 5;

/// All values that are arriving may hold so many parts: the rest stays for everybody else.
pub const UPLOADS_PARTS: usize = 5;

/// The same together with those that are being sent: at least a quarter stays.
pub const UPLOADS_WITH_PINNED_PARTS: usize = 6;

/// No value that arrives in pieces is begun beyond so many parts: each has its first piece at once, and a
/// great many of them could fill the memory with those.
pub const UPLOADS_BEGUN_PARTS: usize = 6;

/// Of the memory that values on their way may hold, one leaves so many times as much to others as it
/// holds, and as much for what it is still to hold: so that small ones pass where many large ones wait...
pub const ROOM_KEPT_FACTOR: usize = 16;

/// ... but for each of both no more than one part in so many of the memory: large values may have a half of
/// it, as long as nobody else wants that.
pub const ROOM_KEPT_PART: usize = 16;

/// Values that are being sent from where they lie may hold so many parts: what clients that do not read
/// make of a cache, which cannot be evicted.
pub const PINNED_PARTS: usize = 4;

/// The same together with those that are arriving.
pub const PINNED_WITH_UPLOADS_PARTS: usize = 5;

/// From so many parts on it is asked for each value whether it may be sent: a lookup more. What several
/// connections ask for at once on this side of it cannot lead far beyond [`PINNED_PARTS`].
pub const PINNED_CAREFUL_PARTS: usize = 1;

/// For how long a client waits for room for a large value before it is refused: longer than it takes until
/// others that do nothing are given up.
pub const ROOM_WAIT: Duration = Duration::from_secs(5);

/// How often it is looked whether there is room for who waits.
pub const ROOM_RETRY: Duration = Duration::from_millis(5);

/// Clients that are let try again, or refused, at each such look: some 10 µs each.
pub const ROOM_TRIES_MAX: usize = 32;

/// In this time a value has to make headway while others wait for room: of one that does not, its
/// memory is taken.
pub const ROOM_STALL: Duration = Duration::from_secs(1);

/// The same while more than [`ROOM_LINE_LONG`] wait: who has just been let in may be one that does not read.
pub const ROOM_STALL_SHORT: Duration = Duration::from_millis(500);
/// See [`ROOM_STALL_SHORT`].
pub const ROOM_LINE_LONG: usize = 32;

/// How often that is looked at while others wait, and while nobody does.
pub const ROOM_STALL_LOOK: Duration = Duration::from_millis(250);
/// See [`ROOM_STALL_LOOK`].
pub const ROOM_STALL_LOOK_CALM: Duration = Duration::from_secs(1);

/// What headway is: one part in so many of what is held.
pub const ROOM_HEADWAY_PART: usize = 16;

/// Of uploads whose wait is over no more are refused at a look than hold one part in so many of the memory,
/// but one: those that are left may get on with that.
pub const ROOM_REFUSED_PART: usize = 16;

/// Of values that have made no headway no more are given up at a look than hold one part in so many of
/// the memory, but one.
pub const ROOM_TAKEN_PART: usize = 4;

/// What clients may hold beside the items (buffers, answers, connections) before items are evicted for it:
/// one part in so many of `-m`, and so many bytes, or as much again where that is less. With what the process
/// needs for itself, some 5 MB, it stays within the 5 % and 8 MB that resident memory may be above `-m`.
pub const CLIENTS_FREE_BYTES: usize = 1 << 19;
/// See [`CLIENTS_FREE_BYTES`].
pub const CLIENTS_FREE_PART: usize = 48;

/// Beyond that, and one part in so many of `-m`, nobody new is let in and who holds most is closed: the
/// items keep the other part. From half of it on clients are given less at a time.
pub const CLIENTS_FULL_PART: usize = 2;

/// Nor more than one part in so many of `-m`: 32 KiB at `-m 8`.
pub const OUTPUT_LIMIT_PART: usize = 256;

/// Where items cannot be evicted for clients (`-M`, `-L`), one part in so many of `-m` is kept for these from
/// the start.
pub const CLIENTS_KEPT_PART: usize = 16;

/// Prefixes are counted as long as they take no more than one part in so many of `-m`.
pub const PREFIX_MEMORY_PART: usize = 16;

/// Once clients hold so many bytes less than they did, or so many more are resident than were, what the allocator
/// has kept goes back to the system: else an hour of coming and going left 10 MB of it, in holes.
pub const GIVE_BACK_FROM_BYTES: usize = 1 << 19;

/// The items' memory is lent to clients in steps of one part in so many of `-m`.
pub const LEND_STEP_PART: usize = 64;

/// Slices, some 40 µs each, in which a worker has the items give way before it serves on.
pub const WAY_SLICES_PER_ROUND: usize = 8;

/// Connections are closed for want of memory until clients hold so many eighths of what they may.
pub const SHED_TO_EIGHTHS: usize = 6;

/// Who holds no more than that is not closed for want of memory.
pub const SHED_LEAST_BYTES: usize = 1024;

/// What the keys and the state of a TLS connection take: measured, 3.7 kB with the connection itself.
pub const TLS_OPEN_BYTES: usize = 3400;

/// The same during the handshake.
pub const TLS_HANDSHAKE_BYTES: usize = 10 * 1024;

/// What an exchange of SASL takes that has begun and waits for the client's next step.
pub const EXCHANGE_BYTES: usize = 2048;

/// Answers of a connection that may wait while memory is tight before no further request of it is executed,
/// in place of [`OUTPUT_HIGH_WATER_BYTES`].
pub const OUTPUT_TIGHT_BYTES: usize = PINNED_VALUE_WEIGHT;

/// Smallest and largest `-I`, bytes (memcached's own bounds).
pub const ITEM_SIZE_MIN: usize = 1024;
/// See [`ITEM_SIZE_MIN`].
pub const ITEM_SIZE_MAX: usize = 1 << 30;

/// Smallest `-m`, bytes.
pub const MEMORY_MIN_BYTES: usize = 2 << 20;

/// Smallest and largest `cache_memlimit`, megabytes (memcached's own bounds; text, section 7).
pub const MEMORY_LIMIT_MIN_MEGABYTES: u32 = 8;
/// See [`MEMORY_LIMIT_MIN_MEGABYTES`].
pub const MEMORY_LIMIT_MAX_MEGABYTES: u32 = 1_000_000_000;

/// Bytes of all answers to one datagram (`-U`): the largest value of the default `-I` with the lines
/// around it. An answer is held whole, and a false sender's address must not be worth much.
pub const DATAGRAM_ANSWERS_MAX_BYTES: usize = (1 << 20) + 4096;

/// Bytes of datagrams, with what the system adds to each, that may wait in one UDP socket: a burst
/// of some thousands. Taken from the system, one socket a worker and address.
pub const UDP_RECEIVE_BUF_BYTES: usize = 4 * 1024 * 1024;

/// Descriptors that `stats conns` is gathered for at a time: some 0.3 ms of a worker that has them
/// all, however many it has beside them, and some 20 kB of lines. A client that does not read holds
/// no more of the list than that.
pub const CONNS_PORTION: i32 = 128;

/// Clients that may `watch` at a time (memcached's own bound; text, section 7).
pub const WATCHERS_MAX: usize = 20;

/// Most bytes of lines that may wait for one watcher, whatever `-o watcher_logbuf_size` says.
pub const WATCH_BACKLOG_MAX_BYTES: usize = 64 << 20;

/// A client has, beside the seconds of `-o upload_timeout` or `-o send_timeout`, one for so many bytes of
/// what it sends or takes: slower than any line that somebody would put a cache behind.
pub const SLOW_BYTES_PER_SEC: usize = 16 * 1024;

/// While memory is tight, who is awaited has one part in so many of its time.
pub const PATIENCE_TIGHT_PART: u32 = 8;

/// And no less than so many seconds, or what it had anyway: a busy client's longest pause.
pub const PATIENCE_TIGHT_MIN_SECS: u32 = 2;

/// Seconds for the rest of a request, of a value, to take answers, and to log in, unless `-o` says otherwise
/// (`request_timeout`, `upload_timeout`, `send_timeout`, `login_timeout`): programs that are at work do all of it
/// within a second or two.
pub const DEADLINE_SECS: u32 = 120;

/// Lines a second that are logged only because a client has raised the `verbosity`: some 100 kB.
pub const LOG_LINES_PER_SEC_MAX: u32 = 1000;

/// The backlog of one watcher is one part in so many of `-m` at the most, so that all twenty have a twelfth:
/// the default of 256 KiB at `-m 64`.
pub const WATCH_MEMORY_PART: usize = 12 * WATCHERS_MAX;

/// Seconds that a stopping server gives its clients to take the answers that they are owed.
pub const DRAIN_SECS: u64 = 5;

/// Bytes that a client may send to log in at a time: memcached's own bound for text (behaviour, section 8).
/// Nothing of it is looked at before all of it has come.
pub const LOGIN_LEN_MAX: usize = 16 * 1024;

/// Longest name of a SASL mechanism in bytes (binary, section 5).
pub const MECHANISM_LEN_MAX: usize = 32;

/// Largest file of options (`--config`). Debian's has 1.3 KB, most of it comments; of more than this it is some
/// other file.
pub const CONFIG_FILE_BYTES_MAX: u64 = 64 << 10;

/// Largest file of users in bytes, some hundred thousand of them.
pub const USER_FILE_BYTES_MAX: u64 = 16 << 20;

/// Users of such a file, some 200 bytes of memory each.
pub const USERS_MAX: usize = 250_000;

/// Largest file of certificates, or of a key, in bytes: all the authorities that a system trusts are some
/// 200 kB.
pub const CERTIFICATE_FILE_BYTES_MAX: u64 = 4 << 20;

/// Rounds of the hash in keys that the server makes for SCRAM itself (RFC 7677 wants this many at least):
/// see [`SCRAM_MADE_MAX`] for what they cost.
pub const SCRAM_ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("not 0");

/// Passwords in plain text for which such keys are made, two and a half milliseconds each: half a second
/// at start and after a change. Of a file with more of them SCRAM is not for all.
pub const SCRAM_MADE_MAX: usize = 200;

/// The most that keys in a file may ask for: a login with the password itself takes a third of a second.
pub const SCRAM_ITERATIONS_MAX: NonZeroU32 = NonZeroU32::new(1_000_000).expect("not 0");

/// Memory in KiB that a hash by argon2id may ask for while a password is checked, one at a time.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 << 10;

/// Passes over that memory.
pub const ARGON2_PASSES_MAX: u32 = 16;

/// Failed logins of an address that are answered at once: a person's mistakes, or a client that tries an
/// old password and then the new one on a few connections.
pub const LOGIN_FAILURES_FREE: u32 = 10;

/// Failures of an address whose answers are still to come, in units of `-o login_delay`, above which nothing
/// that comes from there is looked at.
pub const LOGIN_DEBT_MAX: u32 = 60;

/// The longest that the answer to a failed login waits, in units of `-o login_delay`.
pub const LOGIN_WAIT_MAX: u32 = 10;

/// For how long credentials that have let somebody in from an address are looked at whatever fails there:
/// longer than clients keep a connection that they do not use.
pub const LOGIN_KNOWN_FOR: Duration = Duration::from_secs(60 * 60);

/// Addresses that are remembered for having failed to log in lately, and pairs of address and user for
/// having done so, some 40 and 80 bytes each.
pub const GUARDED_ADDRESSES_MAX: usize = 4096;

/// Least limit on locked memory with which `-k` locks: the store reserves 16 GiB of addresses up to `-m 8192`, other
/// parts and threads some more. With a larger `-m` the limit has to be none.
pub const LOCK_BYTES_MIN: u64 = 32 << 30;

/// The list of a cluster's nodes, as a file or as a client sends it (ElastiCache's `config_size_max`).
pub const CLUSTER_BYTES_MAX: usize = 64 * 1024;

/// Lists that clients send at a time: each is held in memory beside `-m` until it is there.
pub const CLUSTER_UPLOADS_MAX: usize = 16;

/// Lines about them in the log a second.
pub const CLUSTER_LINES_PER_LOOK: u32 = 8;

/// Nodes in it: ElastiCache has up to 60 in a cluster.
pub const CLUSTER_NODES_MAX: usize = 1024;

/// Handshakes of TLS that a worker has in flight at the most, each some 10 kB and a tenth of a millisecond of its time; a
/// client beyond them waits until one is done. One takes its place with the first byte of the client.
pub const TLS_HANDSHAKES_MAX: usize = 1024;

/// Those of all workers together hold no more than one part in so many of `-m`...
pub const TLS_HANDSHAKES_PART: usize = 8;

/// ... but each worker has so many.
pub const TLS_HANDSHAKES_MIN: usize = 64;

/// Seconds after its first byte in which a handshake must be done, unless `-o ssl_handshake_timeout`
/// says otherwise.
pub const TLS_HANDSHAKE_SECS: u32 = 10;

/// The same while others wait for their turn, from when the server has begun with it...
pub const TLS_HANDSHAKE_CROWDED: Duration = Duration::from_secs(3);

/// ... and where hardly any is completed meanwhile: nobody is served, so those in flight have stopped. More than the
/// second after which a lost packet of a new connection is sent again (RFC 6298): a client that opens many, and goes on
/// once all are open, may have to wait for one.
pub const TLS_HANDSHAKE_STUCK: Duration = Duration::from_millis(1500);

/// So many completed within [`TLS_HANDSHAKE_STUCK`] are a crowd that is being served: a client that connects
/// thousands of times at once, and has work of its own with each, may need longer than that.
pub const TLS_HANDSHAKES_FLOW: usize = 64;

/// Handshakes that are given up in one turn of a worker: some 15 µs each.
pub const TLS_HANDSHAKES_GIVEN_UP: usize = 16;

/// Cipher bytes that a connection may hold back because a record or a message of the handshake has not
/// come whole: two records, and a chain of certificates of usual length.
pub const TLS_PENDING_MAX_BYTES: usize = 36 * 1024;

/// Sessions of TLS 1.2 that are remembered to be resumed, for each kind of listener; those of clients
/// that take tickets are not.
pub const TLS_SESSIONS_MAX: usize = 4096;

/// Smallest and largest `-o ssl_wbuf_size`, bytes; one such buffer a worker.
pub const TLS_WRITE_MIN_BYTES: usize = 1024;
/// See [`TLS_WRITE_MIN_BYTES`].
pub const TLS_WRITE_MAX_BYTES: usize = 1 << 20;

const _: () = assert!(OUTPUT_HIGH_WATER_BYTES >= 2 * COPY_VALUE_MAX);
const _: () = assert!(LINE_LEN_MAX < READ_BUF_BYTES);
const _: () = assert!(LINE_LEN_MAX < SMALL_READ_BYTES);
const _: () = assert!(TLS_PENDING_MAX_BYTES + LINE_LEN_MAX < READ_BUF_BYTES - 18 * 1024);
const _: () = assert!(GOES_AT_ONCE < BUFFERS_HELD_MAX);
const _: () = assert!(LINE_LEN_MAX + LOGIN_LEN_MAX + 2 < READ_BUF_BYTES);

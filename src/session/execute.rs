//! Where a request meets the store and its outcome becomes an answer.
#![forbid(unsafe_code)]

use crate::metrics::{Counter, Counters};
use crate::protocol::control::Crawler;
use crate::protocol::request::StatsTopic;
use crate::protocol::response::number_line;
use crate::protocol::{Command, Reply, Request};
use crate::session::value::answer;
use crate::session::{Output, Session, Step, Turn, Want, access, admin, certificates, control};
use crate::store::{Direction, Kept, Key, Miss, NoSum, Sum};

impl Session {
    /// Executes a request; `data` is what follows its line.
    pub(super) fn execute(
        &mut self,
        command: &Command<'_>,
        data: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let noreply = command.noreply;
        if !self.access.is_full() {
            let (need, key) = access::of_line(&command.request);
            if !self.access.allows(need, key) {
                let block_len = match command.request {
                    Request::Store(line) => line.block_len() as u64,
                    _ => 0,
                };
                return self.refuse_line(block_len, noreply, out);
            }
        }
        if concerns_all(&command.request) {
            turn.spend_all();
        }
        let reply = match command.request {
            Request::Store(line) => {
                let key = turn.shared.store.key(line.key);
                return self.store(&line, key, noreply, data, out, turn);
            }
            Request::Refused { error, block_len } if block_len > 0 => {
                return self.start_swallow(block_len, error, noreply);
            }
            Request::Refused { error, .. } => error,
            Request::Delete { key } => delete(key, turn),
            Request::Incr { key, delta } => {
                let key = turn.shared.store.key(key);
                return arith(Direction::Incr, &key, delta, noreply, out, turn);
            }
            Request::Decr { key, delta } => {
                let key = turn.shared.store.key(key);
                return arith(Direction::Decr, &key, delta, noreply, out, turn);
            }
            Request::Touch { key, exptime } => touch(key, exptime, turn),
            Request::Version => {
                out.push(b"VERSION ");
                out.push(turn.shared.options.version.as_bytes());
                out.push(b"\r\n");
                return Step::on(0);
            }
            Request::Stats(topic) => return self.stats(topic, out, turn),
            Request::Crawler(request) => return self.crawler(request, noreply, out, turn),
            Request::Slabs(request) => control::slabs(request, turn),
            Request::Lru(request) => control::lru(request, turn),
            Request::RefreshCertificates => return certificates::refresh(out, turn),
            Request::Config(request) => return self.config(request, noreply, out, turn),
            Request::Conns => return self.begin_conns(),
            Request::Watch(words) => return self.watch(words, out, turn),
            Request::Quit => return self.end(Want::Close),
            Request::Hangup => return self.end(Want::Hangup),
            Request::Shutdown(mode) => match admin::shutdown(mode, turn.shared) {
                Ok(graceful) => return self.end(Want::Shutdown { graceful }),
                Err(error) => error,
            },
            Request::FlushAll { delay } => admin::flush_all(delay, turn),
            Request::Verbosity(level) => admin::verbosity(level, turn.shared),
            Request::MemoryLimit { megabytes } => admin::memory_limit(megabytes, turn.shared),
            Request::DebugTime(secs) => admin::debug_time(secs, turn),
        };
        answer(reply, noreply, out);
        Step::on(0)
    }
}

/// Whether a request goes through all shards, or moves pages.
fn concerns_all(request: &Request<'_>) -> bool {
    match request {
        Request::FlushAll { .. } | Request::MemoryLimit { .. } | Request::Slabs(_) => true,
        Request::Crawler(request) => !matches!(request, Crawler::Dump { .. }),
        Request::Stats(StatsTopic::Reset | StatsTopic::Detail(_)) => true,
        _ => false,
    }
}

/// Counts a lookup that saw no item.
pub(super) fn count_miss(counters: &Counters, misses: Counter, miss: Miss) {
    counters.bump(misses);
    match miss {
        Miss::NotFound => {}
        Miss::Expired => counters.bump(Counter::GetExpired),
        Miss::Flushed => counters.bump(Counter::GetFlushed),
    }
}

fn delete(key: &[u8], turn: &Turn<'_>) -> Reply {
    let store = &turn.shared.store;
    turn.shared.prefixes.delete(key);
    let key = store.key(key);
    let seen = turn.watch_lookup(&key);
    let kept = store.delete(&key, None, turn.now.secs).err();
    count_delete(kept, turn.counters);
    if kept.is_some() {
        return Reply::NotFound;
    }
    turn.watch_deleted(&key, "delete", seen);
    Reply::Deleted
}

/// Counts a removal that came to this end.
pub(super) fn count_delete(kept: Option<Kept>, counters: &Counters) {
    match kept {
        None => counters.bump(Counter::DeleteHits),
        Some(Kept::Miss(miss)) => count_miss(counters, Counter::DeleteMisses, miss),
        Some(Kept::Mismatch | Kept::NoMemory) => counters.bump(Counter::DeleteMisses),
    }
}

fn touch(key: &[u8], exptime: i32, turn: &Turn<'_>) -> Reply {
    let store = &turn.shared.store;
    let key = store.key(key);
    turn.counters.bump(Counter::CmdTouch);
    turn.watch_lookup(&key);
    match store.touch(&key, turn.now.expiry(exptime), turn.now.secs) {
        Ok(()) => {
            turn.counters.bump(Counter::TouchHits);
            Reply::Touched
        }
        Err(miss) => {
            count_miss(turn.counters, Counter::TouchMisses, miss);
            Reply::NotFound
        }
    }
}

/// incr and decr.
pub(super) fn arith(
    direction: Direction,
    key: &Key<'_>,
    delta: u64,
    noreply: bool,
    out: &mut Output,
    turn: &Turn<'_>,
) -> Step {
    let store = &turn.shared.store;
    let sum = Sum::plain(direction, delta);
    turn.watch_lookup(key);
    let summed = store.arith(key, &sum, turn.now.secs, |_, number| number.value);
    count_sum(direction, summed.err(), turn.counters);
    match summed {
        Ok(value) if !noreply => number_line(out.bytes(), value),
        Ok(_) => {}
        Err(NoSum::Miss(_) | NoSum::Mismatch) => answer(Reply::NotFound, noreply, out),
        Err(NoSum::NonNumeric) => answer(Reply::NonNumeric, noreply, out),
        Err(NoSum::NoMemory | NoSum::NoMemoryForNew) => answer(Reply::NoMemory, noreply, out),
    }
    Step::on(0)
}

/// Counts a change of a number that came to this end. One that was made anew counts as neither hit
/// nor miss: do not call for that.
pub(super) fn count_sum(direction: Direction, failed: Option<NoSum>, counters: &Counters) {
    let (hits, misses) = match direction {
        Direction::Incr => (Counter::IncrHits, Counter::IncrMisses),
        Direction::Decr => (Counter::DecrHits, Counter::DecrMisses),
    };
    match failed {
        None => counters.bump(hits),
        Some(NoSum::Miss(miss)) => count_miss(counters, misses, miss),
        Some(_) => {}
    }
}

//! Packets of the binary protocol against the store.
//!
//! A packet is executed once its header, extras and key are there; what has a value goes the way of
//! all values ([`super::value`]). Errors are told whether the opcode is quiet or not. Knows no bytes
//! of a packet: that is `protocol::binary`.
#![forbid(unsafe_code)]

mod stats;

mod store;

use crate::auth::Need;
use crate::metrics::Counter;
use crate::protocol::binary::response::{self, Head, Status};
use crate::protocol::binary::{self, Arith, NO_INITIAL, Packet, Request, Tag, Verb};
use crate::session::cluster::{is_list, nodes, show_nodes_packet};
use crate::session::execute::{count_delete, count_sum};
use crate::session::retrieve::{copied_len, copy_or_pin, look_up};
use crate::session::{Output, Session, Step, Turn, Want, access, admin, pause};
use crate::store::{Created, Direction, Hit, Kept, NoSum, Sum};

pub(super) use store::tell;

impl Session {
    /// Where a packet begins.
    pub(super) fn packet(&mut self, rest: &[u8], out: &mut Output, turn: &mut Turn<'_>) -> Step {
        if let Some(pause) = pause(rest, out, turn) {
            return Step::wait(pause);
        }
        if turn.shared.store.is_careful()
            && !self.is_guest()
            && let Some(step) = self.wait_to_obey_packet(rest, out, turn)
        {
            return step;
        }
        match binary::read(rest) {
            Packet::Whole { tag, request: Request::Sasl(sasl), len } => {
                self.sasl(tag, sasl, len, rest, turn)
            }
            Packet::Whole { tag, request, .. }
                if self.is_guest() && !matches!(request, Request::Version) =>
            {
                refuse(tag, Status::AuthFailure, out);
                self.end(Want::Close)
            }
            Packet::Whole { tag, request, len } => {
                log::trace!("< {}", rest[..len].escape_ascii());
                turn.requests_left -= 1;
                self.obey(tag, request, &rest[len..], out, turn).behind(len)
            }
            Packet::Partial => Step::wait(Want::Input),
            Packet::Refused { tag, .. } if self.is_guest() => {
                refuse(tag, Status::AuthFailure, out);
                self.end(Want::Close)
            }
            Packet::Refused { tag, status, len } => {
                if let Some(step) = self.config_packet(rest, out, turn) {
                    return step;
                }
                turn.requests_left -= 1;
                self.start_swallow_packet(len, tag, status)
            }
            Packet::Broken { tag, status } => {
                refuse(tag, status, out);
                self.end(Want::Close)
            }
            Packet::Foreign => self.end(Want::Close),
        }
    }

    /// Executes a request; `data` is what follows its key.
    fn obey(
        &mut self,
        tag: Tag,
        request: Request<'_>,
        data: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        if !self.access.is_full() {
            let (need, key) = access::of_packet(tag.verb, &request);
            let is_free = need == Need::Read && is_list(key, turn);
            if !is_free && !self.access.allows(need, key) {
                return self.refuse_packet(tag, &request, out);
            }
        }
        match request {
            Request::Retrieve { key, exptime } => retrieve(tag, key, exptime, out, turn),
            Request::Store(store) => return self.store_packet(tag, &store, data, out, turn),
            Request::Delete { key, cas } => tell_done(tag, delete(key, cas, turn), out),
            Request::Arith(request) => arith(tag, &request, out, turn),
            Request::Flush { delay } => {
                turn.spend_all();
                tell_done(tag, flush(delay, turn), out);
            }
            Request::Stat { group } => {
                turn.was_long = true;
                stats::answer(tag, group, out, turn);
            }
            Request::Noop | Request::Sasl(_) => response::done(out.bytes(), tag, 0),
            Request::Version => response::text(out.bytes(), tag, &turn.shared.options.version),
            Request::Quit => {
                tell_done(tag, Ok(()), out);
                return self.end(Want::Close);
            }
        }
        Step::on(0)
    }
}

impl Session {
    /// Refuses a packet for want of rights; its value is thrown away before that is told.
    fn refuse_packet(&mut self, tag: Tag, request: &Request<'_>, out: &mut Output) -> Step {
        match request {
            Request::Store(store) if store.value_len > 0 => {
                self.start_swallow_packet(store.value_len as u64, tag, Status::AuthFailure)
            }
            _ => {
                refuse(tag, Status::AuthFailure, out);
                Step::on(0)
            }
        }
    }
}

/// Appends an error.
pub(super) fn refuse(tag: Tag, status: Status, out: &mut Output) {
    log::debug!("> {:#04x} {}", tag.opcode, status.text());
    response::error(out.bytes(), tag, status);
}

/// Appends what became of a request whose success says nothing, and is not told if it is quiet.
fn tell_done(tag: Tag, done: Result<(), Status>, out: &mut Output) {
    match done {
        Ok(()) if tag.is_quiet => {}
        Ok(()) => response::done(out.bytes(), tag, 0),
        Err(status) => refuse(tag, status, out),
    }
}

/// Get, touch and both: section 3 has what each of them shows. A quiet miss is silent.
fn retrieve(tag: Tag, key: &[u8], exptime: Option<u32>, out: &mut Output, turn: &mut Turn<'_>) {
    let touch = exptime.map(|exptime| turn.now.expiry_unsigned(exptime));
    let shown_key = if matches!(tag.verb, Verb::GetK | Verb::GatK) { key } else { b"" };
    if touch.is_none() && is_list(key, turn) {
        return show_list(tag, shown_key, out, turn);
    }
    let key = turn.shared.store.key(key);
    let is_hit = look_up(&key, touch, turn, |hit| show(tag, shown_key, hit, out));
    if !is_hit && !tag.is_quiet {
        tell_missing(tag, shown_key, out);
    }
}

/// Shows the list of nodes to a client that asks for it as for an item.
#[cold]
fn show_list(tag: Tag, shown_key: &[u8], out: &mut Output, turn: &Turn<'_>) {
    match nodes(turn) {
        Some(nodes) => show_nodes_packet(tag, shown_key, &nodes, out),
        None if tag.is_quiet => {}
        None => tell_missing(tag, shown_key, out),
    }
}

/// Appends that there is no item.
fn tell_missing(tag: Tag, shown_key: &[u8], out: &mut Output) {
    if shown_key.is_empty() {
        refuse(tag, Status::NotFound, out);
    } else {
        response::missing(out.bytes(), tag, shown_key);
    }
}

/// Appends an item; of one that is only touched, not the value.
fn show(tag: Tag, key: &[u8], hit: &mut Hit<'_>, out: &mut Output) {
    let (flags, cas) = (hit.flags(), hit.cas());
    if tag.verb == Verb::Touch {
        return response::head(out.bytes(), tag, &Head { flags, cas, key, value_len: 0 }, 0);
    }
    let value_len = hit.value_len();
    let room = copied_len(value_len);
    response::head(out.bytes(), tag, &Head { flags, cas, key, value_len }, room);
    copy_or_pin(hit, out);
}

fn delete(key: &[u8], cas: u64, turn: &Turn<'_>) -> Result<(), Status> {
    let store = &turn.shared.store;
    turn.shared.prefixes.delete(key);
    let key = store.key(key);
    let seen = turn.watch_lookup(&key);
    let kept = store.delete(&key, condition(cas), turn.now.secs).err();
    if kept.is_none() {
        turn.watch_deleted(&key, "delete", seen);
    }
    // A delete that its condition forbids is no miss here.
    if kept != Some(Kept::Mismatch) {
        count_delete(kept, turn.counters);
    }
    match kept {
        None => Ok(()),
        Some(Kept::Miss(_)) => Err(Status::NotFound),
        Some(Kept::Mismatch) => Err(Status::Exists),
        Some(Kept::NoMemory) => Err(Status::NoMemory),
    }
}

/// Increment and decrement.
fn arith(tag: Tag, request: &Arith<'_>, out: &mut Output, turn: &Turn<'_>) {
    let Arith { key, delta, initial, exptime, cas } = *request;
    let direction = if tag.verb == Verb::Increment { Direction::Incr } else { Direction::Decr };
    let store = &turn.shared.store;
    let key = store.key(key);
    let create = (exptime != NO_INITIAL).then(|| Created {
        initial,
        expiry: turn.now.expiry_unsigned(exptime),
        is_binary_key: !key.is_one_word(),
    });
    let sum = Sum { compare: cas, create, ..Sum::plain(direction, delta) };
    turn.watch_lookup(&key);
    let summed = store.arith(&key, &sum, turn.now.secs, |hit, number| (number, hit.cas()));
    if matches!(summed, Ok((number, _)) if number.is_new) {
        turn.watch_created(&key, turn.now.expiry_unsigned(exptime));
    } else {
        count_sum(direction, summed.err(), turn.counters);
    }
    let status = match summed {
        Ok(_) if tag.is_quiet => return,
        Ok((number, cas)) => return response::number(out.bytes(), tag, number.value, cas),
        Err(NoSum::Miss(_)) => Status::NotFound,
        Err(NoSum::Mismatch) => Status::Exists,
        Err(NoSum::NonNumeric) => Status::NonNumeric,
        Err(NoSum::NoMemory) => Status::NoMemoryCounting,
        Err(NoSum::NoMemoryForNew) => Status::NoMemoryCreating,
    };
    refuse(tag, status, out);
}

/// Unlike `flush_all`, one that is not allowed does not count.
fn flush(delay: u32, turn: &Turn<'_>) -> Result<(), Status> {
    if !turn.shared.options.flush {
        return Err(Status::AuthFailure);
    }
    turn.counters.bump(Counter::CmdFlush);
    admin::flush((delay > 0).then(|| turn.now.expiry_unsigned(delay)), turn);
    Ok(())
}

/// The unique that an item must have, if one is named.
fn condition(cas: u64) -> Option<u64> {
    (cas != 0).then_some(cas)
}

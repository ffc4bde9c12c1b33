//! The meta protocol against the store (meta, sections 4 to 10), one file a command.
#![forbid(unsafe_code)]

mod arith;

mod delete;

mod get;

mod set;

use itoa::Buffer;

use crate::clock::{Expiry, Secs};
use crate::protocol::Reply;
use crate::protocol::meta::{self, Command, Flags, Key, Refused, Verb, push_key};
use crate::protocol::token::Tokens;
use crate::session::value::{BLOCK_END, answer};
use crate::session::{Output, Session, Step, Turn, access};

pub(super) use set::Answer;

impl Session {
    /// A line of the meta protocol; `data` follows it.
    pub(super) fn meta(
        &mut self,
        command: Command,
        tokens: &Tokens<'_>,
        data: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let Command::Keyed(verb) = command else {
            out.push(b"MN\r\n");
            return Step::on(0);
        };
        let request = match meta::parse(verb, tokens) {
            Ok(request) => request,
            Err(Refused { error, block_len: 0 }) => {
                answer(error, false, out);
                return Step::on(0);
            }
            Err(Refused { error, block_len }) => {
                return self.start_swallow(block_len, error, false);
            }
        };
        if !self.access.is_full()
            && !self.access.allows(access::of_meta(verb, &request.flags), request.key.bytes())
        {
            let block_len = if verb == Verb::Set { request.value_len + BLOCK_END.len() } else { 0 };
            return self.refuse_line(block_len as u64, false, out);
        }
        let answered = match verb {
            Verb::Set => return self.meta_set(&request, data, out, turn),
            Verb::Get => get::execute(&request, out, turn),
            Verb::Delete => delete::execute(&request, out, turn),
            Verb::Arith => arith::execute(&request, out, turn),
            Verb::Debug => {
                get::describe(&request.key, out, turn);
                Ok(())
            }
        };
        if let Err(error) = answered {
            answer(error, false, out);
        }
        Step::on(0)
    }
}

/// Appends ` O...`. Whoever calls has seen that it is not too long.
fn push_opaque(bytes: &mut Vec<u8>, token: &[u8]) {
    bytes.push(b' ');
    bytes.extend_from_slice(token);
}

/// Appends ` k<key>`, and ` b` behind a key in base64 (section 3, "Return flags").
fn push_key_flag(bytes: &mut Vec<u8>, key: &[u8], is_binary: bool) {
    bytes.extend_from_slice(b" k");
    push_key(bytes, key, is_binary);
    if is_binary {
        bytes.extend_from_slice(b" b");
    }
}

/// Appends ` <letter><number>`.
fn push_number(bytes: &mut Vec<u8>, letter: u8, number: impl itoa::Integer) {
    bytes.extend_from_slice(&[b' ', letter]);
    bytes.extend_from_slice(Buffer::new().format(number).as_bytes());
}

/// Appends ` t<seconds left>`. Of an item that has just been given a time gone by, memcached's
/// subtraction wraps (section 3).
fn push_ttl(bytes: &mut Vec<u8>, expiry: Expiry, now: Secs) {
    if expiry == Expiry::NEVER {
        bytes.extend_from_slice(b" t-1");
    } else {
        push_number(bytes, b't', expiry.0.wrapping_sub(now.0));
    }
}

/// Appends an answer without an item: `status` with what the request wants back.
fn push_status(
    out: &mut Output,
    status: &[u8; 2],
    key: &Key<'_>,
    flags: &Flags<'_>,
) -> Result<(), Reply> {
    if flags.is_opaque_too_long() {
        return Err(Reply::MetaOpaqueTooLong);
    }
    let bytes = out.bytes();
    bytes.extend_from_slice(status);
    for token in flags.order {
        match token[0] {
            b'O' => push_opaque(bytes, token),
            b'k' => push_key_flag(bytes, key.bytes(), key.is_binary()),
            _ => {}
        }
    }
    bytes.extend_from_slice(b"\r\n");
    Ok(())
}

//! STAT: the lists of `stats` as packets (binary, section 6).
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::Write;

use super::refuse;
use crate::limits::DETAIL_PACKET_BYTES_MAX;
use crate::protocol::Reply;
use crate::protocol::binary::Tag;
use crate::protocol::binary::response::{self, Status};
use crate::protocol::request::StatsList;
use crate::session::stats::{Sink, produce, reset};
use crate::session::{Output, Turn};

/// Appends what there is in `group`, and the packet that ends it.
pub(super) fn answer(tag: Tag, group: &[u8], out: &mut Output, turn: &Turn<'_>) {
    let list = match group {
        b"" => StatsList::General,
        b"items" => StatsList::Items,
        b"slabs" => StatsList::Slabs,
        b"sizes" => StatsList::Sizes,
        _ if group.starts_with(b"settings") => StatsList::Settings,
        _ if group.starts_with(b"reset") => {
            reset(turn);
            return response::done(out.bytes(), tag, 0);
        }
        _ => match group.strip_prefix(b"detail") {
            Some(what) => return detail(tag, what, out, turn),
            None => return refuse(tag, Status::NotFound, out),
        },
    };
    produce(list, &mut Packets { tag, into: out.bytes() }, turn);
    response::done(out.bytes(), tag, 0);
}

/// `detail on`, `detail off`, `detail dump`. The dump is one value: all lines of the text protocol,
/// `END` included. It has to be made whole, and is refused if it is too long for that.
fn detail(tag: Tag, what: &[u8], out: &mut Output, turn: &Turn<'_>) {
    let prefixes = &turn.shared.prefixes;
    if !turn.shared.options.dump {
        return refuse(tag, Status::NotFound, out);
    } else if what.starts_with(b" dump") {
        let mut lines = Vec::new();
        let fits = |lines: &Vec<u8>| lines.len() <= DETAIL_PACKET_BYTES_MAX;
        (0..).take_while(|part| fits(&lines) && prefixes.list(*part, &mut lines)).for_each(drop);
        if !fits(&lines) {
            return refuse(tag, Status::NoMemoryListing, out);
        }
        response::stat(out.bytes(), tag, "detailed", |into| {
            into.extend_from_slice(&lines);
            into.extend_from_slice(Reply::End.line());
        });
    } else if what.starts_with(b" on") {
        prefixes.switch(true);
    } else if what.starts_with(b" off") {
        prefixes.switch(false);
    } else {
        return refuse(tag, Status::NotFound, out);
    }
    response::done(out.bytes(), tag, 0);
}

/// Packets of a list.
struct Packets<'a> {
    tag: Tag,
    into: &'a mut Vec<u8>,
}

impl Sink for Packets<'_> {
    fn add(&mut self, key: &str, value: &dyn Display) {
        // Writing to memory does not fail.
        response::stat(self.into, self.tag, key, |into| drop(write!(into, "{value}")));
    }
}

//! STAT: the lists of `stats` as packets (binary, section 6).
#![forbid(unsafe_code)]

use std::fmt::Display;

use super::refuse;
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
            Some(what) => return detail(tag, what, out),
            None => return refuse(tag, Status::NotFound, out),
        },
    };
    produce(list, &mut Packets { tag, into: out.bytes() }, turn);
    response::done(out.bytes(), tag, 0);
}

/// `detail on`, `detail off`, `detail dump`: there are no statistics by prefix.
fn detail(tag: Tag, _what: &[u8], out: &mut Output) {
    refuse(tag, Status::NotFound, out);
}

/// Packets of a list.
struct Packets<'a> {
    tag: Tag,
    into: &'a mut Vec<u8>,
}

impl Sink for Packets<'_> {
    fn add(&mut self, key: &str, value: &dyn Display) {
        response::stat(self.into, self.tag, key, value);
    }
}

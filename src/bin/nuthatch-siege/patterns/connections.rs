//! Clients of which there are many.
#![forbid(unsafe_code)]

use std::rc::Rc;
use std::time::Duration;

use super::{Pattern, nothing};
use crate::crowd::{End, Habit};
use crate::random::Random;
use crate::running::Running;
use crate::tally::Tally;
use crate::target::{Needs, Target};

/// Floods of connections.
pub const ALL: &[Pattern] = &[
    Pattern {
        name: "connections",
        about: "as many connections as there may be, which do nothing",
        needs: Needs::Plain,
        run: connections,
    },
    Pattern {
        name: "half-lines",
        about: "as many connections as there may be, with half a request each",
        needs: Needs::Plain,
        run: half_lines,
    },
    Pattern {
        name: "connect-reset",
        about: "connections that are reset at once, or amid a request",
        needs: Needs::Plain,
        run: connect_reset,
    },
    Pattern {
        name: "connect-close",
        about: "connections that ask once and close",
        needs: Needs::Plain,
        run: connect_close,
    },
];

fn connections(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut still = nothing;
    Habit { pause: Duration::from_millis(1), ..all(target, b"", &mut still) }.run(running, seed)
}

fn half_lines(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut still = nothing;
    all(target, b"set siege:half-line 0 0 1000", &mut still).run(running, seed)
}

fn connect_reset(target: &Target, running: &Running, seed: u64) -> Tally {
    let requests =
        [&b""[..], b"g", b"get siege:key0", b"get siege:key0\r\n", b"\x80\x00", b"stats\r\n"];
    let mut next = |random: &mut Random| Rc::from(requests[random.below(6) as usize]);
    let habit = Habit::new(target.plain, 32, [], &mut next);
    Habit { end: End::Resets, read_bytes: 0, ..habit }.run(running, seed)
}

fn connect_close(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = |_: &mut Random| Rc::from(&b"get siege:key0\r\n"[..]);
    let habit = Habit::new(target.plain, 32, [], &mut next);
    Habit { end: End::Closes, ..habit }.run(running, seed)
}

/// As many as may be, of which each is looked at now and then only.
fn all<'a>(
    target: &Target,
    first: &[u8],
    next: &'a mut dyn FnMut(&mut Random) -> Rc<[u8]>,
) -> Habit<'a> {
    let habit = Habit::new(target.plain, target.connections_max, first, next);
    Habit { pause: Duration::from_millis(1), read_bytes: 16, ..habit }
}

//! The two servers side by side: a sequence goes to both, and what both answered comes back.
//!
//! Before each sequence both are empty and have handed out equally many uniques, so that the same
//! bytes mean the same to both, whatever the sequences before did.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::client::{Client, Received};
use crate::harness::{Launch, PATIENCE, Program, Server, moment};
use crate::sequence::Sequence;
use crate::shapes;

/// What one server made of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// All that it answered.
    pub bytes: Vec<u8>,
    /// Whether the connection came to its end in time.
    pub is_closed: bool,
    /// How many uniques it handed out; none if it is gone.
    pub taken: Option<u64>,
}

/// The daemon under test and the memcached that it is held against.
#[derive(Debug)]
pub struct Pair {
    programs: [Program; 2],
    option: Option<&'static str>,
    sides: [Side; 2],
    base: u64,
}

/// A server and the connection on which it is emptied.
#[derive(Debug)]
struct Side {
    server: Server,
    control: Client,
}

/// One worker: connections are served in the order in which they come. Each server is emptied after
/// each sequence, so that nothing is evicted.
const ARGS: [[&str; 4]; 2] = [["-t", "1", "-m", "128"]; 2];

/// Empties a server, takes the next unique and tells it. Words that a server does not know do no
/// harm. memcached leaves an item out that a thread of its own has locked at this moment, hence twice.
const RESET: &[u8] =
    b"verbosity 0\r\nflush_all\r\nflush_all\r\nstats detail off\r\nstats reset\r\nset @ 0 0 0\r\n\r\ngets @\r\n";

/// A server that says nothing for so long will not say more.
const SILENCE: Duration = Duration::from_secs(5);

impl Pair {
    /// Starts both, with one more option if it is given.
    pub fn start(target: Program, oracle: Program, option: Option<&'static str>) -> Pair {
        let args = ARGS.map(|args| args.into_iter().chain(option).collect::<Vec<_>>());
        let sides = [Side::start(&target, &args[0]), Side::start(&oracle, &args[1])];
        let mut pair = Pair { programs: [target, oracle], option, sides, base: 0 };
        let uniques = pair.reset();
        assert!(uniques.iter().all(Option::is_some), "a new server tells its unique: {uniques:?}");
        pair.level(uniques);
        pair
    }

    /// Starts both anew.
    pub fn restart(&mut self) {
        let [target, oracle] = self.programs.clone();
        *self = Pair::start(target, oracle, self.option);
    }

    /// The option that both were given.
    pub fn option(&self) -> Option<&'static str> {
        self.option
    }

    /// The last unique that both have handed out.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Sends a sequence to both, and hears what they answer: the daemon under test first.
    pub fn run(&mut self, sequence: &Sequence) -> [Heard; 2] {
        let pieces = sequence.pieces(self.base);
        let mut clients = self.sides.each_ref().map(|side| side.server.try_connect());
        for (index, piece) in pieces.iter().enumerate() {
            clients.iter_mut().flatten().for_each(|client| send(client, piece));
            if index + 1 < pieces.len() {
                clients.iter().flatten().for_each(Client::await_read);
            }
        }
        clients.iter().flatten().for_each(Client::shut_write);
        let closed = clients.each_mut().map(|client| client.as_mut().is_some_and(hear));
        let indices = 0..sequence.requests.len();
        if indices.into_iter().any(|index| shapes::refused_ms(sequence, index)) {
            self.spend_left_unique();
        }
        let uniques = self.reset();
        let mut heard = [0, 1].map(|side: usize| Heard {
            bytes: clients[side].as_ref().map_or(Vec::new(), |client| client.pending().to_vec()),
            is_closed: closed[side],
            // One of them is that of the reset itself.
            taken: uniques[side].map(|unique| unique.wrapping_sub(self.base + 1)),
        });
        if closed != [true, true] {
            // Not known when it will have done with what it was sent.
            heard.iter_mut().for_each(|heard| heard.taken = None);
            self.restart();
        } else {
            self.level(uniques);
        }
        heard
    }

    /// memcached forgets the unique of an `ms` that it does not carry out no sooner than another client
    /// has stored something over the same descriptor, and gives that item the old unique.
    fn spend_left_unique(&mut self) {
        for side in &self.sides {
            if let Some(mut client) = side.server.try_connect() {
                client.send("set @ 0 0 0\r\n\r\n");
                client.shut_write();
                hear(&mut client);
            }
        }
    }

    /// Empties both; the last unique of each.
    fn reset(&mut self) -> [Option<u64>; 2] {
        self.sides.iter_mut().for_each(|side| side.control.send(RESET));
        self.sides.each_mut().map(|side| side.unique())
    }

    /// Makes the one that has handed out fewer uniques hand out more.
    fn level(&mut self, uniques: [Option<u64>; 2]) {
        const AT_ONCE_MAX: u64 = 10_000;
        let [Some(ours), Some(theirs)] = uniques else { return self.restart() };
        let behind = if ours < theirs { &mut self.sides[0] } else { &mut self.sides[1] };
        let count = ours.abs_diff(theirs);
        assert!(count < AT_ONCE_MAX, "uniques are far apart: {ours} and {theirs}");
        self.base = ours.max(theirs);
        if count > 0 {
            let sets = "set @ 0 0 0 noreply\r\n\r\n".repeat(usize::try_from(count).expect("few"));
            behind.control.send(sets + "gets @\r\n");
            let level = behind.unique();
            assert!(level == Some(self.base), "a set takes one unique: {level:?}, {}", self.base);
        }
    }
}

impl Side {
    fn start(program: &Program, args: &[&str]) -> Side {
        let server = Launch::of(program.clone(), args).unix().start();
        let control = server.connect();
        Side { server, control }
    }

    /// Reads answers up to that of `gets @`, and the unique from it.
    fn unique(&mut self) -> Option<u64> {
        while !self.control.pending().ends_with(b"\r\nEND\r\n") {
            if self.control.receive(PATIENCE) != Received::Some {
                return None;
            }
        }
        let text = String::from_utf8_lossy(self.control.pending()).into_owned();
        self.control.consume(self.control.pending().len());
        text.rsplit("VALUE @ 0 0 ").next()?.lines().next()?.parse().ok()
    }
}

/// Sends all of `bytes`, and hears answers meanwhile where the server waits for that.
fn send(client: &mut Client, bytes: &[u8]) {
    const SENT_BLIND_MAX: usize = 32 * 1024;
    if bytes.len() <= SENT_BLIND_MAX {
        client.send(bytes);
        return;
    }
    let mut rest = bytes;
    let end = moment() + PATIENCE;
    while !rest.is_empty() && moment() < end {
        let sent = client.send_some(rest, Duration::from_millis(1));
        rest = &rest[sent..];
        if !rest.is_empty() && client.receive(Duration::from_millis(1)) == Received::Closed {
            break;
        }
    }
}

/// Hears until the end; whether there was one.
fn hear(client: &mut Client) -> bool {
    loop {
        match client.receive(SILENCE) {
            Received::Some => {}
            Received::Closed => return true,
            Received::Nothing => return false,
        }
    }
}

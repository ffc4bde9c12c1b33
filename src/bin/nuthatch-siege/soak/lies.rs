//! A server that lies, in one way at a time, to see that a client tells of it.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::author::{Habit, SLOTS, form};
use super::client::{Client, Role, Scene};
use super::codec::Codec;
use super::counts::Counts;
use super::ledger::Ledger;
use super::link::{Link, Place};
use super::weather::Weather;
use crate::clock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    Nothing,
    /// What was there before is served.
    Old,
    /// A byte is another.
    Torn,
    /// The flags are others.
    Flags,
    /// Another key's value is served.
    Foreign,
    /// What is deleted stays.
    Deleted,
    /// What has expired is served.
    Expired,
    /// What is appended is not.
    Append,
    /// A number stays what it was.
    Count,
    /// Every unique is good.
    Cas,
    /// Values come under another key.
    Key,
    /// The answer to a deletion comes twice.
    Twice,
    /// The connection ends in the middle of a value.
    Cut,
    /// A word that is no answer.
    Word,
}

#[derive(Clone, Default)]
struct Item {
    value: Vec<u8>,
    flags: String,
    unique: u64,
    dies: Option<Instant>,
}

impl Item {
    /// Lives for so many seconds from now; 0: for ever.
    fn live(&mut self, ttl: &str) {
        let ttl = ttl.parse().unwrap();
        self.dies = (ttl > 0).then(|| clock::now() + Duration::from_secs(ttl));
    }
}

struct Liar {
    lie: Lie,
    items: HashMap<String, Item>,
    before: HashMap<String, Item>,
    uniques: u64,
}

impl Liar {
    /// The answer to a line and its block; whether the connection goes on.
    fn answer(&mut self, words: &[&str], block: Vec<u8>, out: &mut Vec<u8>) -> bool {
        let key = words.get(1).copied().unwrap_or_default().to_owned();
        let (lie, now) = (self.lie, clock::now());
        self.items.retain(|_, item| lie == Lie::Expired || item.dies.is_none_or(|end| end > now));
        let status = match words[0] {
            "version" => "VERSION 1",
            "gets" => return self.get(&words[1..], out),
            "gats" => {
                if let Some(item) = self.items.get_mut(words[2]) {
                    item.live(words[1]);
                }
                return self.get(&words[2..], out);
            }
            "touch" if self.items.contains_key(&key) => {
                self.items.entry(key).and_modify(|item| item.live(words[2]));
                "TOUCHED"
            }
            "delete" if self.items.contains_key(&key) => {
                if self.lie != Lie::Deleted {
                    self.items.remove(&key);
                }
                "DELETED"
            }
            "touch" | "delete" => "NOT_FOUND",
            "incr" => return self.count(&key, words[2], out),
            verb => self.store(verb, key, words, block),
        };
        let is_twice = self.lie == Lie::Twice && words[0] == "delete";
        let times = if is_twice { 2 } else { 1 };
        let status = if self.lie == Lie::Word && words[0] == "set" { "SORRY" } else { status };
        out.extend_from_slice(format!("{status}\r\n").repeat(times).as_bytes());
        true
    }

    fn store(&mut self, verb: &str, key: String, words: &[&str], block: Vec<u8>) -> &'static str {
        self.uniques += 1;
        let old = self.items.get(&key).cloned();
        let (flags, unique) = (words[2].to_owned(), self.uniques);
        let mut item = Item { value: block, flags, unique, dies: None };
        item.live(words[3]);
        let is_right = |unique: u64| words[5].parse() == Ok(unique) || self.lie == Lie::Cas;
        match (verb, &old) {
            ("add", Some(_)) | ("replace" | "append", None) => return "NOT_STORED",
            ("cas", None) => return "NOT_FOUND",
            ("cas", Some(old)) if !is_right(old.unique) => return "EXISTS",
            ("append", Some(old)) => {
                let tail = if self.lie == Lie::Append { Vec::new() } else { item.value };
                item.value = [&old.value[..], &tail].concat();
                item.flags.clone_from(&old.flags);
                item.dies = old.dies;
            }
            _ => {}
        }
        if let Some(old) = old {
            self.before.insert(key.clone(), old);
        }
        self.items.insert(key, item);
        "STORED"
    }

    fn count(&mut self, key: &str, by: &str, out: &mut Vec<u8>) -> bool {
        let Some(item) = self.items.get_mut(key) else {
            out.extend_from_slice(b"NOT_FOUND\r\n");
            return true;
        };
        self.uniques += 1;
        let number = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().parse::<u64>().unwrap();
        let by = if self.lie == Lie::Count { 0 } else { number(by.as_bytes()) };
        item.value = (number(&item.value) + by).to_string().into_bytes();
        item.unique = self.uniques;
        out.extend_from_slice(&item.value);
        out.extend_from_slice(b"\r\n");
        true
    }

    fn get(&mut self, keys: &[&str], out: &mut Vec<u8>) -> bool {
        for key in keys {
            let Some(mut item) = self.items.get(*key).cloned() else { continue };
            let mut named = *key;
            match (self.lie, self.before.get(*key)) {
                (Lie::Old, Some(before)) => item = before.clone(),
                (Lie::Torn, _) if item.value.len() > 60 => item.value[59] ^= 1,
                (Lie::Flags, _) => item.flags = "1".to_owned(),
                (Lie::Foreign, _) => item = self.items.values().next().unwrap().clone(),
                (Lie::Key, _) => named = "elsewhere",
                _ => {}
            }
            let (flags, len, unique) = (&item.flags, item.value.len(), item.unique);
            out.extend_from_slice(format!("VALUE {named} {flags} {len} {unique}\r\n").as_bytes());
            if self.lie == Lie::Cut {
                return false;
            }
            out.extend_from_slice(&item.value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"END\r\n");
        true
    }

    fn serve(&mut self, stream: TcpStream) -> io::Result<()> {
        let mut to = stream.try_clone()?;
        let mut from = BufReader::new(stream);
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let has_block = matches!(words[0], "set" | "add" | "replace" | "cas" | "append");
            let mut block = Vec::new();
            if has_block {
                let len: usize = words[4].parse().unwrap();
                block.resize(len + 2, 0);
                from.read_exact(&mut block)?;
                block.truncate(len);
            }
            let mut out = Vec::new();
            let goes_on = self.answer(&words, block, &mut out);
            to.write_all(&out)?;
            if !goes_on {
                return Ok(());
            }
        }
    }
}

/// What a client finds wrong with a server that tells this lie, until `kind` is among it.
fn told(lie: Lie, kind: Option<&str>) -> Vec<&'static str> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (items, before) = (HashMap::new(), HashMap::new());
        let mut liar = Liar { lie, items, before, uniques: 0 };
        for stream in listener.incoming() {
            // One that ends within a request was sent away; without a word, it is the last.
            let stream = stream.unwrap();
            let mut first = [0];
            if stream.peek(&mut first).unwrap_or(0) == 0 {
                return;
            }
            let _ = liar.serve(stream);
        }
    });
    let began = clock::now();
    let counts = Counts::new(began);
    let ledger = Ledger::new((0..SLOTS).map(form).collect());
    let scene = Scene { ledger, weather: Weather::new(began), size: 1.into() };
    let place = Place::Plain(address);
    let role = Role { name: "test", place, codec: Codec::Text, login: None, habit: Habit::All };
    let mut client = Client::new(&role, &scene, &counts, 0, 7);
    let mut link = None;
    let mut turns = 0;
    clock::wait_for(PATIENCE, || {
        let mut now = link.take().unwrap_or_else(|| {
            let mut link = Link::connect(&role.place).unwrap();
            Codec::Text.greet(None, &mut link).unwrap();
            link
        });
        if client.turn(&mut now, clock::now()) {
            link = Some(now);
        }
        turns += 1;
        let is_told = kind.is_some_and(|kind| counts.all_wrong().contains_key(kind));
        (is_told || kind.is_none() && turns == HONEST_TURNS).then_some(())
    });
    drop(link);
    drop(TcpStream::connect(address).unwrap());
    server.join().unwrap();
    let hits = counts.hits.load(std::sync::atomic::Ordering::Relaxed);
    assert!(kind.is_some() || hits > 300, "{hits}");
    counts.all_wrong().into_keys().collect()
}

#[test]
fn an_honest_server_is_believed() {
    assert_eq!(told(Lie::Nothing, None), Vec::<&str>::new());
}

#[test]
fn each_lie_is_told() {
    for (lie, kind) in [
        (Lie::Old, "old version"),
        (Lie::Torn, "torn value"),
        (Lie::Flags, "torn value"),
        (Lie::Foreign, "another key's value"),
        (Lie::Deleted, "old version"),
        (Lie::Expired, "expired item"),
        (Lie::Append, "old version"),
        (Lie::Count, "wrong count"),
        (Lie::Cas, "cas with an old unique"),
        (Lie::Key, "answer out of order"),
        (Lie::Cut, "lost answer"),
        (Lie::Word, "answer out of order"),
        // Only the last of a batch is seen to be too many; others are the next one's.
        (Lie::Twice, "surplus answer"),
    ] {
        let told = told(lie, Some(kind));
        assert!(told.contains(&kind), "{lie:?}: {told:?}");
    }
}

/// A lie that is not told by then is not seen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Batches in which an honest server is never doubted.
const HONEST_TURNS: u32 = 600;

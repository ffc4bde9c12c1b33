//! Binary requests: every opcode with the layout it wants, and with others.
#![forbid(unsafe_code)]

use crate::generate::Maker;
use crate::sequence::{Number, Packet};

/// What an opcode wants: extras, a key, a value; and how often it is taken.
#[derive(Clone, Copy, Debug)]
struct Layout {
    opcode: u8,
    extras: Extras,
    has_key: bool,
    has_value: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extras {
    None,
    /// Flags and exptime.
    Store,
    /// Delta, initial value and exptime.
    Arithmetic,
    /// Exptime.
    Touch,
    /// A delay, or nothing.
    Flush,
}

const fn layout(opcode: u8, extras: Extras, has_key: bool, has_value: bool) -> Layout {
    Layout { opcode, extras, has_key, has_value }
}

const LAYOUTS: &[(usize, Layout)] = &[
    (10, layout(0x00, Extras::None, true, false)),
    (4, layout(0x09, Extras::None, true, false)),
    (4, layout(0x0c, Extras::None, true, false)),
    (4, layout(0x0d, Extras::None, true, false)),
    (14, layout(0x01, Extras::Store, true, true)),
    (5, layout(0x02, Extras::Store, true, true)),
    (5, layout(0x03, Extras::Store, true, true)),
    (5, layout(0x11, Extras::Store, true, true)),
    (4, layout(0x12, Extras::Store, true, true)),
    (4, layout(0x13, Extras::Store, true, true)),
    (5, layout(0x04, Extras::None, true, false)),
    (4, layout(0x14, Extras::None, true, false)),
    (6, layout(0x05, Extras::Arithmetic, true, false)),
    (5, layout(0x06, Extras::Arithmetic, true, false)),
    (4, layout(0x15, Extras::Arithmetic, true, false)),
    (4, layout(0x16, Extras::Arithmetic, true, false)),
    (1, layout(0x07, Extras::None, false, false)),
    (1, layout(0x17, Extras::None, false, false)),
    (2, layout(0x08, Extras::Flush, false, false)),
    (2, layout(0x18, Extras::Flush, false, false)),
    (3, layout(0x0a, Extras::None, false, false)),
    (2, layout(0x0b, Extras::None, false, false)),
    (5, layout(0x0e, Extras::None, true, true)),
    (5, layout(0x0f, Extras::None, true, true)),
    (4, layout(0x19, Extras::None, true, true)),
    (4, layout(0x1a, Extras::None, true, true)),
    (4, layout(0x10, Extras::None, true, false)),
    (5, layout(0x1c, Extras::Touch, true, false)),
    (5, layout(0x1d, Extras::Touch, true, false)),
    (4, layout(0x1e, Extras::Touch, true, false)),
    (4, layout(0x23, Extras::Touch, true, false)),
    (4, layout(0x24, Extras::Touch, true, false)),
    (1, layout(0x20, Extras::None, false, false)),
    (1, layout(0x21, Extras::None, true, true)),
    (1, layout(0x22, Extras::None, true, true)),
];

/// Groups of statistics whose answers do not depend on the server.
pub const STATS: &[&str] = &[
    "reset",
    "resetXYZ",
    "detail",
    "detail x",
    "detail on",
    "detail off",
    "detail dump",
    "conns",
    "cachedump 1 1",
    "unknown",
    "itemsx",
    "slab",
    "sizesx",
];

const EXPTIMES: &[u32] =
    &[0, 0, 0, 100, 2_592_000, 2_592_001, 2_000_000_000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const NUMBERS: &[u64] = &[0, 1, 1, 5, 100, u64::MAX, 1 << 63, 18_446_744_073_709_551_614];

impl Maker {
    /// A binary request.
    pub fn binary(&mut self) -> Packet {
        let mut packet = match self.random.below(60) {
            0 => self.unknown(),
            _ => self.known(),
        };
        packet.opaque = match self.random.below(4) {
            0 => 0,
            _ => u32::try_from(self.random.below(1 << 32)).expect("32 bits"),
        };
        if self.random.one_in(30) {
            packet.data_type = *self.random.pick(&[1, 0xff]);
            packet.vbucket = *self.random.pick(&[1, 0xffff]);
        }
        if self.random.one_in(25) {
            self.break_lengths(&mut packet);
        }
        packet
    }

    /// Any opcode, with or without a body.
    fn unknown(&mut self) -> Packet {
        let mut packet = Packet::new(u8::try_from(self.random.below(256)).expect("a byte"));
        if self.random.one_in(4) {
            packet.key = self.key();
        }
        if self.random.one_in(4) {
            packet.extras = vec![0; self.random.below(9)];
        }
        if self.random.one_in(3) {
            packet.value = self.value();
        }
        packet
    }

    fn known(&mut self) -> Packet {
        let layout = *self.random.weighted(LAYOUTS);
        let mut packet = Packet::new(layout.opcode);
        if layout.has_key {
            packet.key = if self.random.chance(30) { b"n".to_vec() } else { self.key() };
        }
        if packet.opcode == 0x10 {
            packet.key = self.random.pick(STATS).as_bytes().to_vec();
        }
        if layout.has_value {
            packet.value = self.value();
        }
        if matches!(layout.opcode, 0x21 | 0x22) {
            packet.key = b"PLAIN".to_vec();
        }
        packet.extras = self.extras(layout.extras);
        packet.cas = self.cas(&packet.key);
        self.count_uniques_of(&packet, layout);
        packet
    }

    fn extras(&mut self, extras: Extras) -> Vec<u8> {
        let exptime = *self.random.pick(EXPTIMES);
        match extras {
            Extras::None => Vec::new(),
            Extras::Touch => exptime.to_be_bytes().to_vec(),
            Extras::Store => {
                let flags: u32 = *self.random.pick(&[0, 5, 0xdead_beef, u32::MAX]);
                [flags.to_be_bytes(), exptime.to_be_bytes()].concat()
            }
            Extras::Arithmetic => {
                let [delta, initial] = [(); 2].map(|()| self.random.pick(NUMBERS).to_be_bytes());
                [&delta[..], &initial, &exptime.to_be_bytes()].concat()
            }
            Extras::Flush => match self.random.below(4) {
                0 => vec![0; 4],
                1 => 1000u32.to_be_bytes().to_vec(),
                _ => Vec::new(),
            },
        }
    }

    fn count_uniques_of(&mut self, packet: &Packet, layout: Layout) {
        let is_store = layout.has_value || layout.extras == Extras::Arithmetic;
        let is_set = matches!(packet.opcode, 0x01 | 0x11) && packet.cas == Number::Exact(0);
        if is_set && packet.key.len() <= 250 && packet.value.len() < 500_000 {
            self.uniques.stored(&packet.key);
        } else if is_store && !matches!(packet.opcode, 0x21 | 0x22) {
            self.uniques.attempted(&packet.key);
        }
    }

    /// Makes the header and the body disagree, or the layout wrong.
    fn break_lengths(&mut self, packet: &mut Packet) {
        let body_len = u32::try_from(packet.body_len()).expect("a short body");
        match self.random.below(12) {
            0 => packet.body_len = Some(body_len + 1 + u32::from(packet.opcode)),
            1 => packet.body_len = Some(body_len.saturating_sub(1)),
            2 => packet.body_len = Some(0),
            3 => packet.body_len = Some(u32::MAX),
            4 => packet.key_len = Some(0),
            5 => packet.key_len = Some(251),
            6 => packet.key_len = Some(20_000),
            7 => packet.extras_len = Some(0),
            8 => packet.extras_len = Some(255),
            9 => packet.magic = *self.random.pick(&[0x81, 0, b'g', 0xff]),
            10 => packet.extras.push(0),
            _ => packet.value.extend(b"surplus"),
        }
    }
}

/// Every opcode that the table above knows.
pub fn opcodes() -> impl Iterator<Item = u8> {
    LAYOUTS.iter().map(|(_, layout)| layout.opcode)
}

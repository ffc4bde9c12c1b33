//! The front of inputs that are conversations: what the server is like, and how the rest is cut.
#![forbid(unsafe_code)]

/// Bytes of it.
pub(super) const HEAD: usize = 4;

/// What the front says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// What kind of server; bits.
    pub(super) kind: u8,
    /// Another such byte.
    pub(super) way: u8,
    pub(super) cuts: Cuts,
}

/// Lengths of pieces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cuts {
    state: u64,
    most: usize,
}

/// Front and rest. None: it is too short to have both.
pub(super) fn split(data: &[u8]) -> Option<(Head, &[u8])> {
    let ([kind, way, seed @ ..], rest) = data.split_first_chunk::<HEAD>()?;
    let state = u64::from(u16::from_le_bytes(*seed)) + 1;
    let most = [1, 3, 40, 1000][usize::from(*way >> 6)];
    Some((Head { kind: *kind, way: *way, cuts: Cuts { state, most } }, rest))
}

impl Head {
    /// Bit `number` of the first byte.
    pub(super) fn is(&self, number: u8) -> bool {
        self.kind >> number & 1 == 1
    }
}

impl Cuts {
    /// Bytes of a piece at the most.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Any number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        // One step of a linear congruential generator, whose upper bits are good enough.
        self.state =
            self.state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.state >> 33) as usize % bound
    }

    /// Takes the next piece off `rest`, which is not empty.
    pub(super) fn piece<'a>(&mut self, rest: &mut &'a [u8]) -> &'a [u8] {
        let len = (1 + self.below(self.most)).min(rest.len());
        let (piece, after) = rest.split_at(len);
        *rest = after;
        piece
    }
}

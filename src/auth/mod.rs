//! Who a client is and what it may do: users, their secrets and rights, the exchanges of a login.
//!
//! ```text
//! user file ─► line ─► users ◄── gate ◄── Attempt: a token, a message of SASL, names of a certificate
//!                        │        │ guard: slows down who guesses
//!              secret, scram    Verdict ─► User with its Rights
//! ```
//!
//! Knows no socket, no thread and no protocol. No password is kept, and none is shown: what holds one
//! wipes it, and shows nothing of it as text.
#![forbid(unsafe_code)]

mod entry;

mod gate;

mod guard;

mod line;

mod rights;

mod sasl;

mod scram;

mod scrub;

mod secret;

mod source;

mod users;

#[cfg(test)]
pub(crate) mod tests;

pub use entry::{NoEntry, Written, entry, with_entry};
pub use gate::{Ask, Attempt, Gate, Judgement, Options, UserFile, Verdict};
pub use guard::{Origin, network};
pub use rights::{Need, Rights};
pub use sasl::{Exchange, mechanism};
pub use scram::Hash;
#[cfg(test)]
use scram::Keys;
pub use users::User;

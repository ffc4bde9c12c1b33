//! The differential test: random conversations with the daemon and with memcached, answer by answer.
//!
//! A seed makes sequences of requests (`generate`, and a file for each dialect). Each goes to both servers
//! (`pair`), and their answers must be the same to the byte, but for what `allowed` lists with a reason. A
//! sequence that fails is made small (`shrink`) and printed as a conversation file (`report`).
//!
//! ```text
//! NUTHATCH_SEED              the seed, printed by every run
//! NUTHATCH_DIFF_SEQUENCES    how many sequences (2000)
//! NUTHATCH_DIFF_FIRST        number of the first one (0)
//! NUTHATCH_DIFF_DIALECTS     some of text,meta,binary (all)
//! NUTHATCH_DIFF_FAILURES     failures after which the run ends (5)
//! MEMCACHED_ORACLE           the memcached to compare with
//! ```
#![deny(unsafe_code)]

#[path = "../it/harness.rs"]
#[expect(dead_code, reason = "shared with the integration tests, which use more of it")]
mod harness;

#[path = "../it/client.rs"]
#[expect(dead_code, reason = "shared with the integration tests, which use more of it")]
mod client;

#[path = "../it/pattern.rs"]
#[expect(dead_code, reason = "shared with the integration tests, which use more of it")]
mod pattern;

#[path = "../it/packet.rs"]
mod packet;

mod random;

mod sequence;

mod oracle;

mod generate;

mod words;

mod text;

mod admin;

mod meta;

mod binary;

mod answers;

mod allowed;

mod old;

mod shapes;

mod pair;

mod shrink;

mod report;

mod run;

mod proof;

mod examples;

//! Memory efficiency: how many items of one size fit before the first is evicted.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;

use crate::client::{Client, Stored, resident_bytes};
use crate::report::{Figure, Report, ratio};
use crate::trace::key_text;

/// What to fill a server with.
#[derive(Clone, Debug)]
pub struct Filling {
    /// Where the server is; it is empty.
    pub server: SocketAddr,
    /// Length of keys in bytes.
    pub key_size: u16,
    /// Length of values in bytes.
    pub value_size: usize,
    /// Items between two looks at what the server counts.
    pub batch: u64,
    /// Items at most.
    pub items_max: u64,
}

impl Filling {
    /// Sets fresh keys until the server evicts or refuses.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    pub fn run(&self) -> io::Result<Report> {
        let mut client = Client::connect(self.server)?;
        let before = client.stats()?.count("evictions");
        let (mut sent, mut refused, mut items) = (0, 0, 0);
        let stats = loop {
            refused += self.batch(&mut client, sent)?;
            sent += self.batch;
            let stats = client.stats()?;
            items = stats.count("curr_items").max(items);
            if stats.count("evictions") > before || refused > 0 || sent >= self.items_max {
                break stats;
            }
        };
        let limit = stats.count("limit_maxbytes");
        let payload = items * (u64::from(self.key_size) + self.value_size as u64);
        let mut report = vec![
            ("items", Figure::Count(items)),
            ("limit_maxbytes", Figure::Count(limit)),
            ("limit_per_item", Figure::Number(ratio(limit, items))),
            ("payload_share", Figure::Number(ratio(payload, limit))),
            ("evictions", Figure::Count(stats.count("evictions") - before)),
            ("sets_refused", Figure::Count(refused)),
        ];
        if let Some(rss) = stats.find("pid").and_then(resident_bytes) {
            report.push(("rss_bytes", Figure::Count(rss)));
            report.push(("rss_per_item", Figure::Number(ratio(rss, items))));
        }
        Ok(report)
    }

    /// Sets the keys from `first` on and says how many were refused.
    fn batch(&self, client: &mut Client, first: u64) -> io::Result<u64> {
        let mut key = Vec::new();
        for number in first..first + self.batch {
            key.clear();
            key_text(number, self.key_size, &mut key);
            client.queue_set(&key, 0, self.value_size, *b"nuthatch");
        }
        client.send()?;
        let mut refused = 0;
        for _ in 0..self.batch {
            refused += u64::from(client.read_set()? == Stored::Refused);
        }
        Ok(refused)
    }
}

//! What can be asked of the server's machinery: the crawler, the slabs, the LRU (text, section 7).
#![forbid(unsafe_code)]

use crate::protocol::Reply;

/// `lru_crawler`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crawler {
    /// `lru_crawler crawl`: look for expired items now.
    Crawl(Classes),
    /// `lru_crawler metadump` and `mgdump`: list items.
    Dump {
        /// How each is written.
        format: DumpFormat,
        /// Which items.
        classes: Classes,
    },
    /// `lru_crawler enable`
    Enable,
    /// `lru_crawler disable`
    Disable,
    /// `lru_crawler sleep`: microseconds, at most a million.
    Sleep(u32),
    /// `lru_crawler tocrawl`: items.
    ToCrawl(u32),
}

/// `config`, which memcached does not have: how clients of ElastiCache's engine find the nodes of a cluster. Whether
/// there is such a command at all comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Config<'a> {
    /// `config get`; None: all that there is.
    Get(Option<&'a [u8]>),
    /// `config set`: a block follows.
    Set {
        /// What is set.
        key: &'a [u8],
        /// Bytes of the block, without what ends it.
        value_len: usize,
    },
    /// `config delete`
    Delete(&'a [u8]),
    /// Not to be executed.
    Refused {
        /// Why.
        error: Reply,
        /// Bytes behind the line that belong to it.
        block_len: u64,
    },
}

/// `slabs`
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Slabs {
    /// `slabs reassign` with source and destination; None: something that is no number. Whether
    /// pages may move at all comes first.
    Reassign(Option<(i32, i32)>),
    /// `slabs automove 0|1|2`
    Automove(u32),
    /// `slabs automove ratio`
    AutomoveRatio(f64),
    /// `slabs automove freeratio`
    AutomoveFreeRatio(f64),
    /// `slabs automove window`, 3 to 1800.
    AutomoveWindow(u32),
}

/// `lru`
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lru {
    /// `lru tune`
    Tune {
        /// Per cent of the memory for HOT.
        hot_pct: u32,
        /// Per cent of the memory for WARM.
        warm_pct: u32,
        /// Age of HOT relative to COLD.
        hot_factor: f64,
        /// Age of WARM relative to COLD.
        warm_factor: f64,
    },
    /// `lru mode`; None: no such mode. Whether there is a mode to be chosen comes first.
    Mode(Option<LruMode>),
    /// `lru temp_ttl`, negative: off; None: no number.
    TempTtl(Option<i32>),
}

/// The modes of `lru mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LruMode {
    /// One queue.
    Flat,
    /// HOT, WARM and COLD.
    Segmented,
}

/// How a dump writes an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpFormat {
    /// A line of `key=value` pairs.
    Metadump,
    /// The `mg` request that fetches it.
    Mgdump,
}

/// Which slab classes are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    /// `all`
    All,
    /// `hash`: all, in the order of the index.
    Hash,
    /// Those in a list. It can be empty, as that of `,` is.
    List(ClassSet),
    /// Something in the list is no class.
    Bad,
}

/// A set of slab classes, 1 to 255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassSet([u64; 4]);

impl ClassSet {
    /// Adds a class.
    pub fn insert(&mut self, class: u8) {
        self.0[usize::from(class / 64)] |= 1 << (class % 64);
    }

    /// Whether it holds this class.
    pub fn contains(&self, class: u8) -> bool {
        self.0[usize::from(class / 64)] >> (class % 64) & 1 == 1
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// Its classes, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(|&class| self.contains(class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_sets() {
        let mut set = ClassSet::default();
        assert!(set.is_empty());
        for class in [1, 63, 64, 255] {
            set.insert(class);
            assert!(set.contains(class) && !set.is_empty());
        }
        assert!(set.iter().eq([1, 63, 64, 255]));
    }
}

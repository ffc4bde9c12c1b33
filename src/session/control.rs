//! `lru_crawler`, `slabs` and `lru` (text, section 7). What dumps items is in `dump`.
#![forbid(unsafe_code)]

use crate::protocol::Reply;
use crate::protocol::control::{Classes, Crawler, Lru, Slabs};
use crate::session::{Output, Session, Step, Turn, dump, value::answer};
use crate::store::ReassignRefusal;

impl Session {
    /// `lru_crawler`
    pub(super) fn crawler(
        &mut self,
        request: Crawler,
        noreply: bool,
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let store = &turn.shared.store;
        let reply = match request {
            Crawler::Crawl(_) | Crawler::Dump { .. } if !store.crawler_is_on() => {
                Reply::CrawlerDisabled
            }
            Crawler::Crawl(classes) => crawl(classes, turn),
            Crawler::Dump { format, classes } => {
                return self.start_dump(format, classes, noreply, out, turn);
            }
            Crawler::Enable if store.set_crawler(true) => Reply::CrawlerNotStarted,
            Crawler::Enable => Reply::Ok,
            Crawler::Disable => {
                store.set_crawler(false);
                Reply::Ok
            }
            Crawler::Sleep(micros) => {
                turn.shared.tunables.lock().lru_crawler_sleep = micros;
                Reply::Ok
            }
            Crawler::ToCrawl(count) => {
                turn.shared.tunables.lock().lru_crawler_tocrawl = count;
                Reply::Ok
            }
        };
        answer(reply, noreply, out);
        Step::on(0)
    }
}

/// `lru_crawler crawl`: the background sweep opens all pages of these classes in its next round,
/// which begins within a second.
fn crawl(classes: Classes, turn: &Turn<'_>) -> Reply {
    let store = &turn.shared.store;
    match dump::check(classes, store) {
        // By the index there is nothing to be swept.
        Ok(_) if classes == Classes::Hash => return Reply::CrawlFailed,
        Ok(None) => store.crawl(|_| true),
        Ok(Some(set)) => store.crawl(|class| set.contains(class)),
        Err(error) => return error,
    }
    Reply::Ok
}

/// `slabs`
pub(super) fn slabs(request: Slabs, turn: &Turn<'_>) -> Reply {
    let (store, mut tunables) = (&turn.shared.store, turn.shared.tunables.lock());
    match request {
        Slabs::Reassign(_) if !tunables.slab_reassign => return Reply::ReassignDisabled,
        Slabs::Reassign(None) => return Reply::BadLine,
        Slabs::Reassign(Some((src, dst))) => {
            // Moving a page takes a while: nobody is to wait for the settings meanwhile.
            drop(tunables);
            return match store.reassign(src, dst, turn.now.secs) {
                Ok(()) => Reply::Ok,
                Err(ReassignRefusal::Same) => Reply::SameClass,
                Err(ReassignRefusal::BadClass) => Reply::BadReassign,
                Err(ReassignRefusal::NoSpare) => Reply::NoSparePage,
            };
        }
        Slabs::Automove(level) => {
            tunables.slab_automove = level;
            store.set_automove(tunables.slab_reassign && level > 0);
        }
        Slabs::AutomoveRatio(ratio) => tunables.slab_automove_ratio = ratio,
        Slabs::AutomoveFreeRatio(ratio) => tunables.slab_automove_freeratio = ratio,
        Slabs::AutomoveWindow(window) => tunables.slab_automove_window = window,
    }
    Reply::Ok
}

/// `lru`
pub(super) fn lru(request: Lru, turn: &Turn<'_>) -> Reply {
    let mut tunables = turn.shared.tunables.lock();
    if !tunables.tune(request) {
        return Reply::Error;
    }
    turn.shared.store.set_temporary_ttl(tunables.ttl_of_temporary_items());
    Reply::Ok
}

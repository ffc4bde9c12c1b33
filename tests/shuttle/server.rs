//! Verdicts on their way from the thread that judges to the worker that asked.

#[path = "../../src/server/tickets.rs"]
mod tickets;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::thread;

use crate::kit::model;
use tickets::{Ticket, Tickets};

/// Clients come to two places, ask, and leave or stay; each verdict says whom it is for.
pub(super) fn a_verdict_is_for_who_asked() {
    model(|| {
        let (ask, asked) = channel();
        let (tell, told) = channel();
        let clerk = thread::spawn(move || judge(&asked, &tell));
        let mut tickets = Tickets::default();
        // The client in each place that waits for a verdict.
        let mut waiting = [None; 2];
        for client in 0..8 {
            let index = thread_rng().gen_range(0..2);
            if waiting[index].take().is_some() {
                tickets.void(index);
            }
            ask.send((client, tickets.issue(index))).expect("the clerk is there");
            waiting[index] = Some(client);
            while let Ok(verdict) = told.try_recv() {
                take(&mut tickets, &mut waiting, verdict);
            }
        }
        drop(ask);
        clerk.join().expect("no panic");
        told.iter().for_each(|verdict| take(&mut tickets, &mut waiting, verdict));
        assert_eq!(waiting, [None; 2], "who stays gets a verdict");
    });
}

fn judge(asked: &Receiver<(u32, Ticket)>, tell: &Sender<(u32, Ticket)>) {
    for (client, ticket) in asked.iter() {
        if ticket.is_open() {
            thread::yield_now();
            tell.send((client, ticket)).expect("the worker is there");
        }
    }
}

fn take(tickets: &mut Tickets, waiting: &mut [Option<u32>; 2], (client, ticket): (u32, Ticket)) {
    if tickets.redeem(&ticket) {
        assert_eq!(waiting[ticket.index].take(), Some(client), "another's verdict");
    }
}

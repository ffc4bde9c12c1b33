//! The open loop: requests are due at a fixed rate, whatever the server does.
//!
//! A latency counts from the moment a request was *due*. If the server stalls, the requests that
//! could not be sent meanwhile carry the whole wait, as the users of a real service would
//! (coordinated omission is thus corrected, not estimated). Those still unsent at the deadline
//! are counted as unsent, with the time they have waited as their latency.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use crate::client::SocketClient;
use crate::clock;
use crate::closed::{EVENTS, Terms, register, release, stalled, wait};
use crate::codec::Codec;
use crate::tally::Tally;
use crate::workload::{Answer, Workload};

/// Sends `rate` requests a second over the clients, until the workload or the time ends.
///
/// # Errors
///
/// A connection broke, an answer made no sense, or the server fell silent.
pub fn run<C: Codec>(
    clients: &mut [SocketClient<C>],
    workload: &mut Workload<'_>,
    terms: &Terms<'_>,
    rate: f64,
) -> io::Result<Tally> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(EVENTS);
    register(clients, &poll)?;
    let mut tally = Tally::new();
    let mut schedule = Schedule { start: clock::now(), interval_secs: 1.0 / rate, sent: 0 };
    let deadline = terms.time.map(|time| schedule.start + time);
    // One entry for each further request that a client may have outstanding.
    let mut free: VecDeque<usize> = (0..terms.depth).flat_map(|_| 0..clients.len()).collect();
    let slots = free.len();
    let mut heard = schedule.start;
    loop {
        let now = clock::now();
        if let Some(deadline) = deadline.filter(|deadline| now >= *deadline) {
            schedule.give_up(workload, deadline, &mut tally);
        }
        schedule.send_due(clients, workload, terms, &mut free, now)?;
        if workload.left() == 0 && free.len() == slots {
            break;
        }
        if free.len() == slots {
            heard = now;
        } else if now.duration_since(heard) > terms.stall {
            return Err(stalled(terms.stall));
        }
        let can_send = workload.left() > 0 && !free.is_empty();
        let pause = if can_send { schedule.until_next(now) } else { LOOK_UP };
        wait(&mut poll, &mut events, pause)?;
        for event in &events {
            let client = &mut clients[event.token().0];
            client.flush()?;
            if event.is_readable() && client.outstanding() > 0 {
                let answered = client.receive(terms.dataset, terms.verify, &mut tally)?;
                free.extend(std::iter::repeat_n(event.token().0, answered));
                heard = now;
            }
        }
    }
    release(clients, &poll)?;
    Ok(tally)
}

/// When requests are due.
struct Schedule {
    start: Instant,
    interval_secs: f64,
    sent: u64,
}

impl Schedule {
    /// When the next request is due; counted from the start, so that errors do not add up.
    fn due(&self) -> Instant {
        self.start + Duration::from_secs_f64(self.sent as f64 * self.interval_secs)
    }

    /// Time to sleep before the next request is due. The system's timers are in milliseconds: the
    /// part below is waited out by looking again and again.
    fn until_next(&self, now: Instant) -> Duration {
        let left = self.due().saturating_duration_since(now).min(LOOK_UP);
        Duration::from_millis(left.as_millis() as u64)
    }

    /// Sends what is due, as far as clients are free.
    fn send_due<C: Codec>(
        &mut self,
        clients: &mut [SocketClient<C>],
        workload: &mut Workload<'_>,
        terms: &Terms<'_>,
        free: &mut VecDeque<usize>,
        now: Instant,
    ) -> io::Result<()> {
        let mut asked = 0;
        while asked < free.len() && self.due() <= now {
            let Some(request) = workload.next(Answer::Wanted) else { break };
            clients[free[asked]].ask(&request, terms.dataset, self.due());
            self.sent += 1;
            asked += 1;
        }
        free.drain(..asked).try_for_each(|index| clients[index].flush())
    }

    /// Counts what was due before `deadline` and is not sent, and ends the workload.
    fn give_up(&mut self, workload: &mut Workload<'_>, deadline: Instant, tally: &mut Tally) {
        while workload.left() > 0 && self.due() < deadline {
            tally.unsent += 1;
            let waited = deadline.saturating_duration_since(self.due());
            tally.latency.record(waited.as_nanos() as u64);
            self.sent += 1;
            workload.skip();
        }
        workload.stop();
    }
}

/// The longest time without a look at the deadline.
const LOOK_UP: Duration = Duration::from_millis(10);

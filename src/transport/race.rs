//! Opens a TCP connection to one of several addresses. They race, so that a dead one costs a quarter of a second.
//!
//! Happy Eyeballs as in RFC 8305, section 5, with a thread for each attempt. The `happy-eyeballs` crate does the same,
//! but brings an event loop and a second version of two crates.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use crate::deadline::STACK_SIZE;
use crate::text::{Shown, shown};

/// The pause before the next address is tried: the RFC's "Connection Attempt Delay", with the value it recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Returns the first connection that is made. `note` is told each address and what became of it.
///
/// # Errors
/// The error of the first attempt that failed, when all have.
pub fn connect(addresses: &[SocketAddr], note: &dyn Fn(Shown)) -> io::Result<TcpStream> {
    if let [only] = addresses {
        note(shown!("trying {}", only));
        let attempt = Attempt::make(*only);
        note(attempt.outcome());
        return attempt.result;
    }
    let (sender, attempts) = mpsc::channel();
    let mut first_error = None;
    for address in interleave(addresses) {
        note(shown!("trying {}", address));
        start_attempt(address, sender.clone());
        // The next address is tried at once when an attempt has failed, and otherwise after the delay.
        let Ok(attempt) = attempts.recv_timeout(ATTEMPT_DELAY) else {
            continue;
        };
        if let Some(stream) = settle(attempt, &mut first_error, note) {
            return Ok(stream);
        }
    }
    // With this sender gone, the channel ends with the last attempt that is under way.
    drop(sender);
    for attempt in attempts {
        if let Some(stream) = settle(attempt, &mut first_error, note) {
            return Ok(stream);
        }
    }
    Err(first_error.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

/// Notes what became of an attempt. Returns the connection, or keeps the error if it is the first one.
fn settle(
    attempt: Attempt,
    first_error: &mut Option<io::Error>,
    note: &dyn Fn(Shown),
) -> Option<TcpStream> {
    note(attempt.outcome());
    match attempt.result {
        Ok(stream) => Some(stream),
        Err(error) => {
            first_error.get_or_insert(error);
            None
        }
    }
}

/// An attempt that is over.
struct Attempt {
    address: SocketAddr,
    result: io::Result<TcpStream>,
}

impl Attempt {
    fn make(address: SocketAddr) -> Attempt {
        Attempt {
            address,
            result: TcpStream::connect(address),
        }
    }

    /// What became of it, as a line of `--verbose`.
    fn outcome(&self) -> Shown {
        match &self.result {
            Ok(_) => shown!("connected to {}", self.address),
            Err(error) => {
                let reason = Shown::reason(error);
                shown!("could not connect to {}: {}", self.address, reason)
            }
        }
    }
}

fn start_attempt(address: SocketAddr, attempts: Sender<Attempt>) {
    let on_this_thread = attempts.clone();
    let attempt = move || {
        // A connection that is made too late finds no receiver, and is closed.
        let _ = attempts.send(Attempt::make(address));
    };
    if thread::Builder::new()
        .stack_size(STACK_SIZE)
        .spawn(attempt)
        .is_err()
    {
        // The system refuses another thread, so the attempt is made on this one.
        let _ = on_this_thread.send(Attempt::make(address));
    }
}

/// Alternates between the address families, the one that the resolver prefers first.
fn interleave(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else {
        return Vec::new();
    };
    let is_preferred = |address: &SocketAddr| address.is_ipv6() == first.is_ipv6();
    let (preferred, other): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().copied().partition(is_preferred);
    let mut order = Vec::with_capacity(addresses.len());
    for place in 0..addresses.len() {
        order.extend(preferred.get(place));
        order.extend(other.get(place));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(addresses: &[&str]) -> Vec<String> {
        let addresses: Vec<SocketAddr> = addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        interleave(&addresses)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_families_alternate_from_the_preferred_one() {
        assert_eq!(
            order(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]),
            ["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]
        );
        assert_eq!(
            order(&["1.1.1.1:1", "1.1.1.2:1", "[::1]:1", "[::2]:1", "[::3]:1"]),
            ["1.1.1.1:1", "[::1]:1", "1.1.1.2:1", "[::2]:1", "[::3]:1"]
        );
        assert!(order(&[]).is_empty());
    }
}

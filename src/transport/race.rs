//! Opens a TCP connection to one of several addresses. They race, so that a dead one costs a quarter of a second.
//!
//! Happy Eyeballs as in RFC 8305, section 5, with a thread for each attempt. The `happy-eyeballs` crate does the same,
//! but brings an event loop and a second version of two crates.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The pause before the next address is tried: the RFC's "Connection Attempt Delay", with the value it recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Returns the first connection that is made.
///
/// # Errors
/// The error of the first attempt that failed, when all have.
pub fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    if let [only] = addresses[..] {
        return TcpStream::connect(only);
    }
    let (sender, results) = mpsc::channel();
    let mut waiting = interleave(addresses).into_iter();
    let mut running = 0;
    let mut failure = None;
    loop {
        if let Some(address) = waiting.next() {
            let from_thread = sender.clone();
            // A connection that is made too late finds no receiver, and is closed.
            let attempt = move || drop(from_thread.send(TcpStream::connect(address)));
            if thread::Builder::new().spawn(attempt).is_err() {
                // There can't be another thread: this one has to wait.
                let _ = sender.send(TcpStream::connect(address));
            }
            running += 1;
        }
        let result = if waiting.len() > 0 {
            results.recv_timeout(ATTEMPT_DELAY).ok()
        } else if running > 0 {
            results.recv().ok()
        } else {
            return Err(failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()));
        };
        match result {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => {
                running -= 1;
                failure.get_or_insert(error);
            }
            None => {}
        }
    }
}

/// Alternates between the address families, the one that the resolver prefers first.
fn interleave(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let preferred = addresses.first().map(SocketAddr::is_ipv6);
    let mut counts = [0, 0];
    let mut order = addresses.to_vec();
    order.sort_by_cached_key(|address| {
        let family = usize::from(Some(address.is_ipv6()) != preferred);
        counts[family] += 1;
        (counts[family], family)
    });
    order
}

#[cfg(test)]
#[path = "../../tests/common/server.rs"]
mod server;

#[cfg(test)]
mod tests {
    use super::server::DeadPort;
    use super::*;
    use std::net::TcpListener;

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

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

    #[test]
    fn a_refused_address_gives_way_to_the_next() {
        let (_listener, good) = listener();
        let dead = DeadPort::new();
        assert_eq!(
            connect(&[dead.address, dead.address, good])
                .unwrap()
                .peer_addr()
                .unwrap(),
            good
        );
    }

    #[test]
    fn when_all_are_refused_the_first_reason_is_given() {
        let dead = DeadPort::new();
        let error = connect(&[dead.address, dead.address]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(
            connect(&[]).unwrap_err().kind(),
            io::ErrorKind::AddrNotAvailable
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_address_that_does_not_answer_is_not_waited_for() {
        let (black_hole, dead_port) = (super::server::BlackHole::new(), DeadPort::new());
        let (hole, dead) = (black_hole.address, dead_port.address);
        let (_listener, good) = listener();
        for addresses in [
            &[hole, good][..],
            &[hole, hole, dead, good],
            &[dead, hole, good, hole],
        ] {
            assert_eq!(connect(addresses).unwrap().peer_addr().unwrap(), good);
        }
    }

    #[test]
    fn an_attempt_that_is_under_way_is_waited_for_when_no_address_is_left() {
        let (_listener, good) = listener();
        let dead = DeadPort::new();
        assert_eq!(
            connect(&[good, dead.address, dead.address])
                .unwrap()
                .peer_addr()
                .unwrap(),
            good
        );
    }
}

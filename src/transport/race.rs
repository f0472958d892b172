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
            let attempt = {
                let sender = sender.clone();
                // A connection that is made too late finds no receiver, and is closed.
                move || drop(sender.send(TcpStream::connect(address)))
            };
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
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_families_alternate_from_the_preferred_one() {
        let order = |addresses: &[&str]| {
            let addresses: Vec<SocketAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
            interleave(&addresses).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            order(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]),
            ["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]
        );
        assert_eq!(
            order(&["1.1.1.1:1", "[::1]:1", "[::2]:1", "[::3]:1"]),
            ["1.1.1.1:1", "[::1]:1", "[::2]:1", "[::3]:1"]
        );
        assert!(order(&[]).is_empty());
    }

    #[test]
    fn a_refused_address_gives_way_to_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(race(vec![closed, closed, good]).unwrap().peer_addr().unwrap(), good);
    }

    #[test]
    fn when_all_are_refused_the_first_reason_is_given() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(race(vec![closed, closed]).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(race(vec![]).unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }

    /// A listener whose queue is full, so that Linux swallows every further attempt to connect.
    #[cfg(target_os = "linux")]
    fn swallowing() -> (SocketAddr, Vec<socket2::Socket>) {
        let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let listener = socket();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut kept = vec![listener];
        for _ in 0..4 {
            let waiting = socket();
            waiting.set_nonblocking(true).unwrap();
            let _ = waiting.connect(&address);
            kept.push(waiting);
        }
        (address.as_socket().unwrap(), kept)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn swallowed_attempts_are_not_waited_for() {
        let (hole, _kept) = swallowing();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for addresses in [vec![hole, good], vec![hole, hole, closed, good], vec![closed, hole, good, hole]] {
            assert_eq!(race(addresses).unwrap().peer_addr().unwrap(), good);
        }
    }

    #[test]
    fn an_attempt_that_is_under_way_is_waited_for_when_no_address_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(race(vec![good, closed, closed]).unwrap().peer_addr().unwrap(), good);
    }
}

//! Opens the TCP connection. Several addresses race, so that a dead one costs a quarter of a second.
//!
//! Happy Eyeballs as in RFC 8305, section 5, with a thread for each attempt. The `happy-eyeballs` crate does
//! the same, but brings an event loop and a second version of two crates for it.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use ureq::Error;
use ureq::unversioned::transport::{ConnectionDetails, Connector, Either, Transport};

use super::duplex::Duplex;
use super::{Failure, Progress, peer};
use crate::text;

/// The pause before the next address is tried while the last has not answered: the RFC's "Connection Attempt
/// Delay", with the value it recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Bytes that are read at a time under TLS: what a server sends in its handshake, and more than a balance has.
const FLIGHT: usize = 8 << 10;

/// Connects to the service, or to the proxy before it.
#[derive(Debug)]
pub struct Race {
    progress: Arc<Progress>,
}

impl Race {
    pub fn new(progress: &Arc<Progress>) -> Race {
        Race { progress: progress.clone() }
    }
}

impl<In: Transport> Connector<In> for Race {
    type Out = Either<In, Duplex<TcpStream>>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let stream = race(interleave(&details.addrs)).map_err(|error| {
            if self.progress.proxy().is_some() {
                return Failure::at_proxy(&error, &self.progress);
            }
            Failure::Connect { peer: peer(details), reason: text::io_reason(&error) }
        })?;
        // A request is one small write; waiting to fill a segment only costs time.
        let _ = stream.set_nodelay(true);
        if let Ok(address) = stream.peer_addr() {
            self.progress.note(format_args!("connected to {address}"));
        }
        // Under TLS no head has to fit here, and what is reserved is also cleared.
        let input = if details.needs_tls() { FLIGHT } else { details.config.input_buffer_size() };
        Ok(Some(Either::B(Duplex::new(stream, false, input, details.config))))
    }
}

/// Alternates between the address families, the one that the resolver prefers first.
fn interleave(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let preferred = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.iter().partition(|address| address.is_ipv6() == preferred);
    let mut order = Vec::with_capacity(addresses.len());
    let mut second = second.into_iter();
    for address in first {
        order.push(address);
        order.extend(second.next());
    }
    order.extend(second);
    order
}

/// Returns the first connection that is made, else the error of the first attempt.
fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    if let [only] = addresses[..] {
        return TcpStream::connect(only);
    }
    let (sender, results) = mpsc::channel();
    let mut waiting = addresses.into_iter();
    let mut running = 0;
    let mut failure = None;
    loop {
        if let Some(address) = waiting.next() {
            let sender = sender.clone();
            // A connection that comes second finds nobody to take it, and is closed.
            let attempt = move || drop(sender.send(TcpStream::connect(address)));
            thread::Builder::new().spawn(attempt)?;
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

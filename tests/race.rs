//! Connections to several addresses: `transport::race` against addresses that are refused or do not answer.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use clado_credits::transport::race;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::has_ipv6;
#[cfg(target_os = "linux")]
use crate::common::server::BlackHole;
use crate::common::server::DeadPort;

fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    race::connect(addresses, &|_| {})
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
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

#[cfg(target_os = "linux")] // Where a connection to the broadcast address fails at once.
#[test]
fn when_all_fail_the_first_reason_is_given() {
    let dead = DeadPort::new();
    let unreachable: SocketAddr = "255.255.255.255:1".parse().unwrap();
    let error = connect(&[dead.address, unreachable]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let error = connect(&[unreachable, dead.address]).unwrap_err();
    assert_ne!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_name_without_an_address_cannot_be_connected_to() {
    assert_eq!(
        connect(&[]).unwrap_err().kind(),
        io::ErrorKind::AddrNotAvailable
    );
}

#[cfg(target_os = "linux")]
#[test]
fn an_address_that_does_not_answer_is_not_waited_for() {
    let (black_hole, dead_port) = (BlackHole::new(), DeadPort::new());
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

/// The pause before the next address is tried.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// What a race came to.
struct Observed {
    result: io::Result<TcpStream>,
    /// The addresses that were tried, in this order.
    tried: Vec<String>,
    /// Whether it took long enough for the next address to be tried beside one that answers, as on a busy machine.
    is_slow: bool,
}

fn observe(addresses: &[SocketAddr]) -> Observed {
    let started = Instant::now();
    let tried = RefCell::new(Vec::new());
    let result = race::connect(addresses, &|line| {
        if let Some(address) = line.to_string().strip_prefix("trying ") {
            tried.borrow_mut().push(address.to_owned());
        }
    });
    Observed {
        result,
        tried: tried.into_inner(),
        is_slow: started.elapsed() >= ATTEMPT_DELAY,
    }
}

#[test]
fn an_address_is_not_tried_before_the_one_before_it_has_failed() {
    let (_first, first_address) = listener();
    let (second, second_address) = listener();
    let observed = observe(&[first_address, second_address]);
    if observed.is_slow {
        return;
    }
    let stream = observed.result.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), first_address);
    assert_eq!(observed.tried, [first_address.to_string()]);
    second.set_nonblocking(true).unwrap();
    let error = second.accept().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

/// Accepts all connections that wait. The queue of a listener holds 128 of them; then others wait for minutes.
fn empty_queue(listener: &TcpListener) {
    while listener.accept().is_ok() {}
}

/// An address of a generated list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    LiveIpv4,
    DeadIpv4,
    LiveIpv6,
    DeadIpv6,
}

/// The order in which a list is to be tried: the families in turn, the first one's first.
fn alternating(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let starts_with_ipv6 = addresses[0].is_ipv6();
    let mut waiting = [VecDeque::new(), VecDeque::new()];
    for address in addresses {
        let queue = usize::from(address.is_ipv6() != starts_with_ipv6);
        waiting[queue].push_back(*address);
    }
    let mut order = Vec::new();
    for turn in 0..2 * addresses.len() {
        order.extend(waiting[turn % 2].pop_front());
    }
    order
}

#[test]
fn any_list_of_addresses_is_tried_in_turn_up_to_the_first_that_answers() {
    if !has_ipv6() {
        return;
    }
    let (ipv4, live_ipv4) = listener();
    let ipv6 = TcpListener::bind("[::1]:0").unwrap();
    for live in [&ipv4, &ipv6] {
        live.set_nonblocking(true).unwrap();
    }
    let dead_ipv4 = DeadPort::new();
    let dead_ipv6 = DeadPort::on("[::1]:0".parse().unwrap());
    let address_of = |kind: &Kind| match kind {
        Kind::LiveIpv4 => live_ipv4,
        Kind::DeadIpv4 => dead_ipv4.address,
        Kind::LiveIpv6 => ipv6.local_addr().unwrap(),
        Kind::DeadIpv6 => dead_ipv6.address,
    };
    // Most are dead, so that long lists are tried to their end.
    let kind = prop_oneof![
        1 => Just(Kind::LiveIpv4),
        20 => Just(Kind::DeadIpv4),
        1 => Just(Kind::LiveIpv6),
        20 => Just(Kind::DeadIpv6),
    ];
    // A failure shows its list; no file is left behind.
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(kinds in vec(kind, 1..=40))| {
        let addresses: Vec<SocketAddr> = kinds.iter().map(address_of).collect();
        let is_live = |address: &SocketAddr| {
            ![dead_ipv4.address, dead_ipv6.address].contains(address)
        };
        let order = alternating(&addresses);
        let live = order.iter().position(is_live);
        let needed = live.map_or(order.len(), |place| place + 1);
        let order_shown: Vec<String> = order.iter().map(SocketAddr::to_string).collect();
        let observed = observe(&addresses);
        empty_queue(&ipv4);
        empty_queue(&ipv6);
        let count = observed.tried.len();
        prop_assert_eq!(&observed.tried[..], &order_shown[..count]);
        prop_assert!(count == needed || (count > needed && observed.is_slow));
        match observed.result {
            Ok(stream) => prop_assert!(is_live(&stream.peer_addr().unwrap())),
            Err(error) => {
                prop_assert_eq!(live, None);
                prop_assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            }
        }
    });
}

//! Connections to several addresses: `transport::race` against addresses that are refused or do not answer.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

use clado_credits::transport::race;

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

//! One check is one round trip each for TCP, TLS and HTTP: what is sent when, as seen by a relay in between.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::common::server::{self, read_head};
use crate::common::tls::{Authority, TrustedApi, accept, config_with, params};
use crate::common::{ask, expect_balance, good_reply};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}
use Side::{Client, Server};

/// What one side sent before the other did, in the pieces in which it came.
#[derive(Debug)]
struct Flight {
    side: Side,
    pieces: Vec<Vec<u8>>,
}

impl Flight {
    /// The content type and the length of each TLS record.
    fn records(&self) -> Vec<(u8, usize)> {
        let bytes = self.pieces.concat();
        let mut rest = &bytes[..];
        let mut records = Vec::new();
        while let [kind, _, _, high, low, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            records.push((*kind, length));
            rest = &after[length..];
        }
        assert!(rest.is_empty(), "half a record");
        records
    }
}

/// Passes connections on to `server`, and records what each side sent. Unlike [`server::relay`] it has a thread for
/// each direction, so that it adds no delay and keeps the pieces apart.
fn recording_relay(server: SocketAddr) -> server::Server<Vec<Flight>> {
    server::Server::new(move |client| {
        let server = TcpStream::connect(server).unwrap();
        let seen = Mutex::new(Vec::<Flight>::new());
        let pass = |side, mut from: &TcpStream, mut to: &TcpStream| {
            to.set_nodelay(true).unwrap();
            let mut buffer = [0; 64 << 10];
            // A side that resets the connection has closed it too.
            while let Ok(amount @ 1..) = from.read(&mut buffer) {
                let piece = buffer[..amount].to_vec();
                let mut seen = seen.lock().unwrap();
                match seen.last_mut().filter(|flight| flight.side == side) {
                    Some(flight) => flight.pieces.push(piece),
                    None => seen.push(Flight {
                        side,
                        pieces: vec![piece],
                    }),
                }
                drop(seen);
                let _ = to.write_all(&buffer[..amount]);
            }
            let _ = to.shutdown(Shutdown::Write);
        };
        thread::scope(|scope| {
            scope.spawn(|| pass(Client, &client, &server));
            pass(Server, &server, &client);
        });
        seen.into_inner().unwrap()
    })
}

/// An API over TLS 1.3.
fn tls_1_3_api() -> TrustedApi {
    let authority = Authority::new();
    let identity = authority.sign(&params(&["127.0.0.1"], |_| {}));
    let mut config = config_with(identity, &[&rustls::version::TLS13], |any| {
        any.with_no_client_auth()
    });
    // Tickets are sent when the client's Finished has come, which may be before its request has.
    config.send_tls13_tickets = 0;
    let config = Arc::new(config);
    let server = server::Server::new(move |stream| {
        let mut stream = accept(&config, stream);
        let head = read_head(&mut stream);
        let _ = stream.write_all(good_reply().as_bytes());
        let _ = stream.read(&mut [0]);
        head
    });
    TrustedApi {
        server,
        trusted: authority.file(),
    }
}

/// The content types of TLS records.
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

#[test]
fn a_check_over_tls_takes_one_round_trip_for_tls_and_one_for_the_reply() {
    let TrustedApi { server, trusted } = tls_1_3_api();
    let relay = recording_relay(server.address);
    expect_balance(ask(&format!("https://{}", relay.address)).env("SSL_CERT_FILE", trusted.path()));
    let flights = relay.next();

    // Nothing follows the reply: the connection is closed and the process ends.
    let sides: Vec<Side> = flights.iter().map(|flight| flight.side).collect();
    assert_eq!(sides, [Client, Server, Client, Server], "{flights:?}");

    // ClientHello, in one piece.
    assert_eq!(flights[0].pieces.len(), 1);
    assert!(
        matches!(flights[0].records()[..], [(HANDSHAKE, _)]),
        "{:?}",
        flights[0].records()
    );

    // Finished, and in the same flight the request, in a record of its own.
    let records = flights[2].records();
    let [
        (CHANGE_CIPHER_SPEC, 1),
        (APPLICATION_DATA, finished),
        (APPLICATION_DATA, request),
    ] = records[..]
    else {
        panic!("{records:?}");
    };
    assert!(finished < 100 && request > 100, "{records:?}");
}

#[test]
fn a_request_over_plain_http_is_sent_in_one_piece_and_nothing_follows_it() {
    let server = server::Server::new(|mut stream| {
        let mut piece = vec![0; 64 << 10];
        let amount = stream.read(&mut piece).unwrap();
        stream.write_all(good_reply().as_bytes()).unwrap();
        let rest = stream.read(&mut [0]).unwrap_or(0);
        (String::from_utf8_lossy(&piece[..amount]).into_owned(), rest)
    });
    expect_balance(&mut ask(&server.url()));
    let (request, rest) = server.next();
    assert!(request.ends_with("\r\n\r\n"), "{request:?}");
    assert_eq!(rest, 0);
}

//! One check is one round trip of TCP, one of TLS and one of HTTP: what is sent when, as a relay saw it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::NamedTempFile;

use crate::common::net::listen;
use crate::common::tls::{Authority, accept, config_with, params};
use crate::common::{BALANCE, asking, read_head};

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

/// Passes one connection on to `server`, and tells what it saw when both sides have closed.
fn relay(server: SocketAddr) -> (SocketAddr, Receiver<Vec<Flight>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let client = listener.accept().unwrap().0;
        drop(listener);
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
                    None => seen.push(Flight { side, pieces: vec![piece] }),
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
        sender.send(seen.into_inner().unwrap()).unwrap();
    });
    (address, receiver)
}

/// A TLS 1.3 server that answers each request and waits for the client to close, and the file that names its
/// authority.
fn tls_server() -> (SocketAddr, NamedTempFile) {
    let authority = Authority::new();
    let identity = authority.sign(&params(&["127.0.0.1"], |_| {}));
    let mut config = config_with(identity, &[&rustls::version::TLS13], |any| any.with_no_client_auth());
    // Tickets are sent when the client's Finished has come, which may be before its request has.
    config.send_tls13_tickets = 0;
    let config = Arc::new(config);
    let (address, _) = listen(move |stream| {
        let mut stream = accept(&config, stream);
        read_head(&mut stream);
        stream.write_all(good().as_bytes()).unwrap();
        let _ = stream.read(&mut [0]);
    });
    (address, authority.file())
}

fn good() -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{BALANCE}", BALANCE.len())
}

/// The content types of TLS records.
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

#[test]
fn a_check_over_tls_takes_one_round_trip_for_tls_and_one_for_the_reply() {
    let (server, authority) = tls_server();
    let (address, flights) = relay(server);
    asking(&format!("https://{address}")).env("SSL_CERT_FILE", authority.path()).assert().code(0);
    let flights = flights.recv().unwrap();

    // Nothing follows the reply: the connection is closed and the process ends.
    let sides: Vec<Side> = flights.iter().map(|flight| flight.side).collect();
    assert_eq!(sides, [Client, Server, Client, Server], "{flights:?}");

    // ClientHello, in one piece.
    assert_eq!(flights[0].pieces.len(), 1);
    assert!(matches!(flights[0].records()[..], [(HANDSHAKE, _)]), "{:?}", flights[0].records());

    // Finished, and in the same flight the request, in a record of its own.
    let records = flights[2].records();
    let [(CHANGE_CIPHER_SPEC, 1), (APPLICATION_DATA, finished), (APPLICATION_DATA, request)] = records[..]
    else {
        panic!("{records:?}");
    };
    assert!(finished < 100 && request > 100, "{records:?}");
}

#[test]
fn a_request_over_plain_http_is_sent_in_one_piece() {
    let (sender, pieces) = mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut piece = vec![0; 64 << 10];
        let amount = stream.read(&mut piece).unwrap();
        stream.write_all(good().as_bytes()).unwrap();
        let rest = stream.read(&mut [0]).unwrap_or(0);
        sender.send((piece[..amount].to_vec(), rest)).unwrap();
    });
    asking(&format!("http://{address}")).assert().code(0);
    let (request, rest) = pieces.recv().unwrap();
    assert!(request.ends_with(b"\r\n\r\n"), "{:?}", String::from_utf8_lossy(&request));
    assert_eq!(rest, 0, "something follows the request");
}

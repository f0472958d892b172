//! Listeners, and what a failed run has to look like.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

/// How long a test waits for what must come; only a test that fails ever waits that long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Listens on 127.0.0.1, with a thread for each connection; what `work` returns is received in that order.
pub fn listen<T: Send + 'static>(
    work: impl Fn(TcpStream) -> T + Clone + Send + 'static,
) -> (SocketAddr, Receiver<T>) {
    listen_on("127.0.0.1", work)
}

/// [`listen`] on another address of this machine.
pub fn listen_on<T: Send + 'static>(
    host: &str,
    work: impl Fn(TcpStream) -> T + Clone + Send + 'static,
) -> (SocketAddr, Receiver<T>) {
    let listener = TcpListener::bind((host, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, results) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (sender, work, stream) = (sender.clone(), work.clone(), stream.unwrap());
            stream.set_nodelay(true).unwrap();
            // The test may be over by then, and nobody left to receive it.
            thread::spawn(move || drop(sender.send(work(stream))));
        }
    });
    (address, results)
}

/// An address that takes connections and never says a word.
pub fn silent() -> SocketAddr {
    listen(|mut stream| io::copy(&mut stream, &mut io::sink())).0
}

/// Closes with a RST instead of a FIN.
pub fn reset(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Sends a byte at a time for as long as somebody reads, slower than any of these tests takes.
pub fn drip(stream: &mut impl Write, bytes: impl IntoIterator<Item = u8>) {
    for byte in bytes {
        if stream.write_all(&[byte]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Passes bytes both ways until one side closes, and returns what the first side sent.
///
/// One thread, as a TLS stream can't be split in two: each side is read from for a moment in turn.
pub fn pump(
    client: &mut (impl Read + Write),
    client_socket: &TcpStream,
    mut server: TcpStream,
) -> io::Result<Vec<u8>> {
    let turn = Some(Duration::from_millis(2));
    client_socket.set_read_timeout(turn)?;
    server.set_read_timeout(turn)?;
    let mut sent = Vec::new();
    let mut buffer = [0; 16 << 10];
    let read = |from: &mut dyn Read, buffer: &mut [u8]| match from.read(buffer) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
        Err(_) => Ok(Some(0)),
        Ok(amount) => Ok::<_, io::Error>(Some(amount)),
    };
    loop {
        match read(client, &mut buffer)? {
            Some(0) => return Ok(sent),
            Some(amount) => {
                sent.extend_from_slice(&buffer[..amount]);
                server.write_all(&buffer[..amount])?;
            }
            None => {}
        }
        match read(&mut server, &mut buffer)? {
            Some(0) => return Ok(sent),
            Some(amount) => client.write_all(&buffer[..amount])?,
            None => {}
        }
    }
}

/// What the one connection of a run came to.
pub fn one<T>(results: &Receiver<T>) -> T {
    results.recv_timeout(PATIENCE).expect("nobody connected")
}

/// Runs, and expects this failure in words, then once more with `--json`, and expects the same there.
#[track_caller]
pub fn expect_failure(command: &mut Command, exit: i32, kind: &str, error: &str, hint: Option<&str>) {
    let hint = hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("error: {error}\n{hint}"));
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(exit), &b""[..]), "{error}");
    expect_json_failure(command, exit, kind, error);
}

/// Runs with `--json` only.
#[track_caller]
pub fn expect_json_failure(command: &mut Command, exit: i32, kind: &str, error: &str) {
    let output = command.arg("--json").output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let report: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}"));
    let report = &report["error"];
    assert_eq!((report["message"].as_str(), report["kind"].as_str()), (Some(error), Some(kind)));
    assert_eq!(report["exit_code"], exit);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(exit), &b""[..]), "{error}");
    assert!(!told.contains(super::KEY), "{told}");
}

/// Runs, and expects the balance.
#[track_caller]
pub fn expect_balance(command: &mut Command) -> String {
    let output = command.arg("--plain").output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (String::from_utf8(output.stdout).unwrap().as_str(), output.status.code()),
        ("247\n", Some(0)),
        "{told}"
    );
    assert!(!told.contains(super::KEY), "{told}");
    told
}

/// An address that swallows every attempt to connect. Its queue is full, and Linux drops what comes then.
#[cfg(target_os = "linux")]
pub struct BlackHole {
    pub address: SocketAddr,
    _listener: socket2::Socket,
    _queue: Vec<socket2::Socket>,
}

#[cfg(target_os = "linux")]
impl BlackHole {
    pub fn new() -> BlackHole {
        use socket2::{Domain, Socket, Type};
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let listener = socket();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let queue = (0..4)
            .map(|_| {
                let waiting = socket();
                waiting.set_nonblocking(true).unwrap();
                // In progress: in the queue, or already swallowed.
                let _ = waiting.connect(&address);
                waiting
            })
            .collect();
        BlackHole { address: address.as_socket().unwrap(), _listener: listener, _queue: queue }
    }
}

//! What the tests share: a ready command with a scrubbed environment, and the servers they talk to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use assert_cmd::Command;

/// The key of all tests. Not a real one.
pub const KEY: &str = "lk_test_not_a_real_key";

/// A good reply's body, with a date that lies years back.
pub const BALANCE: &str = r#"{"credits": 247, "last_topup_at": "2024-01-15T10:30:00Z"}"#;

/// The binary with nothing in its environment but what an operating system needs to start it.
pub fn clado() -> Command {
    Command::from_std(bare())
}

/// The same as a plain `std` command, for tests that need the streams in their own hands.
pub fn bare() -> std::process::Command {
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("clado-credits"));
    command.env_clear();
    for needed in ["PATH", "SYSTEMROOT", "LLVM_PROFILE_FILE"] {
        command.envs(std::env::var_os(needed).map(|value| (needed, value)));
    }
    command
}

/// The binary, asking `url` with [`KEY`] in its environment.
pub fn asking(url: &str) -> Command {
    let mut command = clado();
    command.env("CLADO_API_KEY", KEY).env("CLADO_API_URL", url).timeout(Duration::from_secs(60));
    command
}

/// A stand-in API that answers every request for the balance with this status and body.
pub fn api(status: usize, body: impl AsRef<[u8]>) -> mockito::ServerGuard {
    let mut server = mockito::Server::new();
    server.mock("GET", "/api/credits").with_status(status).with_body(body).create();
    server
}

/// A server of raw bytes: what it does with a connection is the test's to say.
pub struct Raw {
    /// Where it listens.
    pub address: SocketAddr,
    /// One item a connection: the head of the request as it came, empty when none did.
    pub requests: Receiver<String>,
}

impl Raw {
    /// Reads the head of each request and gives the connection to `reply`.
    pub fn new(reply: impl Fn(&mut TcpStream) + Send + 'static) -> Raw {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let head = read_head(&mut stream);
                if sender.send(head).is_err() {
                    break;
                }
                reply(&mut stream);
            }
        });
        Raw { address, requests }
    }

    /// Answers each request with these bytes, and closes.
    pub fn sending(bytes: impl Into<Vec<u8>>) -> Raw {
        let bytes = bytes.into();
        // A client that has read enough may close first.
        Raw::new(move |stream| drop(stream.write_all(&bytes)))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Reads to the blank line that ends a head, or to the end of the stream.
pub fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// An address on this machine where nobody listens.
pub fn dead_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub mod net;
pub mod proxy;
pub mod tls;

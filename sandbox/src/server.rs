//! The API of the sandbox: one endpoint, whose reply is chosen by the key.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// The key that a command gets when the environment has none of the sandbox's.
pub const DEFAULT_KEY: &str = "lk_sandbox";

/// What a key gets from the API.
enum Reply {
    /// This status and body.
    Http(u16, &'static str),
    /// The connection is closed without a reply.
    Closed,
    /// The connection stays open without a reply.
    Silence,
}

/// A key of the sandbox.
struct Key {
    name: &'static str,
    /// What it stands for, as the help says it.
    meaning: &'static str,
    reply: Reply,
}

/// The reply for any other key.
const REJECTED: Reply = Reply::Http(401, r#"{"detail": "Invalid API key"}"#);

/// All keys. The replies are those of the API's documentation.
const KEYS: &[Key] = &[
    Key {
        name: DEFAULT_KEY,
        meaning: "247 credits (the default)",
        reply: Reply::Http(
            200,
            r#"{"credits": 247, "last_topup_at": "2024-01-15T10:30:00Z"}"#,
        ),
    },
    Key {
        name: "lk_sandbox_empty",
        meaning: "no credits, and none were ever bought",
        reply: Reply::Http(200, r#"{"credits": 0, "last_topup_at": null}"#),
    },
    Key {
        name: "lk_sandbox_401",
        meaning: "a key that is rejected",
        reply: REJECTED,
    },
    Key {
        name: "lk_sandbox_404",
        meaning: "no credit information",
        reply: Reply::Http(
            404,
            r#"{"detail": "Unable to retrieve credit information"}"#,
        ),
    },
    Key {
        name: "lk_sandbox_429",
        meaning: "too many requests",
        reply: Reply::Http(
            429,
            r#"{"error": "Rate limit exceeded", "retry_after": 60}"#,
        ),
    },
    Key {
        name: "lk_sandbox_500",
        meaning: "a failure of the service",
        reply: Reply::Http(500, r#"{"detail": "Credit service error"}"#),
    },
    Key {
        name: "lk_sandbox_html",
        meaning: "a web page instead of JSON",
        reply: Reply::Http(200, "<!DOCTYPE html><title>Welcome</title>"),
    },
    Key {
        name: "lk_sandbox_lost",
        meaning: "a connection that is lost",
        reply: Reply::Closed,
    },
    Key {
        name: "lk_sandbox_slow",
        meaning: "no answer until the time limit",
        reply: Reply::Silence,
    },
];

/// Whether the sandbox has this key.
pub fn is_key(name: &str) -> bool {
    KEYS.iter().any(|key| key.name == name)
}

/// The keys with their meanings, for the help.
pub fn list_of_keys() -> String {
    let mut list = String::new();
    for key in KEYS {
        list += &format!("  {:16}  {}\n", key.name, key.meaning);
    }
    list
}

/// The API. It ends with the process.
pub struct Server {
    address: SocketAddr,
}

impl Server {
    /// Listens on a port of this machine that is free.
    pub fn start() -> io::Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is not worth a word.
                thread::spawn(move || answer(stream));
            }
        });
        Ok(Server { address })
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The first byte of a handshake in TLS.
const TLS_HANDSHAKE: u8 = 22;

/// Reads a request and answers it.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut first = [0];
    stream.peek(&mut first)?;
    if first == [TLS_HANDSHAKE] {
        // As web servers do it. There may be no line to read.
        return stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    }
    let request = Request::read(&stream)?;
    let reply = if request.target == "/api/credits" {
        reply_for(request.key.as_deref())
    } else {
        &Reply::Http(404, r#"{"detail": "Not Found"}"#)
    };
    match reply {
        Reply::Http(status, body) => {
            let kind = if body.starts_with('<') {
                "text/html"
            } else {
                "application/json"
            };
            write!(
                stream,
                "HTTP/1.1 {status} Sandbox\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                body.len()
            )
        }
        Reply::Closed => Ok(()),
        Reply::Silence => {
            // Until the client gives up.
            let _ = stream.read(&mut [0]);
            Ok(())
        }
    }
}

fn reply_for(key: Option<&str>) -> &'static Reply {
    for known in KEYS {
        if key == Some(known.name) {
            return &known.reply;
        }
    }
    &REJECTED
}

/// What matters of a request.
struct Request {
    /// The path that is asked for.
    target: String,
    /// The API key, if there is one.
    key: Option<String>,
}

impl Request {
    fn read(stream: &TcpStream) -> io::Result<Request> {
        // Nobody's request has a head of 64 KiB.
        let mut lines = BufReader::new(stream.take(64 << 10)).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut key = None;
        for line in lines {
            let line = line?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("authorization")
            {
                key = value.trim().strip_prefix("Bearer ").map(str::to_owned);
            }
        }
        Ok(Request { target, key })
    }
}

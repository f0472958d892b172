//! Servers on this machine whose every byte is up to the test, and addresses that do not answer.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// How long a test waits for what must come; only a test that fails waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server with a thread for each connection. What each connection came to is a `T`: by default the head of the
/// request, empty if none came.
pub struct Server<T = String> {
    /// Where it listens.
    pub address: SocketAddr,
    results: Receiver<T>,
    stop: Arc<AtomicBool>,
}

impl<T: Send + 'static> Server<T> {
    /// Listens on 127.0.0.1 and does `work` with each connection.
    pub fn new(work: impl Fn(TcpStream) -> T + Clone + Send + 'static) -> Server<T> {
        Server::on("127.0.0.1", work)
    }

    /// Listens on another address of this machine.
    pub fn on(host: &str, work: impl Fn(TcpStream) -> T + Clone + Send + 'static) -> Server<T> {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, results) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let (sender, work, stream) = (sender.clone(), work.clone(), stream.unwrap());
                stream.set_nodelay(true).unwrap();
                // The test may be over by then.
                thread::spawn(move || drop(sender.send(work(stream))));
            }
        });
        Server {
            address,
            results,
            stop,
        }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until the next connection is done, and returns what it came to.
    #[track_caller]
    pub fn next(&self) -> T {
        self.results
            .recv_timeout(PATIENCE)
            .expect("there was no connection")
    }

    /// Expects that there was no connection.
    #[track_caller]
    pub fn expect_no_connection(self) {
        assert_eq!(self.finish().len(), 0, "there was a connection");
    }

    /// Stops listening, waits for the connections that were made, and returns what they came to.
    pub fn finish(self) -> Vec<T> {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.results.iter().collect()
    }
}

impl Server {
    /// Reads the head of each request and gives the connection to `reply`.
    pub fn replying(reply: impl Fn(&mut TcpStream) + Clone + Send + 'static) -> Server {
        Server::new(move |mut stream| {
            let head = read_head(&mut stream);
            if !head.is_empty() {
                reply(&mut stream);
            }
            head
        })
    }

    /// Answers each request with these bytes and closes.
    pub fn sending(bytes: impl Into<Vec<u8>>) -> Server {
        let bytes = bytes.into();
        Server::replying(move |stream| {
            // A client that has read enough may close first.
            let _ = stream.write_all(&bytes);
        })
    }

    /// Takes connections and never answers.
    pub fn silent() -> Server {
        Server::new(|mut stream| {
            let mut sent = String::new();
            let _ = stream.read_to_string(&mut sent);
            sent
        })
    }

    /// Expects that no byte of a request came, neither before nor now.
    #[track_caller]
    pub fn expect_no_request(self) {
        assert_eq!(self.finish().concat(), "");
    }

    /// Expects that one request came, and returns it.
    #[track_caller]
    pub fn expect_one_request(self) -> String {
        let mut requests = self.finish();
        requests.retain(|request| !request.is_empty());
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
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

/// Makes the system close the connection with a RST instead of a FIN.
pub fn reset_on_close(stream: &TcpStream) {
    socket2::SockRef::from(stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

/// Waits until the other side closes. What it sent and nobody read would make the system send a RST, which may
/// swallow what was sent before.
pub fn close_after_client(stream: &mut TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Sends a byte at a time for as long as somebody reads.
pub fn drip(stream: &mut impl Write, bytes: impl IntoIterator<Item = u8>) {
    for byte in bytes {
        if stream.write_all(&[byte]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Passes bytes both ways until one side closes, and returns what the client sent.
///
/// One thread, as a TLS stream can't be split in two: each side is read from for a moment in turn.
pub fn relay(
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
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(None)
        }
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

/// An address that refuses connections: its port is bound, so that no other test gets it, but nobody listens.
pub struct DeadPort {
    pub address: SocketAddr,
    _socket: Socket,
}

impl DeadPort {
    pub fn new() -> DeadPort {
        DeadPort::on(([127, 0, 0, 1], 0).into())
    }

    /// One on another address of this machine.
    pub fn on(address: SocketAddr) -> DeadPort {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&address.into()).unwrap();
        DeadPort {
            address: socket.local_addr().unwrap().as_socket().unwrap(),
            _socket: socket,
        }
    }
}

/// An address where attempts to connect get no answer: its queue is full, and Linux drops what comes then.
#[cfg(target_os = "linux")]
pub struct BlackHole {
    pub address: SocketAddr,
    _sockets: Vec<Socket>,
}

#[cfg(target_os = "linux")]
impl BlackHole {
    pub fn new() -> BlackHole {
        BlackHole::at(([127, 0, 0, 1], 0).into())
    }

    /// One on another IPv4 address of this machine.
    pub fn at(address: SocketAddr) -> BlackHole {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let listener = socket();
        listener.bind(&address.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut sockets = vec![listener];
        for _ in 0..4 {
            let waiting = socket();
            waiting.set_nonblocking(true).unwrap();
            // In progress: in the queue, or already dropped.
            let _ = waiting.connect(&address);
            sockets.push(waiting);
        }
        BlackHole {
            address: address.as_socket().unwrap(),
            _sockets: sockets,
        }
    }
}

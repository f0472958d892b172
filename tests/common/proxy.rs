//! Small proxies that record what they saw. Each leads to one address, whatever it is asked for.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::ServerConfig;

use super::server::{Server, read_head, relay};
use super::tls;

/// What a proxy saw of a connection.
pub struct Seen {
    /// The head of the CONNECT request; for SOCKS its version, credentials and target.
    pub asked: String,
    /// What the client sent through, as the proxy could read it.
    pub sent: Vec<u8>,
}

/// An HTTP proxy that answers CONNECT with `reply`.
pub fn http(target: SocketAddr, reply: impl Into<String>) -> Server<Seen> {
    http_on("127.0.0.1", target, reply)
}

/// The same on another address of this machine.
pub fn http_on(host: &str, target: SocketAddr, reply: impl Into<String>) -> Server<Seen> {
    let reply = reply.into();
    proxy(host, move |mut stream| {
        let socket = stream.try_clone()?;
        connect(&mut stream, &socket, target, &reply)
    })
}

/// The same over TLS.
pub fn https(target: SocketAddr, config: ServerConfig) -> Server<Seen> {
    let config = Arc::new(config);
    proxy("127.0.0.1", move |stream| {
        let socket = stream.try_clone()?;
        connect(
            &mut tls::accept(&config, stream),
            &socket,
            target,
            "HTTP/1.1 200 OK\r\n\r\n",
        )
    })
}

/// A SOCKS proxy of all versions, which requires a password if one is given here.
pub fn socks(target: SocketAddr, password: Option<&'static str>) -> Server<Seen> {
    socks_on("127.0.0.1", target, password)
}

/// The same on another address of this machine.
pub fn socks_on(host: &str, target: SocketAddr, password: Option<&'static str>) -> Server<Seen> {
    proxy(host, move |mut stream| {
        let asked = socks_handshake(&mut stream, password)?;
        let socket = stream.try_clone()?;
        let sent = relay(&mut stream, &socket, TcpStream::connect(target)?)?;
        Ok(Seen { asked, sent })
    })
}

fn proxy(
    host: &str,
    work: impl Fn(TcpStream) -> io::Result<Seen> + Clone + Send + 'static,
) -> Server<Seen> {
    Server::on(host, move |stream| {
        work(stream).unwrap_or_else(|error| Seen {
            asked: error.to_string(),
            sent: Vec::new(),
        })
    })
}

fn connect(
    client: &mut (impl Read + Write),
    socket: &TcpStream,
    target: SocketAddr,
    reply: &str,
) -> io::Result<Seen> {
    let asked = read_head(client);
    client.write_all(reply.as_bytes())?;
    let sent = relay(client, socket, TcpStream::connect(target)?)?;
    Ok(Seen { asked, sent })
}

/// The server's side of SOCKS 4, 4a (<https://www.openssh.com/txt/socks4a.protocol>) and 5 (RFC 1928, 1929).
fn socks_handshake(stream: &mut TcpStream, password: Option<&str>) -> io::Result<String> {
    let [version] = take(stream)?;
    if version == 4 {
        let [_command, high, low, a, b, c, d] = take(stream)?;
        let port = u16::from_be_bytes([high, low]);
        let mut user = take_to_zero(stream)?;
        if !user.is_empty() {
            user.push(' ');
        }
        let host = match [a, b, c, d] {
            [0, 0, 0, _] => take_to_zero(stream)?,
            address => IpAddr::from(address).to_string(),
        };
        stream.write_all(&[0, 90, 0, 0, 0, 0, 0, 0])?;
        return Ok(format!("socks4 {user}{host}:{port}"));
    }
    let [methods] = take(stream)?;
    let offered = take_text(stream, methods)?;
    let mut credentials = String::from("nobody");
    if let Some(password) = password {
        if !offered.contains('\u{2}') {
            stream.write_all(&[5, 0xff])?;
            return Err(io::Error::other("no password offered"));
        }
        stream.write_all(&[5, 2])?;
        let [_version, length] = take(stream)?;
        credentials = take_text(stream, length)?;
        let [length] = take(stream)?;
        let given = take_text(stream, length)?;
        stream.write_all(&[1, u8::from(given != password)])?;
        if given != password {
            return Err(io::Error::other("wrong password"));
        }
    } else {
        stream.write_all(&[5, 0])?;
    }
    let [_version, _command, _reserved, kind] = take(stream)?;
    let host = match kind {
        1 => IpAddr::from(take::<4>(stream)?).to_string(),
        4 => IpAddr::from(take::<16>(stream)?).to_string(),
        _ => {
            let [length] = take(stream)?;
            take_text(stream, length)?
        }
    };
    let port = u16::from_be_bytes(take(stream)?);
    // A bound address that is a name: the longest form to be read past.
    stream.write_all(b"\x05\x00\x00\x03\x05proxy\x00\x00")?;
    Ok(format!("socks5 {credentials} {host}:{port}"))
}

fn take<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn take_text(stream: &mut impl Read, length: u8) -> io::Result<String> {
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn take_to_zero(stream: &mut impl Read) -> io::Result<String> {
    let mut text = String::new();
    loop {
        match take(stream)? {
            [0] => return Ok(text),
            [byte] => text.push(byte.into()),
        }
    }
}

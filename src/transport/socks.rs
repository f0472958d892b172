//! Passes a SOCKS proxy: version 4, its extension 4a (<https://www.openssh.com/txt/socks4a.protocol>), and version 5
//! (RFC 1928) with a user name and password (RFC 1929).
//!
//! ureq's own connector for this makes the connection to the proxy itself, without a race between its addresses, sends
//! no SOCKS 4 user name, and tells only in words what a proxy answered.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};

use super::lost;
use crate::deadline::Check;
use crate::error::{Error, Kind, Result};
use crate::proxy::{Login, Protocol, Proxy};
use crate::text::{Shown, shown};

/// What the proxy is asked to connect to.
pub struct Target {
    pub host: Host,
    pub port: u16,
}

/// A name or an address.
pub enum Host {
    Ip(IpAddr),
    Name(String),
}

impl Target {
    fn name(&self) -> Shown {
        match &self.host {
            Host::Ip(IpAddr::V6(address)) => {
                shown!("[{}]:{}", Shown::new(address.to_string()), self.port)
            }
            Host::Ip(address) => shown!("{}:{}", Shown::new(address.to_string()), self.port),
            Host::Name(name) => shown!("{}:{}", Shown::new(name), self.port),
        }
    }
}

/// Asks the proxy at the other end of `connection` for a connection to `target`.
///
/// # Errors
/// When the proxy refuses, does not answer in SOCKS, or closes the connection.
pub fn pass(
    connection: &mut TcpStream,
    target: &Target,
    proxy: &Proxy,
    check: &Check,
) -> Result<()> {
    let mut handshake = Handshake {
        connection,
        proxy,
        check,
    };
    match proxy.protocol {
        Protocol::Socks4 | Protocol::Socks4a => handshake.version_4(target)?,
        _ => handshake.version_5(target)?,
    }
    check.note("the proxy has connected".into());
    Ok(())
}

struct Handshake<'a> {
    connection: &'a mut TcpStream,
    proxy: &'a Proxy,
    check: &'a Check,
}

impl Handshake<'_> {
    fn version_4(&mut self, target: &Target) -> Result<()> {
        let mut request = vec![4, 1];
        request.extend(target.port.to_be_bytes());
        match &target.host {
            Host::Ip(IpAddr::V4(address)) => request.extend(address.octets()),
            // An address that does not exist announces a name after the user name.
            Host::Name(_) => request.extend([0, 0, 0, 1]),
            Host::Ip(IpAddr::V6(_)) => return Err(no_ipv4_address(self.check)),
        }
        if let Some(login) = &self.proxy.login {
            request.extend(login.user.bytes());
        }
        request.push(0);
        if let Host::Name(name) = &target.host {
            request.extend(name.bytes());
            request.push(0);
        }
        self.note_request(target);
        if self.request(&request)? != 0 {
            return Err(self.not_socks());
        }
        let [status] = self.receive()?;
        let _port_and_address: [u8; 6] = self.receive()?;
        match status {
            90 => Ok(()),
            91 => Err(self.refusal("request rejected or failed".into(), true)),
            92 => Err(self.refusal("it can't reach identd on this machine".into(), false)),
            93 => Err(self.refusal("identd has another user name".into(), false)),
            _ => Err(self.not_socks()),
        }
    }

    fn version_5(&mut self, target: &Target) -> Result<()> {
        let proxy = self.proxy;
        self.check.step(shown!("{} did not answer", proxy.name));
        // The methods on offer: 0 is no login, 2 is a user name and password.
        let greeting: &[u8] = match &proxy.login {
            Some(_) => &[5, 2, 0, 2],
            None => &[5, 1, 0],
        };
        self.send(greeting)?;
        let [version, method] = self.receive()?;
        match (version, method, &proxy.login) {
            (5, 0, _) => {}
            (5, 2, Some(login)) => self.log_in(login)?,
            (5, 2 | 0xff, None) => return Err(login_required(proxy)),
            (5, 0xff, Some(_)) => {
                let problem = "wants a login other than a user name and password";
                return Err(final_error(shown!("{} {}", proxy.name, problem)));
            }
            _ => return Err(self.not_socks()),
        }

        let mut request = vec![5, 1, 0];
        match &target.host {
            Host::Ip(IpAddr::V4(address)) => {
                request.push(1);
                request.extend(address.octets());
            }
            Host::Ip(IpAddr::V6(address)) => {
                request.push(4);
                request.extend(address.octets());
            }
            Host::Name(name) => {
                request.push(3);
                self.push_text(&mut request, name)?;
            }
        }
        request.extend(target.port.to_be_bytes());
        self.note_request(target);
        if self.request(&request)? != 5 {
            return Err(self.not_socks());
        }
        let [status] = self.receive()?;
        if status != 0 {
            return Err(self.version_5_refusal(status));
        }
        self.skip_bound_address()
    }

    fn log_in(&mut self, login: &Login) -> Result<()> {
        let mut request = vec![1];
        self.push_text(&mut request, &login.user)?;
        self.push_text(&mut request, &login.password)?;
        self.send(&request)?;
        let [version, status] = self.receive()?;
        if version != 1 {
            return Err(self.not_socks());
        }
        if status != 0 {
            let name = &self.proxy.name;
            let message = shown!("{} rejected the user name and password", name);
            return Err(final_error(message));
        }
        self.check
            .note("the proxy has accepted the user name and password".into());
        Ok(())
    }

    /// Reads past the address from which the proxy has connected. It does not matter here.
    fn skip_bound_address(&mut self) -> Result<()> {
        let [_reserved, kind] = self.receive()?;
        match kind {
            1 => {
                let _address: [u8; 4] = self.receive()?;
            }
            4 => {
                let _address: [u8; 16] = self.receive()?;
            }
            3 => {
                let [length] = self.receive()?;
                for _ in 0..length {
                    let [_byte] = self.receive()?;
                }
            }
            _ => return Err(self.not_socks()),
        }
        let _port: [u8; 2] = self.receive()?;
        Ok(())
    }

    /// Appends a text after its length in one byte.
    fn push_text(&self, request: &mut Vec<u8>, text: &str) -> Result<()> {
        let Ok(length) = u8::try_from(text.len()) else {
            let name = &self.proxy.name;
            let message = shown!("{} takes no names of more than 255 characters", name);
            return Err(final_error(message));
        };
        request.push(length);
        request.extend(text.bytes());
        Ok(())
    }

    fn note_request(&self, target: &Target) {
        let target = target.name();
        let version = self.version();
        self.check
            .note(shown!("asking the proxy for {} ({})", target, version));
    }

    fn version(&self) -> &'static str {
        match self.proxy.protocol {
            Protocol::Socks4 | Protocol::Socks4a => "SOCKS 4",
            _ => "SOCKS 5",
        }
    }

    /// Sends the request for the connection, and returns the first byte of the answer.
    fn request(&mut self, request: &[u8]) -> Result<u8> {
        let name = &self.proxy.name;
        let server = &self.check.config.server_name;
        self.check
            .step(shown!("could not connect to {} through {}", server, name));
        self.send(request)?;
        let mut first = [0];
        match self.connection.read_exact(&mut first) {
            Ok(()) => Ok(first[0]),
            // What OpenSSH's `ssh -D` does where it can't connect.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                let what = "closed the connection without reaching";
                let message = shown!("{} {} {}", name, what, server);
                Err(Error::new(Kind::Network, message))
            }
            Err(error) => Err(lost(&error, name)),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.connection
            .write_all(bytes)
            .map_err(|error| lost(&error, &self.proxy.name))
    }

    fn receive<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        match self.connection.read_exact(&mut bytes) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(lost(&error, &self.proxy.name)),
        }
    }

    /// The error for a status of RFC 1928, section 6.
    fn version_5_refusal(&self, status: u8) -> Error {
        match status {
            1 => self.refusal("general SOCKS server failure".into(), true),
            2 => self.refusal("connection not allowed by ruleset".into(), false),
            3 => self.refusal("network unreachable".into(), true),
            4 => self.refusal("host unreachable".into(), true),
            5 => self.refusal("connection refused".into(), true),
            6 => self.refusal("TTL expired".into(), true),
            7 => self.refusal("command not supported".into(), false),
            8 => self.refusal("address type not supported".into(), false),
            _ => self.refusal(shown!("error {}", status), true),
        }
    }

    fn refusal(&self, reason: Shown, is_retryable: bool) -> Error {
        let server = &self.check.config.server_name;
        let message = shown!(
            "could not connect to {} through {}: {}",
            server,
            self.proxy.name,
            reason
        );
        Error::new(Kind::Network, message).with_retryable(is_retryable)
    }

    fn not_socks(&self) -> Error {
        let version = self.version();
        final_error(shown!("{} did not answer in {}", self.proxy.name, version))
    }
}

/// The error for a server that a SOCKS 4 proxy can't be asked for.
pub fn no_ipv4_address(check: &Check) -> Error {
    let host = Shown::new(check.config.endpoint.host());
    final_error(shown!("{} has no IPv4 address, which SOCKS 4 needs", host))
}

fn login_required(proxy: &Proxy) -> Error {
    let message = shown!("{} requires a user name and password", proxy.name);
    let hint = shown!(
        "put them into {}: {}://user:password@host:port",
        proxy.variable,
        proxy.protocol.scheme()
    );
    final_error(message).with_hint(hint)
}

/// An error that will be the same at the next try.
fn final_error(message: Shown) -> Error {
    Error::new(Kind::Network, message).with_retryable(false)
}

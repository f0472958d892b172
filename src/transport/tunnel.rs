//! Passes an HTTP proxy with CONNECT (RFC 9110, section 9.3.6), over any connection.
//!
//! ureq's own connector for this takes no status but 200, stops at 20 header lines, sends the request in a dozen
//! segments and reports a 407 only as text. SOCKS proxies are passed with ureq's.

use std::io::{Read, Write};

use base64::prelude::{BASE64_STANDARD, Engine};
use memchr::memmem;

use super::stream::Connection;
use super::{MAX_HEAD, USER_AGENT, lost};
use crate::endpoint::Endpoint;
use crate::error::{Error, Kind, Result};
use crate::proxy::Proxy;
use crate::text::shown;

/// The most header lines of the proxy's answer that are read.
const MAX_HEADERS: usize = 128;

/// Asks the proxy at the other end of `connection` for a connection to `endpoint`.
///
/// # Errors
/// When the proxy refuses, does not answer in HTTP, or closes the connection.
pub fn pass(mut connection: Connection, endpoint: &Endpoint, proxy: &Proxy) -> Result<Connection> {
    let lost = |error| lost(&error, &proxy.name);
    let request = request(endpoint, &proxy.settings);
    connection.write_all(request.as_bytes()).map_err(lost)?;
    connection.flush().map_err(lost)?;
    let mut head = Vec::new();
    while head.len() < MAX_HEAD {
        // Byte by byte, as curl does it: what follows the head belongs to the connection behind the proxy.
        let mut byte = [0];
        connection.read_exact(&mut byte).map_err(lost)?;
        head.push(byte[0]);
        if byte == [b'\n'] {
            match parse_answer(&head, proxy)? {
                Answer::Connected => return Ok(connection),
                Answer::Incomplete => {}
            }
        }
    }
    let message = shown!("the answer of {} is too long", proxy.name);
    Err(Error::new(Kind::Network, message).with_retryable(false))
}

/// The whole request, to be sent at once. The API key is not in it.
fn request(endpoint: &Endpoint, proxy: &ureq::Proxy) -> String {
    let host = endpoint.uri().host().unwrap_or_default();
    let target = format!("{host}:{}", endpoint.port());
    let mut request =
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {USER_AGENT}\r\n");
    if let (Some(user), Some(password)) = (proxy.username(), proxy.password()) {
        let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
        request += &format!("Proxy-Authorization: Basic {credentials}\r\n");
    }
    request + "Proxy-Connection: Keep-Alive\r\n\r\n"
}

/// What a proxy has answered so far, where it is not an error.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The head is not complete.
    Incomplete,
    /// The connection leads to the server now.
    Connected,
}

/// Reads the head of the proxy's answer.
///
/// # Errors
/// When the proxy refuses, or does not answer in HTTP.
pub fn parse_answer(head: &[u8], proxy: &Proxy) -> Result<Answer> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut reply = httparse::Response::new(&mut headers);
    match reply.parse(head) {
        Ok(status) if status.is_partial() => return Ok(Answer::Incomplete),
        Ok(_) => {}
        Err(_) => {
            let message = shown!("{} did not answer in HTTP", proxy.name);
            return Err(Error::new(Kind::Network, message).with_retryable(false));
        }
    }
    let status = reply.code.unwrap_or_default();
    match status {
        200..=299 => Ok(Answer::Connected),
        407 => Err(login_error(reply.headers, proxy)),
        _ => {
            let is_temporary = status == 429 || status >= 500;
            let message = shown!("{} refused the connection (HTTP {})", proxy.name, status);
            Err(Error::new(Kind::Network, message).with_retryable(is_temporary))
        }
    }
}

/// What a 407 means: which login the proxy wants, and whether it had one.
fn login_error(headers: &[httparse::Header], proxy: &Proxy) -> Error {
    let mut has_offer = false;
    let mut offers_basic = false;
    for header in headers {
        if header.name.eq_ignore_ascii_case("Proxy-Authenticate") {
            has_offer = true;
            let offer = header.value.to_ascii_lowercase();
            offers_basic |= memmem::find(&offer, b"basic").is_some();
        }
    }
    let name = &proxy.name;
    let (message, hint) = if has_offer && !offers_basic {
        let message = shown!(
            "{} wants a login other than Basic, which is not supported (HTTP 407)",
            name
        );
        (message, None)
    } else if proxy.settings.username().is_some() {
        let message = shown!("{} rejected the user name and password (HTTP 407)", name);
        (message, None)
    } else {
        let message = shown!("{} requires a user name and password (HTTP 407)", name);
        let hint = "put them into the proxy's URL: http://user:password@host:port";
        (message, Some(hint.into()))
    };
    let mut error = Error::new(Kind::Network, message).with_retryable(false);
    error.hint = hint;
    error
}

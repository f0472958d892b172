//! Passes an HTTP proxy with CONNECT (RFC 9110, section 9.3.6), over any connection.
//!
//! ureq's own connector for this takes no status but 200, stops at 20 header lines, sends the request in a dozen
//! segments and reports a 407 only as text. SOCKS proxies are passed with ureq's.

use std::io::{Read, Write};

use base64::prelude::{BASE64_STANDARD, Engine};

use super::proxy::Proxy;
use super::stream::Connection;
use super::{MAX_HEAD, USER_AGENT, lost};
use crate::endpoint::Endpoint;
use crate::error::{Result, error};

/// The most header lines of the proxy's answer that are read.
const MAX_HEADERS: usize = 128;

/// Asks the proxy at the other end of `connection` for a connection to `endpoint`.
///
/// # Errors
/// When the proxy refuses, does not answer in HTTP, or closes the connection.
pub fn pass(mut connection: Connection, endpoint: &Endpoint, proxy: &Proxy) -> Result<Connection> {
    let lost = |error| lost(&error, &proxy.name);
    connection
        .write_all(request(endpoint, &proxy.ureq).as_bytes())
        .map_err(lost)?;
    connection.flush().map_err(lost)?;
    let mut head = Vec::new();
    while head.len() < MAX_HEAD {
        // Byte by byte, as curl does it: what follows the head belongs to the connection behind the proxy.
        let mut byte = [0];
        connection.read_exact(&mut byte).map_err(lost)?;
        head.push(byte[0]);
        if byte == [b'\n']
            && let Some(answer) = answer(&head, proxy)
        {
            return answer.map(|()| connection);
        }
    }
    Err(error!(Network, "the answer of {} is too long", proxy.name).retryable(false))
}

/// The whole request, to be sent at once. The API key is not in it.
fn request(endpoint: &Endpoint, proxy: &ureq::Proxy) -> String {
    let target = format!(
        "{}:{}",
        endpoint.uri().host().unwrap_or_default(),
        endpoint.port()
    );
    let mut request =
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {USER_AGENT}\r\n");
    if let (Some(user), Some(password)) = (proxy.username(), proxy.password()) {
        let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
        request += &format!("Proxy-Authorization: Basic {credentials}\r\n");
    }
    request + "Proxy-Connection: Keep-Alive\r\n\r\n"
}

/// Reads the proxy's answer; `None` while its head is not complete.
pub fn answer(head: &[u8], proxy: &Proxy) -> Option<Result<()>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut reply = httparse::Response::new(&mut headers);
    let name = &proxy.name;
    let status = match reply.parse(head) {
        Ok(status) if status.is_partial() => return None,
        Ok(_) => reply.code.unwrap_or_default(),
        Err(_) => {
            return Some(Err(
                error!(Network, "{} did not answer in HTTP", name).retryable(false)
            ));
        }
    };
    let offers = reply
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("Proxy-Authenticate"));
    let offers: Vec<_> = offers
        .map(|header| header.value.to_ascii_lowercase())
        .collect();
    let is_basic = |offer: &Vec<u8>| memchr::memmem::find(offer, b"basic").is_some();
    let error = match status {
        200..=299 => return Some(Ok(())),
        407 if !offers.is_empty() && !offers.iter().any(is_basic) => {
            error!(
                Network,
                "{} wants a login other than Basic, which is not supported (HTTP 407)", name
            )
        }
        407 if proxy.ureq.username().is_some() => {
            error!(
                Network,
                "{} rejected the user name and password (HTTP 407)", name
            )
        }
        407 => error!(
            Network,
            "{} requires a user name and password (HTTP 407)", name
        )
        .hint(Some(
            "put them into the proxy's URL: http://user:password@host:port".into(),
        )),
        _ => error!(Network, "{} refused the connection (HTTP {})", name, status),
    };
    Some(Err(error.retryable(status == 429 || status >= 500)))
}

//! Passes an HTTP proxy with CONNECT (RFC 9110, section 9.3.6), over any connection.
//!
//! ureq's own connector for this takes no status but 200, stops at 20 header lines, sends the request in a dozen
//! segments and reports a 407 only as text.

use std::io::{self, Read, Write};

use base64::prelude::{BASE64_STANDARD, Engine};

use super::stream::Connection;
use super::tls::Party;
use super::{MAX_HEAD, USER_AGENT, lost_to};
use crate::deadline::Check;
use crate::error::{Error, Kind, Result};
use crate::proxy::Proxy;
use crate::text::{Shown, shown};

fn lost(proxy: &Proxy, error: &io::Error, check: &Check) -> Error {
    lost_to(&Party::proxy(proxy), error, &check.config)
}

/// Asks the proxy at the other end of `connection` for a connection to the server.
///
/// # Errors
/// When the proxy refuses, does not answer in HTTP, or closes the connection.
pub fn pass(mut connection: Connection, proxy: &Proxy, check: &Check) -> Result<Connection> {
    let config = &check.config;
    check.step(shown!(
        "could not connect to {} through {}",
        config.server_name,
        proxy.name
    ));
    let endpoint = &config.endpoint;
    let host = endpoint.uri().host().unwrap_or_default();
    let target = format!("{host}:{}", endpoint.port());
    check.note(shown!("CONNECT {}", Shown::new(&target)));
    let request = request(&target, proxy);
    connection
        .write_all(request.as_bytes())
        .map_err(|error| lost(proxy, &error, check))?;
    connection
        .flush()
        .map_err(|error| lost(proxy, &error, check))?;

    let mut head = Vec::new();
    let mut line_start = 0;
    while head.len() < MAX_HEAD {
        // Byte by byte, as curl does it: what follows the head belongs to the connection behind the proxy.
        let mut byte = [0];
        connection
            .read_exact(&mut byte)
            .map_err(|error| lost(proxy, &error, check))?;
        head.push(byte[0]);
        if byte != [b'\n'] {
            continue;
        }
        if line_start == 0 {
            // What does not speak HTTP may never send a blank line.
            let status = parse_status(&head, proxy)?;
            check.note(shown!("the proxy has answered with HTTP {}", status));
        }
        if head[line_start..].trim_ascii().is_empty() {
            judge(&head, &target, proxy)?;
            return Ok(connection);
        }
        line_start = head.len();
    }
    let message = shown!("the answer of {} is too long", proxy.name);
    Err(Error::new(Kind::Network, message).with_retryable(false))
}

/// The whole request, to be sent at once. The API key is not in it.
fn request(target: &str, proxy: &Proxy) -> String {
    let mut request =
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {USER_AGENT}\r\n");
    if let Some(login) = &proxy.login {
        let credentials = BASE64_STANDARD.encode(format!("{}:{}", login.user, login.password));
        request += &format!("Proxy-Authorization: Basic {credentials}\r\n");
    }
    request + "Proxy-Connection: Keep-Alive\r\n\r\n"
}

/// Returns the status from the first line of an answer, which is all that has to be right in it.
fn parse_status(head: &[u8], proxy: &Proxy) -> Result<u16> {
    let text = String::from_utf8_lossy(head);
    let line = text.lines().next().unwrap_or_default();
    let mut words = line.split_ascii_whitespace();
    let version = words.next();
    let code = words.next().unwrap_or_default();
    if matches!(version, Some("HTTP/1.0" | "HTTP/1.1"))
        && code.len() == 3
        && let Ok(status) = code.parse::<u16>()
    {
        return Ok(status);
    }
    let message = shown!("{} did not answer in HTTP", proxy.name);
    Err(Error::new(Kind::Network, message).with_retryable(false))
}

/// Decides whether a proxy that has answered with `head` has connected to `target`.
///
/// # Errors
/// When the proxy refuses, or does not answer in HTTP.
pub fn judge(head: &[u8], target: &str, proxy: &Proxy) -> Result<()> {
    let status = parse_status(head, proxy)?;
    let target = Shown::new(target);
    let name = &proxy.name;
    let message = match status {
        200..=299 => return Ok(()),
        // Some answer with a server's 401 instead of a proxy's 407, tinyproxy for example.
        401 | 407 => return Err(login_error(status, head, proxy)),
        500.. => shown!("{} could not connect to {} (HTTP {})", name, target, status),
        _ => shown!(
            "{} refused to connect to {} (HTTP {})",
            name,
            target,
            status
        ),
    };
    let message = match header_values(head, "Location").first() {
        Some(location) if (300..400).contains(&status) => {
            shown!("{} and redirected to {}", message, Shown::short(location))
        }
        _ => message,
    };
    let is_temporary = status == 429 || status >= 500;
    Err(Error::new(Kind::Network, message).with_retryable(is_temporary))
}

/// The values of a header, without the blank ones. A line that is not a header is skipped.
fn header_values(head: &[u8], name: &str) -> Vec<String> {
    let mut values = Vec::new();
    for line in String::from_utf8_lossy(head).lines() {
        if let Some((found, value)) = line.split_once(':')
            && found.trim().eq_ignore_ascii_case(name)
            && !value.trim().is_empty()
        {
            values.push(value.trim().to_owned());
        }
    }
    values
}

/// The error for a proxy that wants a login (407, or 401 from some): one that is not supported, another one than ours,
/// or any.
fn login_error(status: u16, head: &[u8], proxy: &Proxy) -> Error {
    let name = &proxy.name;
    let offers = header_values(head, "Proxy-Authenticate");
    if !offers.is_empty() && !offers.iter().any(|offer| offers_basic(offer)) {
        let message = shown!(
            "{} wants a login other than Basic, which is not supported (HTTP {})",
            name,
            status
        );
        return Error::new(Kind::Network, message).with_retryable(false);
    }
    if proxy.login.is_some() {
        let message = shown!(
            "{} rejected the user name and password (HTTP {})",
            name,
            status
        );
        return Error::new(Kind::Network, message).with_retryable(false);
    }
    let message = shown!(
        "{} requires a user name and password (HTTP {})",
        name,
        status
    );
    let hint = shown!(
        "put them into {}: {}://user:password@host:port",
        proxy.variable,
        proxy.protocol.scheme()
    );
    Error::new(Kind::Network, message)
        .with_retryable(false)
        .with_hint(hint)
}

/// Whether one of the challenges in a `Proxy-Authenticate` has the scheme Basic. Challenges and their parameters are
/// separated by commas, and a quoted value may have commas inside (RFC 9110, section 11.6.1).
fn offers_basic(challenges: &str) -> bool {
    let mut is_quoted = false;
    let mut is_escaped = false;
    let is_separator = |c: char| {
        let is_end = c == ',' && !is_quoted;
        if c == '"' && !is_escaped {
            is_quoted = !is_quoted;
        }
        is_escaped = c == '\\' && !is_escaped;
        is_end
    };
    for part in challenges.split(is_separator) {
        let scheme = part.split_ascii_whitespace().next().unwrap_or_default();
        if scheme.eq_ignore_ascii_case("basic") {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_counts_only_as_the_scheme_of_a_challenge() {
        for (challenges, expected) in [
            ("Basic", true),
            ("BASIC realm=\"x\"", true),
            ("basic realm=x, charset=\"UTF-8\"", true),
            ("Negotiate, NTLM, Basic realm=\"x\"", true),
            ("Digest realm=\"a, b\", nonce=\"x\",Basic realm=\"y\"", true),
            ("Digest realm=\"a\\\"\", Basic realm=\"y\"", true),
            ("Digest realm=\"Basic users\"", false),
            ("Digest realm=\"users, Basic\"", false),
            ("Digest realm=\"a\\\", Basic realm=y\"", false),
            ("Digest realm=Basic", false),
            ("Basically realm=\"x\"", false),
            ("NTLM", false),
            ("", false),
        ] {
            assert_eq!(offers_basic(challenges), expected, "{challenges}");
        }
    }
}

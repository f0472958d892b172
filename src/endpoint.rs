//! Which base URLs are accepted, and the URL that is requested.
//!
//! Pure: opens no connection and resolves no name.

use std::net::{IpAddr, Ipv6Addr};

use http::Uri;

/// The API's base URL (source: <https://docs.clado.ai/api-reference/endpoint/get-credits>).
pub const DEFAULT_URL: &str = "https://search.clado.ai";

/// The path of the balance, from the same page.
pub const PATH: &str = "/api/credits";

/// A checked URL: https, or http to this machine.
pub struct Endpoint(Uri);

impl Endpoint {
    /// Checks a base URL and adds the path; a path prefix in it is kept.
    ///
    /// # Errors
    /// What is wrong with the URL. The text does not repeat the URL, which may hold a password.
    pub fn parse(base: &str) -> Result<Endpoint, &'static str> {
        const NOT_A_URL: &str = "not a URL such as https://host or https://host:port/prefix";
        let (scheme, rest) = base.trim().split_once("://").ok_or(NOT_A_URL)?;
        // `Uri` drops a fragment silently.
        if rest.contains(['?', '#']) {
            return Err("a query or fragment is not allowed in it");
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("user name and password are not allowed in it");
        }
        let host = unbracketed(host_and_port(authority)?.0);
        let is_loopback = host.eq_ignore_ascii_case("localhost")
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.to_canonical().is_loopback());
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => "https",
            "http" if is_loopback => "http",
            "http" => {
                return Err(
                    "plain http is allowed only to this machine (localhost, 127.0.0.1, [::1])",
                );
            }
            _ => return Err("the scheme must be https"),
        };
        let url = format!("{scheme}://{authority}{}{PATH}", path.trim_end_matches('/'));
        url.parse()
            .map(Endpoint)
            .map_err(|_| "its path has a character that is not allowed in a URL")
    }

    /// The full URL of the request.
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// The host without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        unbracketed(self.0.host().unwrap_or_default())
    }

    /// The port, given or implied.
    pub fn port(&self) -> u16 {
        self.0
            .port_u16()
            .unwrap_or(if self.is_plain() { 80 } else { 443 })
    }

    /// Host and, where one was given, port: how messages name the server.
    pub fn authority(&self) -> &str {
        self.0
            .authority()
            .map_or("", |authority| authority.as_str())
    }

    /// Whether the request is not encrypted; then it must not leave this machine.
    pub fn is_plain(&self) -> bool {
        self.0.scheme_str() == Some("http")
    }
}

/// Splits `host[:port]` and checks both: a name, an IPv4 address or an IPv6 address in brackets, then nothing or a
/// port from 1 to 65535.
///
/// # Errors
/// What is wrong, as the end of a sentence that names the URL.
pub fn host_and_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_host = match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        }
    };
    match port.map(|digits| {
        digits
            .parse()
            .ok()
            .filter(|port| *port > 0 && !digits.starts_with('+'))
    }) {
        _ if !host.is_ascii() => {
            Err("its host is not in ASCII; write it in its ASCII form (xn--…)")
        }
        _ if !is_host => Err("its host is not a name or an address"),
        Some(None) => Err("its port is not a number from 1 to 65535"),
        port => Ok((host, port.flatten())),
    }
}

/// A host without the brackets that an IPv6 address has in a URL.
pub fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_urls_keep_their_prefix() {
        for (base, url) in [
            (DEFAULT_URL, "https://search.clado.ai/api/credits"),
            (
                "https://search.clado.ai/",
                "https://search.clado.ai/api/credits",
            ),
            (
                " https://host:8443/v2// ",
                "https://host:8443/v2/api/credits",
            ),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/api/credits"),
            ("http://127.8.9.1", "http://127.8.9.1/api/credits"),
            ("http://LOCALHOST:1", "http://LOCALHOST:1/api/credits"),
            ("http://[::1]:8080/x", "http://[::1]:8080/x/api/credits"),
            (
                "http://[::ffff:127.0.0.1]",
                "http://[::ffff:127.0.0.1]/api/credits",
            ),
        ] {
            assert_eq!(
                Endpoint::parse(base).map(|e| e.uri().to_string()),
                Ok(url.to_owned()),
                "{base}"
            );
        }
    }

    #[test]
    fn each_broken_rule_is_named() {
        const NOT_A_URL: &str = "not a URL such as https://host or https://host:port/prefix";
        const SCHEME: &str = "the scheme must be https";
        const HOST: &str = "its host is not a name or an address";
        const ASCII: &str = "its host is not in ASCII; write it in its ASCII form (xn--…)";
        const PORT: &str = "its port is not a number from 1 to 65535";
        const LOGIN: &str = "user name and password are not allowed in it";
        const QUERY: &str = "a query or fragment is not allowed in it";
        const PATH: &str = "its path has a character that is not allowed in a URL";
        const PLAIN: &str =
            "plain http is allowed only to this machine (localhost, 127.0.0.1, [::1])";
        for (base, problem) in [
            ("", NOT_A_URL),
            ("search.clado.ai", NOT_A_URL),
            ("https://", HOST),
            ("https://:443", HOST),
            ("https://host:", PORT),
            ("https://host:0", PORT),
            ("https://host:99999", PORT),
            ("https://host:+80", PORT),
            ("https://host:abc", PORT),
            ("https://ho st", HOST),
            ("https://\"host\"", HOST),
            ("https://bücher.example", ASCII),
            ("https://[::1", HOST),
            ("https://[]:443", HOST),
            ("https://[]x:443", HOST),
            ("https://[127.0.0.1]", HOST),
            ("https://::1", HOST),
            ("http://[::1]10.9.9.9:80", HOST),
            ("ftp://host", SCHEME),
            ("file:///etc/passwd", HOST),
            ("https://user:secret@host", LOGIN),
            ("https://user@host", LOGIN),
            ("https://host?key=1", QUERY),
            ("https://host/#top", QUERY),
            ("https://host/a b", PATH),
            ("http://search.clado.ai", PLAIN),
            ("http://localhost.example", PLAIN),
            ("http://notlocalhost", PLAIN),
            ("http://my.localhost", PLAIN),
            ("http://127.0.0.1.example", PLAIN),
            ("http://0.0.0.0", PLAIN),
            ("http://192.168.1.1", PLAIN),
            ("http://[::2]", PLAIN),
        ] {
            assert_eq!(Endpoint::parse(base).map(|_| ()), Err(problem), "{base}");
        }
    }

    #[test]
    fn the_port_is_the_one_given_or_that_of_the_scheme() {
        for (base, host, port, authority) in [
            ("https://host", "host", 443, "host"),
            ("http://localhost", "localhost", 80, "localhost"),
            (
                "https://[2001:db8::1]:8443",
                "2001:db8::1",
                8443,
                "[2001:db8::1]:8443",
            ),
        ] {
            let endpoint = Endpoint::parse(base)
                .map_err(|problem| panic!("{problem}"))
                .unwrap();
            assert_eq!(
                (endpoint.host(), endpoint.port(), endpoint.authority()),
                (host, port, authority)
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_plain_http_stays_on_this_machine(base in "(https?://)?[^\\x00]{0,40}") {
            if let Ok(endpoint) = Endpoint::parse(&base) {
                proptest::prop_assert!(!endpoint.host().is_empty());
                let is_local = endpoint.host().eq_ignore_ascii_case("localhost")
                    || endpoint.host().parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
                proptest::prop_assert!(!endpoint.is_plain() || is_local);
            }
        }
    }
}

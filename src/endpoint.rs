//! Which base URLs are accepted, and the URL that is requested.
//!
//! Pure: opens no connection, resolves no name and reads no settings.

use std::net::{IpAddr, Ipv6Addr};

use http::Uri;

/// The API's base URL (source: <https://docs.clado.ai/api-reference/endpoint/get-credits>).
pub const DEFAULT_URL: &str = "https://search.clado.ai";

/// The path of the balance, from the same page.
pub const PATH: &str = "/api/credits";

/// The longest base URL accepted, in bytes. Many servers take no more than 8 KiB for the whole line of a request.
const MAX_BASE_URL: usize = 4 << 10;

/// A checked URL: https, or http to this machine.
pub struct Endpoint(Uri);

impl Endpoint {
    /// Checks a base URL and adds the path; a path prefix in it is kept.
    ///
    /// # Errors
    /// What is wrong with the URL. The text does not repeat the URL, which may hold a password.
    pub fn parse(base: &str) -> Result<Endpoint, &'static str> {
        // Blanks that are not ASCII are refused below.
        let base = base.trim_ascii();
        if base.len() > MAX_BASE_URL {
            return Err("it is longer than 4 KiB");
        }
        if base.starts_with(['"', '\'']) {
            return Err("it has quotes around it");
        }
        let Some((scheme, rest)) = base.split_once("://") else {
            return Err("not a URL such as https://host or https://host:port/prefix");
        };
        // `Uri` drops a fragment silently.
        if rest.contains(['?', '#']) {
            return Err("a query or fragment is not allowed in it");
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("user name and password are not allowed in it");
        }
        let host = parse_authority(authority)?.host;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => "https",
            "http" if is_loopback(host) => "http",
            "http" => {
                return Err(
                    "plain http is only for this machine; use https, or a loopback address",
                );
            }
            _ => return Err("the scheme must be https"),
        };
        // `Uri` would accept it, and it would be sent as it is.
        if !path.is_ascii() {
            return Err("its path is not in ASCII; percent-encode it");
        }
        let prefix = path.trim_end_matches('/');
        match format!("{scheme}://{authority}{prefix}{PATH}").parse::<Uri>() {
            Ok(uri) => Ok(Endpoint(uri)),
            Err(_) => Err("its path has a character that is not allowed in a URL"),
        }
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
        let default = if self.is_unencrypted() { 80 } else { 443 };
        self.0.port_u16().unwrap_or(default)
    }

    /// Host and, where one was given, port: how messages name the server.
    pub fn authority(&self) -> &str {
        self.0
            .authority()
            .map_or("", |authority| authority.as_str())
    }

    /// Whether the host is this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.host())
    }

    /// Whether this is plain http; then the request must not leave this machine.
    pub fn is_unencrypted(&self) -> bool {
        self.0.scheme_str() == Some("http")
    }
}

/// The two parts of `host[:port]`.
pub struct Authority<'a> {
    /// The host; an IPv6 address still has its brackets.
    pub host: &'a str,
    /// The port, where one was given.
    pub port: Option<u16>,
}

/// Splits `host[:port]` and checks both: a name, an IPv4 address or an IPv6 address in brackets, then nothing or a
/// port from 1 to 65535.
///
/// # Errors
/// What is wrong, as the end of a sentence that names the URL.
pub fn parse_authority(authority: &str) -> Result<Authority<'_>, &'static str> {
    let (host, port) = match authority.rsplit_once(':') {
        // In an address without a port, the last colon is inside the brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if !host.is_ascii() {
        return Err("its host is not in ASCII; write it in its ASCII form (xn--…)");
    }
    if !is_host(host) {
        return Err("its host is not a name or an address");
    }
    let port = match port {
        Some(digits) => Some(parse_port(digits)?),
        None => None,
    };
    Ok(Authority { host, port })
}

fn is_host(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let Some(address) = rest.strip_suffix(']') else {
            return false;
        };
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    !host.is_empty() && host.bytes().all(is_allowed)
}

fn parse_port(digits: &str) -> Result<u16, &'static str> {
    const PROBLEM: &str = "its port is not a number from 1 to 65535";
    // `parse` would accept a plus sign.
    if digits.starts_with('+') {
        return Err(PROBLEM);
    }
    match digits.parse::<u16>() {
        Ok(port @ 1..) => Ok(port),
        _ => Err(PROBLEM),
    }
}

fn is_loopback(host: &str) -> bool {
    if is_localhost(host) {
        return true;
    }
    match unbracketed(host).parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => false,
    }
}

/// Whether a name is `localhost` or below it. Such names are this machine, whatever a resolver says (RFC 6761,
/// section 6.3).
pub fn is_localhost(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    name == "localhost" || name.ends_with(".localhost")
}

/// A host without the brackets that an IPv6 address has in a URL.
pub fn unbracketed(host: &str) -> &str {
    let inside = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inside.unwrap_or(host)
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
            ("http://localhost.:1", "http://localhost.:1/api/credits"),
            ("http://my.localhost", "http://my.localhost/api/credits"),
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
        const QUOTES: &str = "it has quotes around it";
        const NOT_ASCII: &str = "its path is not in ASCII; percent-encode it";
        const PLAIN: &str = "plain http is only for this machine; use https, or a loopback address";
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
            ("\"https://host\"", QUOTES),
            ("'https://host'", QUOTES),
            ("https://host/é", NOT_ASCII),
            ("https://bücher.example", ASCII),
            ("https://host\u{a0}", ASCII),
            ("https://host/\u{2003}", NOT_ASCII),
            ("https://host/\u{7f}", PATH),
            ("https://host/a\tb", PATH),
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
            ("http://localhost..", PLAIN),
            ("http://127.0.0.1.example", PLAIN),
            ("http://0.0.0.0", PLAIN),
            ("http://192.168.1.1", PLAIN),
            ("http://[::2]", PLAIN),
        ] {
            assert_eq!(Endpoint::parse(base).map(|_| ()), Err(problem), "{base}");
        }
        let longest = format!("https://host/{}", "x".repeat(MAX_BASE_URL - 13));
        assert!(Endpoint::parse(&longest).is_ok());
        let problem = Endpoint::parse(&format!("{longest}x")).map(|_| ());
        assert_eq!(problem, Err("it is longer than 4 KiB"));
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
                let is_local = is_localhost(endpoint.host())
                    || endpoint.host().parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
                proptest::prop_assert!(!endpoint.is_unencrypted() || is_local);
            }
        }
    }
}

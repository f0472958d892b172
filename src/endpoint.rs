//! The address that is asked: which base URLs are accepted, and what is asked of them.
//!
//! Pure: opens no connection and resolves no name.

use std::fmt;
use std::net::IpAddr;

use http::Uri;

/// The environment variable that replaces [`DEFAULT_URL`].
pub const VARIABLE: &str = "CLADO_API_URL";

/// The service's base URL (source: <https://docs.clado.ai/api-reference/endpoint/get-credits>).
pub const DEFAULT_URL: &str = "https://search.clado.ai";

/// The path that answers with the balance, from the same page.
const PATH: &str = "/api/credits";

/// A checked address: https, or http to this very machine.
#[derive(Debug, Clone)]
pub struct Endpoint(Uri);

/// Why a base URL is refused. The words never repeat the URL, which may hold a password.
#[derive(Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is no URL, or has no host, or a port out of range.
    Malformed,
    /// A scheme other than https and http.
    Scheme,
    /// `user:password@`.
    UserInfo,
    /// `?…` or `#…`.
    QueryOrFragment,
    /// http to another machine would show the key to the network.
    PlainHttp,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Problem::Malformed => "not a URL such as https://host or https://host:port/prefix",
            Problem::Scheme => "the scheme must be https",
            Problem::UserInfo => "user name and password are not allowed in it",
            Problem::QueryOrFragment => "a query or fragment is not allowed in it",
            Problem::PlainHttp => "plain http is allowed only to this machine (localhost, 127.0.0.1, [::1])",
        })
    }
}

impl Endpoint {
    /// Checks a base URL and adds the path; a path prefix in it is kept.
    ///
    /// # Errors
    /// Each rule that a URL can break has a [`Problem`] of its own.
    pub fn parse(base: &str) -> Result<Endpoint, Problem> {
        let base = base.trim();
        // `Uri` drops a fragment without a word.
        if base.contains(['?', '#']) {
            return Err(Problem::QueryOrFragment);
        }
        let full = format!("{}{PATH}", base.trim_end_matches('/'));
        let uri: Uri = full.parse().map_err(|_| Problem::Malformed)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(Problem::Malformed);
        };
        if !matches!(scheme, "http" | "https") {
            return Err(Problem::Scheme);
        }
        if authority.as_str().contains('@') {
            return Err(Problem::UserInfo);
        }
        // `Uri` takes a port that is empty or no number in its stride.
        let port_is_sound = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => true,
            _ => authority.port_u16().is_some_and(|port| port > 0),
        };
        if authority.host().is_empty() || !port_is_sound {
            return Err(Problem::Malformed);
        }
        let endpoint = Endpoint(uri);
        if endpoint.is_plain() && !endpoint.is_loopback() {
            return Err(Problem::PlainHttp);
        }
        Ok(endpoint)
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
        port(&self.0)
    }

    /// Host and, where one was given, port: how messages name the service.
    pub fn name(&self) -> &str {
        self.0.authority().map_or("", |authority| authority.as_str())
    }

    /// Whether the request travels unencrypted; then it must not leave this machine.
    pub fn is_plain(&self) -> bool {
        self.0.scheme_str() == Some("http")
    }

    fn is_loopback(&self) -> bool {
        let host = self.host();
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
    }
}

/// A host as a name or an address: without the brackets that an IPv6 address has in a URL.
pub fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// The port of a URL, given or implied.
pub fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_urls_keep_their_prefix() {
        for (base, url) in [
            (DEFAULT_URL, "https://search.clado.ai/api/credits"),
            ("https://search.clado.ai/", "https://search.clado.ai/api/credits"),
            (" https://host:8443/v2// ", "https://host:8443/v2/api/credits"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/api/credits"),
            ("http://127.8.9.1", "http://127.8.9.1/api/credits"),
            ("http://LOCALHOST:1", "http://LOCALHOST:1/api/credits"),
            ("http://[::1]:8080/x", "http://[::1]:8080/x/api/credits"),
            ("http://[::ffff:127.0.0.1]", "http://[::ffff:127.0.0.1]/api/credits"),
        ] {
            assert_eq!(Endpoint::parse(base).map(|e| e.uri().to_string()), Ok(url.to_owned()), "{base}");
        }
    }

    #[test]
    fn each_broken_rule_is_named() {
        use Problem::*;
        for (base, problem) in [
            ("", Malformed),
            ("search.clado.ai", Malformed),
            ("https://", Malformed),
            ("https://:443", Malformed),
            ("https://host:", Malformed),
            ("https://host:0", Malformed),
            ("https://host:99999", Malformed),
            ("https://host:abc", Malformed),
            ("https://ho st", Malformed),
            ("https://bücher.example", Malformed),
            ("https://[::1", Malformed),
            ("ftp://host", Scheme),
            ("file:///etc/passwd", Malformed),
            ("https://user:secret@host", UserInfo),
            ("https://user@host", UserInfo),
            ("https://host?key=1", QueryOrFragment),
            ("https://host/#top", QueryOrFragment),
            ("http://search.clado.ai", PlainHttp),
            ("http://localhost.example", PlainHttp),
            ("http://127.0.0.1.example", PlainHttp),
            ("http://0.0.0.0", PlainHttp),
            ("http://192.168.1.1", PlainHttp),
        ] {
            assert_eq!(Endpoint::parse(base).map(|_| ()), Err(problem), "{base}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_plain_http_stays_on_this_machine(base in "(https?://)?[^\\x00]{0,40}") {
            if let Ok(endpoint) = Endpoint::parse(&base) {
                proptest::prop_assert!(!endpoint.is_plain() || endpoint.is_loopback());
                proptest::prop_assert!(!endpoint.host().is_empty());
            }
        }
    }
}

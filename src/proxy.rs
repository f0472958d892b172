//! Which proxy the environment names, and whether it is used for this host.
//!
//! As curl reads it (<https://curl.se/docs/manpage.html#ENVIRONMENT>), with the differences that the man page lists. The main one: a value that can't be
//! understood is an error here, never a direct connection that nobody asked for. The environment is passed in.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use percent_encoding::percent_decode_str;

use crate::endpoint::{Endpoint, parse_authority, unbracketed};
use crate::error::{Error, Kind, Result};
use crate::text::{Shown, shown};

/// The most bytes of a user name and of a password that SOCKS 5 has room for (RFC 1929).
const MAX_SOCKS5_LOGIN: usize = 255;

/// How the server is reached.
#[derive(Debug)]
pub enum Route {
    /// Through this proxy.
    Through(Proxy),
    /// Without a proxy.
    Direct(WhyDirect),
}

/// A proxy to go through.
#[derive(Debug)]
pub struct Proxy {
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Its host; an IPv6 address has its brackets.
    pub host: String,
    /// Its port, given or implied.
    pub port: u16,
    /// Who it is told is asking.
    pub login: Option<Login>,
    /// How messages name it: its scheme, host and port, and the variable.
    pub name: Shown,
    /// Its URL without user name and password.
    pub url: Shown,
    /// The variable that names it.
    pub variable: Shown,
}

impl Proxy {
    /// How messages name it inside brackets.
    pub fn name_without_brackets(&self) -> Shown {
        shown!("the proxy {}, from {}", self.url, self.variable)
    }
}

/// How a proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// CONNECT.
    Http,
    /// CONNECT over TLS.
    Https,
    /// SOCKS 4, which takes an IPv4 address.
    Socks4,
    /// SOCKS 4a, which also takes a name.
    Socks4a,
    /// SOCKS 5 with an address that this machine finds out.
    Socks5,
    /// SOCKS 5 with a name that the proxy resolves.
    Socks5h,
}

/// A user name and a password for a proxy. `Debug` shows neither.
#[derive(PartialEq, Eq)]
pub struct Login {
    /// The user name, decoded.
    pub user: String,
    /// The password, decoded; empty where none was given.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

/// Why there is no proxy.
#[derive(Debug, PartialEq, Eq)]
pub enum WhyDirect {
    /// Plain http is for servers on this machine, and a proxy would see the key.
    PlainHttp,
    /// A list of exceptions covers the host.
    Excepted {
        /// The variable with the list.
        variable: Shown,
        /// The entry that covers the host.
        entry: Shown,
    },
    /// No variable names one.
    NotSet {
        /// The variable for proxies of plain http, if it is set. It is not read for https.
        http_proxy: Option<Shown>,
    },
}

impl WhyDirect {
    /// The reason as a line of `--verbose`.
    pub fn note(&self) -> Shown {
        match self {
            WhyDirect::PlainHttp => "proxy: none, as plain http does not go through one".into(),
            WhyDirect::Excepted { variable, entry } => {
                shown!("proxy: none, as {} has \"{}\"", variable, entry)
            }
            WhyDirect::NotSet { http_proxy: None } => {
                "proxy: none, as HTTPS_PROXY and ALL_PROXY are not set".into()
            }
            WhyDirect::NotSet {
                http_proxy: Some(variable),
            } => shown!(
                "proxy: none, as HTTPS_PROXY and ALL_PROXY are not set; {} is not read",
                variable
            ),
        }
    }

    /// What may help where a server on another machine can't be reached.
    pub fn hint(&self) -> Shown {
        match self {
            WhyDirect::Excepted { variable, entry } => {
                shown!("no proxy was used, because {} has \"{}\"", variable, entry)
            }
            WhyDirect::NotSet {
                http_proxy: Some(variable),
            } => shown!(
                "no proxy was used; {} is not read, set HTTPS_PROXY",
                variable
            ),
            WhyDirect::NotSet { http_proxy: None } | WhyDirect::PlainHttp => {
                "no proxy was used; where one is needed, set HTTPS_PROXY".into()
            }
        }
    }
}

/// Decides how `endpoint` is reached. `variable` returns the value of a variable that is set and not blank.
///
/// # Errors
/// When the variable that counts has a value that can't be understood. The value may hold a password and is not shown.
pub fn choose(endpoint: &Endpoint, variable: impl Fn(&str) -> Option<OsString>) -> Result<Route> {
    if endpoint.is_unencrypted() {
        return Ok(Route::Direct(WhyDirect::PlainHttp));
    }
    let https_proxy = lower_case_first("HTTPS_PROXY", &variable);
    let Some(setting) = https_proxy.or_else(|| lower_case_first("ALL_PROXY", &variable)) else {
        let http_proxy = lower_case_first("HTTP_PROXY", &variable);
        return Ok(Route::Direct(WhyDirect::NotSet {
            http_proxy: http_proxy.map(|setting| Shown::new(setting.variable)),
        }));
    };
    if let Some(exceptions) = lower_case_first("NO_PROXY", &variable) {
        let list = exceptions.value.to_string_lossy();
        if let Some(entry) = covering_entry(endpoint.host(), &list) {
            return Ok(Route::Direct(WhyDirect::Excepted {
                variable: Shown::new(exceptions.variable),
                entry: Shown::short(entry),
            }));
        }
    }
    let variable = Shown::new(setting.variable);
    let parsed = match setting.value.to_str() {
        Some(value) => parse(value),
        None => Err("it is not UTF-8"),
    };
    match parsed {
        Ok(parsed) => {
            let url = Shown::new(parsed.url());
            Ok(Route::Through(Proxy {
                name: shown!("the proxy {} (from {})", url, variable),
                protocol: parsed.protocol,
                host: parsed.host,
                port: parsed.port,
                login: parsed.login,
                url,
                variable,
            }))
        }
        Err(problem) => {
            let message = shown!("{} does not name a usable proxy: {}", variable, problem);
            let hint = "a proxy is given as http://host:port or http://user:password@host:port";
            Err(Error::new(Kind::Usage, message).with_hint(hint))
        }
    }
}

/// A variable that is set.
struct Setting {
    variable: String,
    value: OsString,
}

/// Looks a variable up in lower case, then in upper case.
fn lower_case_first(name: &str, variable: impl Fn(&str) -> Option<OsString>) -> Option<Setting> {
    // On Windows the names have no case.
    if !cfg!(windows) {
        let lower = name.to_ascii_lowercase();
        if let Some(value) = variable(&lower) {
            return Some(Setting {
                variable: lower,
                value,
            });
        }
    }
    let value = variable(name)?;
    Some(Setting {
        variable: name.to_owned(),
        value,
    })
}

/// A proxy as its variable gives it.
struct Parsed {
    scheme: String,
    protocol: Protocol,
    host: String,
    port: u16,
    login: Option<Login>,
}

impl Parsed {
    /// The URL without user name and password.
    fn url(&self) -> String {
        format!("{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// Parses `[scheme://][user[:password]@]host[:port][/]`.
fn parse(value: &str) -> Result<Parsed, &'static str> {
    let value = value.trim();
    let quotes = ['"', '\''];
    if value.starts_with(quotes) || value.ends_with(quotes) {
        return Err("it has quotes around it");
    }
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    let scheme = scheme.to_ascii_lowercase();
    let Some(protocol) = Protocol::of_scheme(&scheme) else {
        return Err("its scheme is not http, https, socks4, socks4a, socks5 or socks5h");
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // In a user name or password these have to be percent-encoded. Taken literally, a part of the password would
    // become the host.
    if rest.contains(['/', '?', '#']) {
        return Err("it has a path, or a user name or password that is not percent-encoded");
    }
    let (login, address) = match rest.rsplit_once('@') {
        Some((login, address)) => (Some(parse_login(login, protocol)?), address),
        None => (None, rest),
    };
    let authority = parse_authority(address)?;
    // curl's defaults.
    let default_port = if protocol == Protocol::Https {
        443
    } else {
        1080
    };
    Ok(Parsed {
        scheme,
        protocol,
        host: authority.host.to_owned(),
        port: authority.port.unwrap_or(default_port),
        login,
    })
}

impl Protocol {
    /// The scheme of its URLs.
    pub fn scheme(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Socks4 => "socks4",
            Protocol::Socks4a => "socks4a",
            Protocol::Socks5 => "socks5",
            Protocol::Socks5h => "socks5h",
        }
    }

    fn of_scheme(scheme: &str) -> Option<Protocol> {
        match scheme {
            "http" => Some(Protocol::Http),
            "https" => Some(Protocol::Https),
            // As in curl; elsewhere "socks" may be version 5.
            "socks" | "socks4" => Some(Protocol::Socks4),
            "socks4a" => Some(Protocol::Socks4a),
            "socks5" => Some(Protocol::Socks5),
            "socks5h" => Some(Protocol::Socks5h),
            _ => None,
        }
    }
}

/// Parses `user[:password]`, and refuses what the protocol has no room for.
fn parse_login(login: &str, protocol: Protocol) -> Result<Login, &'static str> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let login = Login {
        user: decode(user)?,
        password: decode(password)?,
    };
    match protocol {
        Protocol::Socks4 | Protocol::Socks4a if !login.password.is_empty() => {
            Err("it has a password, and SOCKS 4 knows only user names")
        }
        Protocol::Socks5 | Protocol::Socks5h
            if login.user.len().max(login.password.len()) > MAX_SOCKS5_LOGIN =>
        {
            Err("its user name or password is longer than the 255 bytes that SOCKS 5 allows")
        }
        _ => Ok(login),
    }
}

/// Decodes a user name or a password.
fn decode(text: &str) -> Result<String, &'static str> {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) if !decoded.contains(char::is_control) => Ok(decoded.into_owned()),
        _ => Err("its user name or password is not text"),
    }
}

/// The first entry of a `NO_PROXY` list that covers `host`: a name covers what is below it, with or without a leading
/// dot; addresses and ranges cover addresses; `*` alone covers everything.
fn covering_entry<'a>(host: &str, list: &'a str) -> Option<&'a str> {
    let list = list.trim();
    if list == "*" {
        return Some(list);
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let mut entries = list.split([',', ' ', '\t']);
    match host.parse::<IpAddr>() {
        Ok(address) => {
            let address = address.to_canonical();
            entries.find(|entry| covers_address(entry, address))
        }
        Err(_) => entries.find(|entry| covers_name(entry, &host)),
    }
}

fn covers_address(entry: &str, address: IpAddr) -> bool {
    let entry = unbracketed(entry);
    if let Ok(entry) = entry.parse::<IpAddr>() {
        return entry.to_canonical() == address;
    }
    match entry.parse::<IpNet>() {
        Ok(range) => range.contains(&address),
        Err(_) => false,
    }
}

fn covers_name(entry: &str, host: &str) -> bool {
    let entry = entry.to_ascii_lowercase();
    let domain = entry.strip_prefix('*').unwrap_or(&entry).trim_matches('.');
    if domain.is_empty() {
        return false;
    }
    match host.strip_suffix(domain) {
        Some(above) => above.is_empty() || above.ends_with('.'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Environment<'a> = &'a [(&'a str, &'a str)];

    fn chosen(url: &str, environment: Environment) -> Result<Route> {
        let get = |name: &str| {
            environment
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.into())
        };
        choose(
            &Endpoint::parse(url)
                .map_err(|problem| panic!("{problem}"))
                .unwrap(),
            get,
        )
    }

    fn is_direct(url: &str, environment: Environment) -> bool {
        matches!(chosen(url, environment), Ok(Route::Direct(_)))
    }

    /// The proxy that `HTTPS_PROXY` with this value names.
    fn named(value: &str) -> Result<Proxy> {
        match chosen("https://host", &[("HTTPS_PROXY", value)])? {
            Route::Through(proxy) => Ok(proxy),
            Route::Direct(why) => panic!("there is no proxy: {why:?}"),
        }
    }

    #[cfg(not(windows))] // There the names have no case.
    #[test]
    fn https_proxy_counts_before_all_proxy_and_lower_case_before_upper_case() {
        for (set, counts) in [
            (&[][..], None),
            (&["ALL_PROXY"], Some("ALL_PROXY")),
            (&["ALL_PROXY", "all_proxy"], Some("all_proxy")),
            (
                &["ALL_PROXY", "all_proxy", "HTTPS_PROXY"],
                Some("HTTPS_PROXY"),
            ),
            (
                &["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"],
                Some("https_proxy"),
            ),
            (&["HTTP_PROXY", "http_proxy"], None),
        ] {
            let environment: Vec<_> = set
                .iter()
                .map(|name| (*name, "http://proxy:3128"))
                .collect();
            let name = match chosen("https://search.clado.ai", &environment).unwrap() {
                Route::Through(proxy) => Some(proxy.name.to_string()),
                Route::Direct(_) => None,
            };
            let expected =
                counts.map(|variable| format!("the proxy http://proxy:3128 (from {variable})"));
            assert_eq!(name, expected, "{set:?}");
            for plain in ["http://localhost", "http://127.0.0.1:8080"] {
                assert!(is_direct(plain, &environment), "{plain} {set:?}");
            }
        }
    }

    #[test]
    fn every_form_of_a_proxy_is_read() {
        for (value, url, protocol) in [
            ("proxy", "http://proxy:1080", Protocol::Http),
            ("proxy:3128", "http://proxy:3128", Protocol::Http),
            ("http://proxy", "http://proxy:1080", Protocol::Http),
            ("HTTP://proxy:3128/", "http://proxy:3128", Protocol::Http),
            (" http://proxy:3128\n", "http://proxy:3128", Protocol::Http),
            ("https://proxy", "https://proxy:443", Protocol::Https),
            ("socks://proxy", "socks://proxy:1080", Protocol::Socks4),
            ("socks4://proxy", "socks4://proxy:1080", Protocol::Socks4),
            ("socks4a://proxy", "socks4a://proxy:1080", Protocol::Socks4a),
            ("socks5://proxy", "socks5://proxy:1080", Protocol::Socks5),
            (
                "Socks5h://proxy:9050",
                "socks5h://proxy:9050",
                Protocol::Socks5h,
            ),
            ("http://a_b-c.d:1", "http://a_b-c.d:1", Protocol::Http),
            (
                "http://127.0.0.1:65535",
                "http://127.0.0.1:65535",
                Protocol::Http,
            ),
            ("http://[::1]", "http://[::1]:1080", Protocol::Http),
            (
                "http://u:p@[2001:db8::1]:8080/",
                "http://[2001:db8::1]:8080",
                Protocol::Http,
            ),
        ] {
            let proxy = named(value).unwrap();
            assert_eq!(
                proxy.name.to_string(),
                format!("the proxy {url} (from HTTPS_PROXY)"),
                "{value}"
            );
            assert_eq!(proxy.protocol, protocol, "{value}");
            let (host, port) = url.rsplit_once(':').unwrap();
            assert!(host.ends_with(&proxy.host), "{value}");
            assert_eq!(proxy.port.to_string(), port, "{value}");
        }
    }

    #[test]
    fn user_name_and_password_are_decoded_once() {
        for (credentials, user, password) in [
            ("user:pass", "user", "pass"),
            ("user", "user", ""),
            ("user:", "user", ""),
            (":pass", "", "pass"),
            ("us%20er:p%40ss%3Aw%25rd%2F", "us er", "p@ss:w%rd/"),
            ("u%2525:%2525", "u%25", "%25"),
            ("user:p@ss", "user", "p@ss"),
            ("user:p:ss", "user", "p:ss"),
            ("user:p+ss&=!$", "user", "p+ss&=!$"),
            ("user:100%", "user", "100%"),
            ("us\u{e9}r:\u{43f}", "us\u{e9}r", "\u{43f}"),
            ("us%C3%A9r:p", "us\u{e9}r", "p"),
            ("DOMAIN\\user:p\\ss", "DOMAIN\\user", "p\\ss"),
            ("DOMAIN%5Cuser:pass", "DOMAIN\\user", "pass"),
        ] {
            for scheme in ["http", "https", "socks5"] {
                let value = format!("{scheme}://{credentials}@proxy:1");
                let expected = Login {
                    user: user.to_owned(),
                    password: password.to_owned(),
                };
                assert_eq!(named(&value).unwrap().login, Some(expected), "{value}");
            }
        }
    }

    #[test]
    fn a_value_that_cannot_be_used_is_an_error_that_names_the_variable_only() {
        const SCHEME: &str = "its scheme is not http, https, socks4, socks4a, socks5 or socks5h";
        const LOGIN: &str = "its user name or password is not text";
        const ASCII: &str = "its host is not in ASCII; write it in its ASCII form (xn--…)";
        const PATH: &str = "it has a path, or a user name or password that is not percent-encoded";
        const PORT: &str = "its port is not a number from 1 to 65535";
        const HOST: &str = "its host is not a name or an address";
        const QUOTES: &str = "it has quotes around it";
        const SOCKS4_PASSWORD: &str = "it has a password, and SOCKS 4 knows only user names";
        const SOCKS5_LENGTH: &str =
            "its user name or password is longer than the 255 bytes that SOCKS 5 allows";
        let long = "x".repeat(256);
        for (value, problem) in [
            ("ftp://proxy:1", SCHEME),
            ("socks6://proxy", SCHEME),
            ("direct://", SCHEME),
            ("://proxy", SCHEME),
            ("user:http://proxy", SCHEME),
            ("http://proxy:1/path", PATH),
            ("http://proxy//", PATH),
            ("/nonsense", PATH),
            ("http://user:p/ss@proxy:1", PATH),
            ("http://user:p#ss@proxy:1", PATH),
            ("http://user:p?ss@proxy:1", PATH),
            ("http://proxy:1?x", PATH),
            ("http://pro\\xy:1", HOST),
            ("http:\\\\proxy:1", HOST),
            ("http://http://proxy:1", PATH),
            ("http://proxy:99999", PORT),
            ("http://proxy:65536", PORT),
            ("http://proxy:0", PORT),
            ("http://proxy:", PORT),
            ("http://proxy:abc", PORT),
            ("http://proxy:+80", PORT),
            ("http://proxy:1:2", HOST),
            ("http:proxy:1", HOST),
            ("http://::1", HOST),
            ("http://[::1]:x", PORT),
            ("http://", HOST),
            ("http://:3128", HOST),
            ("http://user:pass@", HOST),
            ("http://user:pass@:1", HOST),
            (" ", HOST),
            ("http://pro xy:1", HOST),
            ("http://[proxy]:1", HOST),
            ("http://[127.0.0.1]:1", HOST),
            ("http://[::1:1", HOST),
            ("http://[::1]x:1", HOST),
            ("http://[fe80::1%25eth0]:1", HOST),
            ("http://pr%6fxy:1", HOST),
            ("http://b\u{fc}cher.example:1", ASCII),
            ("http://proxy,other:1", HOST),
            ("http://user:%ff@proxy:1", LOGIN),
            ("http://user:a%0d%0ab@proxy:1", LOGIN),
            ("http://us%00er@proxy:1", LOGIN),
            ("\"http://proxy:1\"", QUOTES),
            ("'proxy:1'", QUOTES),
            ("\"http://proxy:1", QUOTES),
            ("socks4://user:pass@proxy", SOCKS4_PASSWORD),
            ("socks4a://:pass@proxy", SOCKS4_PASSWORD),
            (&format!("socks5://{long}@proxy"), SOCKS5_LENGTH),
            (&format!("socks5h://user:{long}@proxy"), SOCKS5_LENGTH),
        ] {
            let error = named(value).unwrap_err();
            let message = format!("HTTPS_PROXY does not name a usable proxy: {problem}");
            assert_eq!(
                (error.kind, error.message.to_string()),
                (Kind::Usage, message),
                "{value}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_utf8_is_an_error() {
        use std::os::unix::ffi::OsStringExt;
        let Ok(endpoint) = Endpoint::parse("https://host") else {
            panic!("the URL is good")
        };
        let get = |name: &str| {
            (name == "all_proxy").then(|| OsString::from_vec(b"http://\xff:1".to_vec()))
        };
        let error = choose(&endpoint, get).unwrap_err();
        assert_eq!(
            error.message.to_string(),
            "all_proxy does not name a usable proxy: it is not UTF-8"
        );
    }

    #[test]
    fn the_hosts_that_no_proxy_covers_are_reached_directly() {
        const NAME: &str = "https://search.clado.ai";
        for (url, list, direct) in [
            (NAME, "search.clado.ai", true),
            (NAME, "SEARCH.Clado.AI", true),
            (NAME, "clado.ai", true),
            (NAME, ".clado.ai", true),
            (NAME, "*.clado.ai", true),
            (NAME, "ai", true),
            (NAME, "search.clado.ai.", true),
            (NAME, "*", true),
            (NAME, " * ", true),
            (NAME, "localhost, search.clado.ai", true),
            (NAME, "localhost search.clado.ai", true),
            (NAME, "localhost,\tclado.ai ,", true),
            (NAME, "search.clado.ai:443", false),
            (NAME, "lado.ai", false),
            (NAME, "earch.clado.ai", false),
            (NAME, "*arch.clado.ai", false),
            (NAME, "www.search.clado.ai", false),
            (NAME, "search.clado.ai.example", false),
            (NAME, "search.*", false),
            (NAME, "foo,*", false),
            (NAME, ".", false),
            (NAME, ",", false),
            (NAME, "https://search.clado.ai", false),
            (NAME, "10.0.0.0/8,127.0.0.1,::1", false),
            (NAME, "0.0.0.0/0", false),
            ("https://search.clado.ai.", "clado.ai", true),
            ("https://search.clado.ai:8443", "clado.ai", true),
            ("https://10.1.2.3", "10.1.2.3", true),
            ("https://10.1.2.3", "10.0.0.0/8", true),
            ("https://10.1.2.3", "10.1.2.4/30", false),
            ("https://10.1.2.3", "10.9.9.9/8", true),
            ("https://10.1.2.3", "10.1.2.3/32", true),
            ("https://10.1.2.3", "0.0.0.0/0", true),
            ("https://10.1.2.3", "::/0", false),
            ("https://10.1.2.3", "10.0.0.0/33", false),
            ("https://10.1.2.3", "10.1.2", false),
            ("https://10.1.2.3", "2.3", false),
            ("https://10.1.2.3", ".3", false),
            ("https://10.1.2.3", "*.2.3", false),
            ("https://10.1.2.3:8443", "10.1.2.3", true),
            ("https://10.1.2.3:8443", "10.1.2.3:8443", false),
            ("https://[2001:db8::1]", "2001:db8::1", true),
            ("https://[2001:db8::1]", "[2001:DB8:0::1]", true),
            ("https://[2001:db8::1]", "[2001:db8::1]:443", false),
            ("https://[2001:db8::1]", "2001:db8::/32", true),
            ("https://[2001:db8::1]", "2001:db9::/32", false),
            ("https://[::ffff:10.1.2.3]", "10.0.0.0/8", true),
        ] {
            assert_eq!(
                is_direct(url, &[("HTTPS_PROXY", "proxy:1"), ("NO_PROXY", list)]),
                direct,
                "{url} {list}"
            );
        }
    }

    #[cfg(not(windows))] // There the names have no case.
    #[test]
    fn the_lower_case_no_proxy_counts_first() {
        let with = |list: Environment| {
            is_direct(
                "https://host",
                &[list, &[("https_proxy", "proxy:1")]].concat(),
            )
        };
        assert!(with(&[("no_proxy", "host"), ("NO_PROXY", "other")]));
        assert!(!with(&[("no_proxy", "other"), ("NO_PROXY", "host")]));
        assert!(with(&[("NO_PROXY", "host")]));
        assert!(!with(&[]));
        // A host that is reached directly needs no usable proxy.
        assert!(is_direct(
            "https://host",
            &[("https_proxy", "http://:x"), ("NO_PROXY", "host")]
        ));
    }

    #[test]
    fn the_reason_for_no_proxy_is_known() {
        let excepted = |variable: &'static str, entry: &'static str| WhyDirect::Excepted {
            variable: variable.into(),
            entry: entry.into(),
        };
        let not_set = |http_proxy: Option<&'static str>| WhyDirect::NotSet {
            http_proxy: http_proxy.map(Shown::from),
        };
        let proxy = ("HTTPS_PROXY", "proxy:1");
        for (url, environment, expected) in [
            ("http://localhost", &[proxy][..], WhyDirect::PlainHttp),
            ("https://host", &[], not_set(None)),
            ("https://host", &[("NO_PROXY", "host")], not_set(None)),
            (
                "https://host",
                &[("HTTP_PROXY", "proxy:1"), ("NO_PROXY", "host")],
                not_set(Some("HTTP_PROXY")),
            ),
            (
                "https://a.host",
                &[proxy, ("NO_PROXY", "b.host, .HOST,a.host")],
                excepted("NO_PROXY", ".HOST"),
            ),
            (
                "https://10.1.2.3",
                &[proxy, ("NO_PROXY", "b.host 10.0.0.0/8")],
                excepted("NO_PROXY", "10.0.0.0/8"),
            ),
            (
                "https://host",
                &[proxy, ("NO_PROXY", " * ")],
                excepted("NO_PROXY", "*"),
            ),
        ] {
            match chosen(url, environment).unwrap() {
                Route::Direct(why) => assert_eq!(why, expected, "{url} {environment:?}"),
                Route::Through(proxy) => panic!("{url} {environment:?}: {}", proxy.name),
            }
        }
    }

    proptest! {
        #[test]
        fn no_value_panics_or_shows_its_password(
            scheme in "(https?://|socks[45]h?://|[a-z]{0,4}:?/{0,2})",
            login in "[a-z%0-9]{0,3}:?",
            secret in "S3CRET[%@:/?#\\[\\]\\\\ a-z0-9]{0,6}",
            rest in "@?(\\[[0-9a-f:]{0,9}\\]|[a-z.]{0,6})(:[0-9a-z]{0,5})?/?",
            junk in "\\PC{0,30}",
        ) {
            for value in [format!("{scheme}{login}{secret}@{rest}"), junk.clone(), format!("{scheme}{junk}")] {
                let shown = format!("{:?}", chosen("https://host", &[("HTTPS_PROXY", &value)]));
                prop_assert!(!shown.contains("S3CRET"), "{} gives {}", value, shown);
            }
        }

        #[test]
        fn no_list_panics_and_an_entry_covers_itself(
            list in "[\\[\\]*.:/, a-z0-9]{0,30}|\\PC{0,30}",
            host in "[a-z][a-z0-9-]{0,5}(\\.[a-z]{1,5}){0,2}|10\\.[0-9]\\.[0-9]\\.[1-9]|\\[fd00::[1-9a-f]\\]",
        ) {
            let url = format!("https://{host}");
            let direct = |list: &str| is_direct(&url, &[("HTTPS_PROXY", "proxy:1"), ("NO_PROXY", list)]);
            let _ = direct(&list);
            for list in [format!("{list},{host}"), format!("{list} {host}")] {
                prop_assert!(direct(&list), "{}", list);
            }
        }
    }
}

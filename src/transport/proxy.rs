//! Decides the route: which proxy the environment asks for, and whether this host is excepted.
//!
//! As curl reads it (<https://curl.se/docs/manpage.html#ENVIRONMENT>), with one difference: what can't be
//! understood is an error here, never a direct connection that nobody asked for. Pure: the environment is
//! passed in.

use std::ffi::OsString;
use std::net::IpAddr;

use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use ureq::{Proxy, ProxyProtocol};

use super::Failure;
use crate::endpoint::Endpoint;

/// A proxy to go through.
#[derive(Debug)]
pub struct Route {
    /// The proxy as ureq takes it, password included.
    pub proxy: Proxy,
    /// The proxy as messages name it: scheme, host and port.
    pub label: String,
    /// The variable that names it.
    pub variable: &'static str,
}

/// The variables to look at, in order. For http the upper-case form is left out, as a web server sets
/// HTTP_PROXY from a request header for the programs it runs (CVE-2016-5385).
const FOR_HTTPS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const FOR_HTTP: [&str; 3] = ["http_proxy", "all_proxy", "ALL_PROXY"];
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// Picks the proxy for `endpoint`, `None` for a direct connection.
///
/// # Errors
/// [`Failure::BadProxy`] when the variable that counts holds what can't be understood.
pub fn choose(endpoint: &Endpoint, env: impl Fn(&str) -> Option<OsString>) -> Result<Option<Route>, Failure> {
    let set = |name: &&'static str| env(name).filter(|value| !value.is_empty()).map(|value| (*name, value));
    let variables: &[&'static str] = if endpoint.is_plain() { &FOR_HTTP } else { &FOR_HTTPS };
    let Some((variable, value)) = variables.iter().find_map(set) else {
        return Ok(None);
    };
    if let Some((_, list)) = EXCEPTIONS.iter().find_map(set)
        && is_excepted(endpoint.host(), endpoint.port(), &list.to_string_lossy())
    {
        return Ok(None);
    }
    let parsed = value.to_str().ok_or("it is not UTF-8").and_then(parse);
    let (proxy, label) = parsed.map_err(|problem| Failure::BadProxy { variable, problem })?;
    Ok(Some(Route { proxy, label, variable }))
}

/// Reads `[scheme://][user[:password]@]host[:port][/]`, and returns the proxy and how messages name it.
fn parse(value: &str) -> Result<(Proxy, String), &'static str> {
    let value = value.trim();
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    let scheme = scheme.to_ascii_lowercase();
    let protocol = match scheme.as_str() {
        "http" => ProxyProtocol::Http,
        "https" => ProxyProtocol::Https,
        "socks4" | "socks" => ProxyProtocol::Socks4,
        "socks4a" => ProxyProtocol::Socks4A,
        "socks5" => ProxyProtocol::Socks5,
        "socks5h" => ProxyProtocol::Socks5h,
        _ => return Err("its scheme is not http, https, socks4, socks4a, socks5 or socks5h"),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // In a user name or password these have to be percent-encoded; taken literally, the name of the host
    // would be a piece of the password.
    if rest.contains(['/', '?', '#', '\\']) {
        return Err("it has a path, or a user name or password that is not percent-encoded");
    }
    let (credentials, address) = match rest.rsplit_once('@') {
        Some((credentials, address)) => (Some(credentials), address),
        None => (None, rest),
    };
    let (host, port) = split_port(address).ok_or("its port is not a number from 1 to 65535")?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_sound = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    if !host_is_sound {
        return Err("its host is not a name or an address");
    }
    // curl's defaults.
    let port = port.unwrap_or(if protocol == ProxyProtocol::Https { 443 } else { 1080 });

    let mut proxy = Proxy::builder(protocol).host(host).port(port);
    if let Some(credentials) = credentials {
        let decode = |text: &str| {
            let text = percent_decode_str(text)
                .decode_utf8()
                .map_err(|_| "its user name or password is not UTF-8")?;
            let printable = !text.contains(char::is_control);
            printable.then(|| text.into_owned()).ok_or("its user name or password has a control character")
        };
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        proxy = proxy.username(&decode(user)?).password(&decode(password)?);
    }
    let proxy = proxy.build().map_err(|_| "it is not a URL")?;
    Ok((proxy, format!("{scheme}://{host}:{port}")))
}

/// Splits `host:port`, where an IPv6 address stands in brackets. `None` when the port is no port.
fn split_port(address: &str) -> Option<(&str, Option<u16>)> {
    let after_host = address.rfind(']').map_or(0, |bracket| bracket + 1);
    match address[after_host..].find(':') {
        None => Some((address, None)),
        Some(colon) => {
            let (host, port) = address.split_at(after_host + colon);
            let port = port[1..].bytes().all(|b| b.is_ascii_digit()).then(|| port[1..].parse().ok())??;
            (port > 0).then_some((host, Some(port)))
        }
    }
}

/// Whether `host` is in a `NO_PROXY` list: names cover what is below them, with or without a leading dot;
/// addresses and ranges cover addresses; a port narrows an entry; `*` alone covers everything.
fn is_excepted(host: &str, port: u16, list: &str) -> bool {
    if list.trim() == "*" {
        return true;
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let entries = list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
    entries.map(str::to_ascii_lowercase).any(|entry| {
        let covers = |entry: &str| match address {
            Some(address) => {
                let entry =
                    entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
                entry.parse::<IpAddr>().is_ok_and(|entry| entry.to_canonical() == address)
                    || entry.parse::<IpNet>().is_ok_and(|range| range.contains(&address))
            }
            None => {
                let domain = entry.strip_prefix('*').unwrap_or(entry).trim_matches('.');
                let above = host.strip_suffix(domain);
                !domain.is_empty() && above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
        };
        covers(&entry)
            || matches!(split_port(&entry), Some((name, Some(only))) if only == port && covers(name))
    })
}

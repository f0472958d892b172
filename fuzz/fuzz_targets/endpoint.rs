//! Base URLs: plain http goes to this machine only, and the URL that is asked has the host that was checked.

#![no_main]

use std::net::IpAddr;

use clado_credits::endpoint::{Endpoint, PATH};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|base: &str| {
    let Ok(endpoint) = Endpoint::parse(base) else {
        return;
    };
    let uri = endpoint.uri();
    let host = uri.host().expect("a host");
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    assert_eq!(endpoint.host(), host);
    let is_loopback = match host.parse() {
        Ok(IpAddr::V4(address)) => address.octets()[0] == 127,
        Ok(IpAddr::V6(address)) => {
            address.is_loopback()
                || address
                    .to_ipv4_mapped()
                    .is_some_and(|address| address.octets()[0] == 127)
        }
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    };
    match uri.scheme_str() {
        Some("https") => assert!(!endpoint.is_unencrypted()),
        Some("http") => assert!(endpoint.is_unencrypted() && is_loopback),
        scheme => panic!("{scheme:?}"),
    }
    assert_ne!(endpoint.port(), 0);
    assert!(uri.path().ends_with(PATH));
    assert_eq!(uri.query(), None);
    assert!(!endpoint.authority().contains('@'));
    // As the program sends it and shows it.
    assert!(
        uri.to_string()
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || !byte.is_ascii()),
        "{uri}"
    );
});

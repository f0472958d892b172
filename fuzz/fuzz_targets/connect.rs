//! A proxy's answer to CONNECT: only a 2xx is a connection.

#![no_main]

use std::cell::LazyCell;

use clado_credits::endpoint::Endpoint;
use clado_credits::proxy::{Proxy, Route, choose};
use clado_credits::transport::tunnel::judge;
use clado_credits_fuzz::assert_shown;
use libfuzzer_sys::fuzz_target;

/// The longest message: the proxy, the target and 200 characters of a redirect.
const MAX_MESSAGE: usize = 400;

thread_local! {
    static PROXY: LazyCell<Proxy> = LazyCell::new(|| {
        let Ok(endpoint) = Endpoint::parse("https://host") else { panic!() };
        let set = |name: &str| (name == "https_proxy").then(|| "http://proxy:3128".into());
        let Ok(Route::Through(proxy)) = choose(&endpoint, set) else { panic!() };
        proxy
    });
}

fuzz_target!(|head: &[u8]| {
    match PROXY.with(|proxy| judge(head, "host:443", proxy)) {
        Ok(()) => assert_connected(head),
        Err(error) => assert_shown(error.message, MAX_MESSAGE),
    }
});

/// Checks that an answer that was accepted starts with a 2xx.
fn assert_connected(head: &[u8]) {
    let text = String::from_utf8_lossy(head);
    let mut words = text.split_ascii_whitespace();
    let version = words.next();
    assert!(matches!(version, Some("HTTP/1.0" | "HTTP/1.1")), "{text}");
    let status = words.next().unwrap_or_default();
    assert!(status.len() == 3 && status.starts_with('2'), "{text}");
}

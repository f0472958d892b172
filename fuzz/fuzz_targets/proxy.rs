//! Proxy variables: a password is never shown, and plain http has no proxy. The input is up to three lines: the proxy,
//! the hosts to reach directly, and the URL.

#![no_main]

use clado_credits::endpoint::{DEFAULT_URL, Endpoint};
use clado_credits::proxy::{Route, WhyDirect, choose};
use clado_credits_fuzz::assert_shown;
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "S3CRET";

fuzz_target!(|lines: &str| {
    if lines.contains(SECRET) {
        return;
    }
    let mut lines = lines.split('\n');
    let proxy = lines.next().unwrap_or_default();
    let exceptions = lines.next().unwrap_or_default();
    let Ok(endpoint) = Endpoint::parse(lines.next().unwrap_or(DEFAULT_URL)) else {
        return;
    };
    // What is in front of the last @ is a user name and a password.
    let proxy = match proxy.rsplit_once('@') {
        Some((login, host)) => format!("{login}{SECRET}@{host}"),
        None => proxy.to_owned(),
    };
    let result = choose(&endpoint, |name| match name {
        "https_proxy" => Some(proxy.clone().into()),
        "no_proxy" => Some(exceptions.into()),
        _ => None,
    });
    assert!(!format!("{result:?}").contains(SECRET), "{result:?}");
    match result {
        Ok(Route::Through(proxy)) => {
            assert!(!endpoint.is_unencrypted() && exceptions.trim() != "*");
            assert_shown(proxy.name, usize::MAX);
        }
        Ok(Route::Direct(WhyDirect::PlainHttp)) => assert!(endpoint.is_unencrypted()),
        Ok(Route::Direct(WhyDirect::Excepted { .. })) => assert!(!exceptions.trim().is_empty()),
        Ok(Route::Direct(WhyDirect::NotSet { .. })) => panic!("a proxy is set"),
        Err(error) => assert_shown(error.message, 200),
    }
});

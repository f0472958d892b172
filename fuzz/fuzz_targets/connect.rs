//! A proxy's answer to CONNECT: it counts only when its head is complete, and only a 2xx is a connection.

#![no_main]

use std::cell::LazyCell;

use clado_credits::endpoint::Endpoint;
use clado_credits::proxy::{Proxy, choose};
use clado_credits::transport::tunnel::{Answer, parse_answer};
use clado_credits_fuzz::assert_shown;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static PROXY: LazyCell<Proxy> = LazyCell::new(|| {
        let Ok(endpoint) = Endpoint::parse("https://host") else { panic!() };
        choose(&endpoint, |name| (name == "https_proxy").then(|| "http://proxy:3128".into())).unwrap().unwrap()
    });
}

fuzz_target!(|head: &[u8]| {
    // As `pass` does it: at the end of each line, until there is an answer.
    for (end, byte) in head.iter().enumerate() {
        if *byte != b'\n' {
            continue;
        }
        let head = &head[..=end];
        match PROXY.with(|proxy| parse_answer(head, proxy)) {
            Ok(Answer::Incomplete) => {}
            Ok(Answer::Connected) => {
                assert_connected(head);
                return;
            }
            Err(error) => {
                assert_shown(error.message, 200);
                return;
            }
        }
    }
});

/// Checks that the head of an answer that was accepted is complete and has a 2xx.
fn assert_connected(head: &[u8]) {
    assert!(head.ends_with(b"\n\n") || head.ends_with(b"\n\r\n"));
    let start = head.trim_ascii_start();
    let is_success = start.starts_with(b"HTTP/1.") && start[8] == b' ' && start[9] == b'2';
    assert!(is_success, "{}", head.escape_ascii());
}

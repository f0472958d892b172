//! A proxy's answer to CONNECT: it counts only when its head is complete, and only a 2xx is a connection.

#![no_main]

use std::cell::LazyCell;

use clado_credits_fuzz::assert_shown;
use clado_credits_fuzz::endpoint::Endpoint;
use clado_credits_fuzz::transport::proxy::{Proxy, choose};
use clado_credits_fuzz::transport::tunnel::answer;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static PROXY: LazyCell<Proxy> = LazyCell::new(|| {
        let Ok(endpoint) = Endpoint::parse("https://host") else { panic!() };
        choose(&endpoint, |name| (name == "https_proxy").then(|| "http://proxy:3128".into())).unwrap().unwrap()
    });
}

fuzz_target!(|head: &[u8]| {
    // As `pass` does it: at the end of each line, until there is an answer.
    let lines = head.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let answers = lines.map(|(end, _)| &head[..=end]);
    let first = PROXY.with(|proxy| {
        answers
            .filter_map(|head| Some((head, answer(head, proxy)?)))
            .next()
    });
    match first {
        None => {}
        Some((head, Ok(()))) => {
            assert!(head.ends_with(b"\n\n") || head.ends_with(b"\n\r\n"));
            let start = head.trim_ascii_start();
            assert!(
                start.starts_with(b"HTTP/1.") && start[8] == b' ' && start[9] == b'2',
                "{}",
                head.escape_ascii()
            );
        }
        Some((_, Err(error))) => assert_shown(error.message, 200),
    }
});

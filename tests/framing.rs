//! How replies are framed: what curl reads is read; what is cut short, malformed or endless is not a balance.

use std::io::{Read, Write};

use crate::common::messages;
use crate::common::server::Server;
use crate::common::{BALANCE, ask, expect_balance, expect_error, expect_json_error, run};

/// The end of a head, and the balance with its length.
fn with_length() -> String {
    format!("Content-Length: {}\r\n\r\n{BALANCE}", BALANCE.len())
}

/// The balance in two chunks, with `extension` after the size of the first, and `trailers` after the last.
fn in_chunks(extension: &str, trailers: &str) -> String {
    let (first, second) = BALANCE.split_at(10);
    let length = second.len();
    format!(
        "Transfer-Encoding: chunked\r\n\r\na{extension}\r\n{first}\r\n{length:X}\r\n{second}\r\n0\r\n{trailers}\r\n"
    )
}

/// Sends `reply` and leaves the connection open until the client closes it.
fn staying_open(reply: impl Into<Vec<u8>>) -> Server {
    let reply = reply.into();
    Server::replying(move |stream| {
        let _ = stream.write_all(&reply);
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

/// Expects exit code 8 with this message, and a hint at the URL: something else than the API may have answered.
#[track_caller]
fn expect_unexpected_reply(server: &Server, message: &str) {
    let hint = messages::check_url(&server.url());
    let mut command = ask(&server.url());
    let error = expect_error(&mut command, 8, "unexpected_reply", message, Some(&hint));
    assert_eq!(error["retryable"], false);
}

#[test]
fn every_framing_that_curl_reads_is_read() {
    let length = with_length();
    let many = (0..100)
        .map(|n| format!("X-Header-{n}: {n}\r\n"))
        .collect::<String>();
    for reply in [
        format!("HTTP/1.1 200 OK\r\n{length}"),
        format!("HTTP/1.1 200 OK\r\n{}", in_chunks("", "")),
        format!("HTTP/1.1 200 OK\r\n{}", in_chunks(";name=value", "")),
        format!(
            "HTTP/1.1 200 OK\r\n{}",
            in_chunks(" ", "X-Checksum: 1\r\nX-More: 2\r\n")
        ),
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n{}",
            in_chunks("", "")
        ),
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{BALANCE}"),
        format!("HTTP/1.1 200 OK\r\n\r\n{BALANCE}"),
        format!("HTTP/1.0 200 OK\r\n\r\n{BALANCE}"),
        format!("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n{length}"),
        format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n{length}"),
        format!("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 \r\n\r\nHTTP/1.1 200 OK\r\n{length}"),
        format!(
            "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n{length}"
        ),
        format!("HTTP/1.1 200\r\n{length}"),
        format!("HTTP/1.1 200 \r\n{length}"),
        format!("HTTP/1.1 200 Everything is (fine), 100%\r\n{length}"),
        format!("HTTP/1.1 200 D\u{e9}j\u{e0} vu\r\n{length}"),
        format!(
            "HTTP/1.1 200 OK\nContent-Length: {}\n\n{BALANCE}",
            BALANCE.len()
        ),
        format!("HTTP/1.1 200 OK\r\n{}", length.to_lowercase()),
        format!(
            "HTTP/1.1 200 OK\r\nCONTENT-LENGTH:{}\r\n\r\n{BALANCE}",
            BALANCE.len()
        ),
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{length}",
            BALANCE.len()
        ),
        format!("HTTP/1.1 200 OK\r\nX-Empty:\r\nX-Latin: caf\u{e9}\r\n{many}{length}"),
        format!(
            "HTTP/1.1 200 OK\r\nX-Long: {}\r\n{length}",
            "x".repeat(65_400)
        ),
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\n{length}"),
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: IDENTITY\r\n{length}"),
        format!("HTTP/1.1 200 OK\r\n{length}and what nobody asked for"),
    ] {
        let server = Server::sending(reply);
        expect_balance(&mut ask(&server.url()));
    }
}

#[test]
fn a_reply_in_single_bytes_is_read_too() {
    let server = Server::replying(|stream| {
        for byte in format!("HTTP/1.1 200 OK\r\n{}", in_chunks("", "")).bytes() {
            let _ = stream.write_all(&[byte]);
        }
    });
    expect_balance(&mut ask(&server.url()));
}

#[test]
fn a_reply_is_read_no_further_than_it_says() {
    // A client that waited for the end of the connection would run into the deadline.
    for body in [with_length(), in_chunks("", "")] {
        let server = staying_open(format!("HTTP/1.1 200 OK\r\n{body}"));
        expect_balance(&mut ask(&server.url()));
    }
    let server = staying_open("HTTP/1.1 204 No Content\r\n\r\n");
    let message = messages::unexpected_reply(204);
    let mut command = ask(&server.url());
    expect_error(&mut command, 8, "unexpected_reply", &message, None);
}

#[test]
fn what_curl_reads_and_ureq_does_not_is_refused_and_never_misread() {
    let length = with_length();
    let many = "X: x\r\n".repeat(129);
    for reply in [
        format!("HTTP/1.1 100 Continue\r\nDate: now\r\n\r\nHTTP/1.1 200 OK\r\n{length}"),
        format!("HTTP/1.1 200 OK\r\n{many}{length}"),
        format!(
            "HTTP/1.1 200 OK\r\n{}",
            in_chunks(";an-extension=of-some-length", "")
        ),
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: +{}\r\n\r\n{BALANCE}",
            BALANCE.len()
        ),
        format!("HTTP/1.0 200 OK\r\n{}", in_chunks("", "")),
        format!("HTTP/2 200\r\n{length}"),
    ] {
        let server = Server::sending(reply);
        expect_json_error(&mut ask(&server.url()), 8, "unexpected_reply");
    }
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const TOO_LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
const HALF: &str = r#"{"credits": 247"#;

/// The hint for a server that may have been waiting for TLS.
const TLS_PORT: &str = "if the port is one for TLS, use https:// in CLADO_API_URL";

#[test]
fn a_head_that_is_cut_short_is_a_lost_connection() {
    for (reply, hint) in [
        ("", Some(TLS_PORT)),
        ("HTTP/1.1 200 OK\r\nContent-Le", None),
        ("HTTP/1.1 100 Continue\r\n\r\n", None),
    ] {
        let server = Server::sending(reply);
        let message = messages::lost_connection(server.address, messages::CLOSED);
        let error = expect_error(&mut ask(&server.url()), 7, "network", &message, hint);
        assert_eq!(
            (&error["status"], &error["retryable"]),
            (&serde_json::Value::Null, &true.into())
        );
    }
}

#[test]
fn a_body_that_is_cut_short_is_a_lost_connection() {
    let size = BALANCE.len();
    for reply in [
        format!("{TOO_LONG}{BALANCE}"),
        CHUNKED.to_owned(),
        format!("{CHUNKED}f\r\n"),
        format!("{CHUNKED}f\r\n{HALF}"),
        format!("{CHUNKED}f\r\n{HALF}\r\n"),
        format!("{CHUNKED}ff\r\n{HALF}"),
        format!("{CHUNKED}{size:x}\r\n{BALANCE}\r\n"),
    ] {
        let server = Server::sending(reply);
        let lost = messages::lost_connection(server.address, messages::CLOSED);
        let message = format!("{lost} (HTTP 200)");
        let error = expect_error(&mut ask(&server.url()), 7, "network", &message, None);
        assert_eq!(
            (&error["status"], &error["retryable"]),
            (&200.into(), &true.into())
        );
    }
}

#[test]
fn half_a_balance_is_not_a_balance_where_nothing_says_how_long_it_is() {
    let server = Server::sending(format!("HTTP/1.0 200 OK\r\n\r\n{HALF}"));
    let run = run(&mut ask(&server.url()));
    assert!(
        run.stderr
            .starts_with(&format!("error: {} (HTTP 200)\n", messages::NOT_JSON)),
        "{run:?}"
    );
    assert_eq!((run.code, run.stdout.as_str()), (Some(8), ""));
}

/// The system describes the reset; this is how Unix does it.
#[cfg(unix)]
#[test]
fn a_reply_that_ends_in_a_reset_is_a_lost_connection() {
    use crate::common::server::reset_on_close;
    for (reply, status) in [
        ("HTTP/1.1 200 OK\r\nContent-Le".to_owned(), ""),
        (format!("{TOO_LONG}{BALANCE}"), " (HTTP 200)"),
        (format!("{CHUNKED}ff\r\n{HALF}"), " (HTTP 200)"),
        // Nothing says how long it is, but a reset does not end it properly.
        (format!("HTTP/1.0 200 OK\r\n\r\n{HALF}"), " (HTTP 200)"),
        (format!("HTTP/1.0 200 OK\r\n\r\n{BALANCE}"), " (HTTP 200)"),
    ] {
        let server = Server::replying(move |stream| {
            let _ = stream.write_all(reply.as_bytes());
            // So that what was sent is read first.
            std::thread::sleep(std::time::Duration::from_millis(100));
            reset_on_close(stream);
        });
        let address = server.address;
        let message = messages::lost_connection(address, messages::RESET) + status;
        expect_error(&mut ask(&server.url()), 7, "network", &message, None);
    }
}

#[test]
fn a_server_that_wants_tls_where_the_url_says_http_is_recognised() {
    use crate::common::server::reset_on_close;
    let alert = Server::sending(b"\x15\x03\x01\x00\x02\x02\x46");
    let message = format!("{} answered in TLS instead of HTTP", alert.address);
    let mut command = ask(&alert.url());
    let error = expect_error(
        &mut command,
        8,
        "unexpected_reply",
        &message,
        Some(TLS_PORT),
    );
    assert_eq!(error["retryable"], false);

    let resetting = Server::replying(|stream| reset_on_close(stream));
    let mut command = ask("");
    command.args(["--api-url", &resetting.url()]);
    let error = expect_json_error(&mut command, 7, "network");
    let hint = "if the port is one for TLS, use https:// in --api-url";
    assert_eq!(error["hint"], hint);
    assert_eq!(error["retryable"], true);
}

#[test]
fn a_reply_that_is_not_http_is_unexpected() {
    for reply in [
        BALANCE.as_bytes(),
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"ICY 200 OK\r\n\r\n{}",
        b"HTTP/2 200 OK\r\n\r\n{}",
        b"HTTP/1.2 200 OK\r\n\r\n{}",
        b"HTTP/1.1 099 Odd\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
        // HTTP/2's SETTINGS.
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80",
    ] {
        let server = Server::sending(reply);
        let message = format!("{} sent a reply that is not valid HTTP", server.address);
        expect_unexpected_reply(&server, &message);
    }
}

#[test]
fn a_body_without_a_valid_length_is_unexpected_however_the_connection_ends() {
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    for head in [
        format!("Content-Length: 1\r\nContent-Length: 2\r\n\r\n{BALANCE}"),
        format!("Content-Length: -1\r\n\r\n{BALANCE}"),
        format!("Content-Length: abc\r\n\r\n{BALANCE}"),
        format!("Content-Length: \r\n\r\n{BALANCE}"),
        format!("Content-Length: 99999999999999999999\r\n\r\n{BALANCE}"),
        format!("{chunked}xyz\r\n{BALANCE}\r\n0\r\n\r\n"),
        format!("{chunked}-5\r\n{BALANCE}\r\n0\r\n\r\n"),
        format!("{chunked}fffffffffffffffff\r\n{BALANCE}\r\n0\r\n\r\n"),
        format!("{chunked}5\r\n{BALANCE}\r\n0\r\n\r\n"),
        format!("{chunked}\r\n{BALANCE}\r\n0\r\n\r\n"),
    ] {
        let reply = format!("HTTP/1.1 200 OK\r\n{head}");
        for server in [Server::sending(reply.clone()), staying_open(reply)] {
            expect_json_error(&mut ask(&server.url()), 8, "unexpected_reply");
        }
    }
}

/// Sends `start`, and then `more` for as long as it is read.
fn sending_without_end(start: &'static str, more: &'static str) -> Server {
    let more = more.repeat(1 + 16_000 / more.len());
    Server::replying(move |stream| {
        let _ = stream.write_all(start.as_bytes());
        while stream.write_all(more.as_bytes()).is_ok() {}
    })
}

#[test]
fn a_head_without_an_end_is_not_read_to_its_end() {
    for start in ["HTTP/1.1 200 ", "HTTP/1.1 200 OK\r\nX: "] {
        let server = sending_without_end(start, "x");
        let message = messages::too_large(server.address);
        expect_unexpected_reply(&server, &message);
    }
    let server = sending_without_end("HTTP/1.1 200 OK\r\n", "X-Short: and many of them\r\n");
    let message = format!(
        "{} sent a reply with more than 128 header lines",
        server.address
    );
    expect_unexpected_reply(&server, &message);
}

#[test]
fn a_body_without_an_end_is_not_read_to_its_end() {
    for (start, more) in [
        ("HTTP/1.1 200 OK\r\n\r\n", "x"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999\r\n\r\n",
            "{",
        ),
        (CHUNKED, "5\r\n     \r\n"),
        (CHUNKED, "0"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
            "x",
        ),
    ] {
        let server = sending_without_end(start, more);
        let message = messages::too_large(server.address) + " (HTTP 200)";
        expect_unexpected_reply(&server, &message);
    }
}

#[test]
fn a_status_without_a_body_is_reported_like_any_other() {
    for (head, status) in [
        ("204 No Content", 204),
        ("206 Partial Content\r\nContent-Range: bytes 0-9/57", 206),
        ("101 Switching Protocols\r\nUpgrade: h2c", 101),
        ("407 Proxy Authentication Required", 407),
        ("999 Odd", 999),
        ("503", 503),
    ] {
        for end in [
            "\r\n\r\n",
            "\r\nContent-Length: 0\r\n\r\n",
            "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ] {
            let server = Server::sending(format!("HTTP/1.1 {head}{end}"));
            let mut command = ask(&server.url());
            if status == 503 {
                let message = messages::service_failed(503);
                let hint = Some(messages::TRY_LATER);
                expect_error(&mut command, 5, "server_error", &message, hint);
            } else {
                let message = messages::unexpected_reply(status);
                expect_error(&mut command, 8, "unexpected_reply", &message, None);
            }
        }
    }
}

//! How replies are framed: what curl reads is read; what is cut short, malformed or endless is no balance.

use std::io::Write;
use std::net::TcpStream;

use crate::common::net::{expect_balance, expect_failure, listen, reset};
use crate::common::{BALANCE, Raw, asking, read_head};

/// The end of a head, and the balance with its length.
fn with_length() -> String {
    format!("Content-Length: {}\r\n\r\n{BALANCE}", BALANCE.len())
}

/// The balance in two chunks, with this after the size of the first and this between the last and the end.
fn chunks(extension: &str, trailers: &str) -> String {
    let (first, second) = BALANCE.split_at(10);
    let length = second.len();
    format!(
        "Transfer-Encoding: chunked\r\n\r\na{extension}\r\n{first}\r\n{length:X}\r\n{second}\r\n0\r\n{trailers}\r\n"
    )
}

#[test]
fn every_framing_that_curl_reads_is_read() {
    let length = with_length();
    let many = (0..100).map(|n| format!("X-Header-{n}: {n}\r\n")).collect::<String>();
    for reply in [
        format!("HTTP/1.1 200 OK\r\n{length}"),
        format!("HTTP/1.1 200 OK\r\n{}", chunks("", "")),
        format!("HTTP/1.1 200 OK\r\n{}", chunks(";name=value", "")),
        format!("HTTP/1.1 200 OK\r\n{}", chunks(" ", "X-Checksum: 1\r\nX-More: 2\r\n")),
        format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n{}", chunks("", "")),
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{BALANCE}"),
        format!("HTTP/1.1 200 OK\r\n\r\n{BALANCE}"),
        format!("HTTP/1.0 200 OK\r\n\r\n{BALANCE}"),
        format!("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n{length}"),
        format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n{length}"),
        format!("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 \r\n\r\nHTTP/1.1 200 OK\r\n{length}"),
        format!("HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n{length}"),
        format!("HTTP/1.1 200\r\n{length}"),
        format!("HTTP/1.1 200 \r\n{length}"),
        format!("HTTP/1.1 200 Everything is (fine), 100%\r\n{length}"),
        format!("HTTP/1.1 200 D\u{e9}j\u{e0} vu\r\n{length}"),
        format!("HTTP/1.1 200 OK\nContent-Length: {}\n\n{BALANCE}", BALANCE.len()),
        format!("HTTP/1.1 200 OK\r\n{}", length.to_lowercase()),
        format!("HTTP/1.1 200 OK\r\nCONTENT-LENGTH:{}\r\n\r\n{BALANCE}", BALANCE.len()),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{length}", BALANCE.len()),
        format!("HTTP/1.1 200 OK\r\nX-Empty:\r\nX-Latin: caf\u{e9}\r\n{many}{length}"),
        format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n{length}", "x".repeat(60_000)),
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\n{length}"),
        format!("HTTP/1.1 200 OK\r\n{length}and what nobody asked for"),
    ] {
        let server = Raw::sending(reply);
        expect_balance(&mut asking(&server.url()));
    }
}

#[test]
fn a_reply_in_single_bytes_is_read_too() {
    let (address, _) = listen(|mut stream| {
        read_head(&mut stream);
        for byte in format!("HTTP/1.1 200 OK\r\n{}", chunks("", "")).bytes() {
            let _ = stream.write_all(&[byte]);
        }
    });
    expect_balance(&mut asking(&format!("http://{address}")));
}

/// Expects this failure after `reply`, when the connection is closed, reset or kept open as said.
#[track_caller]
fn fails(reply: &[u8], ending: Ending, exit: i32, kind: &str, error: &str) {
    let reply = reply.to_vec();
    let (address, _) = listen(move |mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(&reply);
        match ending {
            Ending::Fin => {}
            Ending::Rst => {
                // So that what was sent is read first.
                std::thread::sleep(std::time::Duration::from_millis(100));
                reset(&stream);
            }
            Ending::Open => drop(std::io::copy(&mut stream, &mut std::io::sink())),
        }
    });
    let error = error.replace("{}", &address.to_string());
    expect_failure(&mut asking(&format!("http://{address}")), exit, kind, &error, None);
}

#[derive(Clone, Copy)]
enum Ending {
    Fin,
    Rst,
    Open,
}
use Ending::{Fin, Open, Rst};

#[cfg(unix)] // The system's words.
#[test]
fn a_reply_that_is_cut_short_is_a_lost_connection() {
    let closed = "{} closed the connection before its reply was complete";
    let silent = "{} closed the connection without a reply";
    let reset = "the connection to {} was lost: connection reset by peer";
    let half = &BALANCE[..15];
    let short = format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{BALANCE}");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (reply, ending, error) in [
        (String::new(), Fin, silent),
        (String::new(), Rst, reset),
        ("HTTP/1.1 200 OK\r\nContent-Le".to_owned(), Fin, silent),
        ("HTTP/1.1 100 Continue\r\n\r\n".to_owned(), Fin, silent),
        ("HTTP/1.1 200 OK\r\nContent-Le".to_owned(), Rst, reset),
        (short.clone(), Fin, closed),
        (short, Rst, reset),
        (chunked.to_owned(), Fin, closed),
        (format!("{chunked}a\r\n"), Fin, closed),
        (format!("{chunked}f\r\n{half}"), Fin, closed),
        (format!("{chunked}f\r\n{half}\r\n"), Fin, closed),
        (format!("{chunked}ff\r\n{half}"), Fin, closed),
        (format!("{chunked}ff\r\n{half}"), Rst, reset),
        (format!("{chunked}{:x}\r\n{BALANCE}\r\n", BALANCE.len()), Fin, closed),
        // Nothing says how long it is, but a reset is no end.
        (format!("HTTP/1.0 200 OK\r\n\r\n{half}"), Rst, reset),
        (format!("HTTP/1.0 200 OK\r\n\r\n{BALANCE}"), Rst, reset),
    ] {
        fails(reply.as_bytes(), ending, 7, "network", error);
    }
    // Nor does anything say here that it was cut; but half a balance is none.
    let reply = format!("HTTP/1.0 200 OK\r\n\r\n{half}");
    fails(reply.as_bytes(), Fin, 8, "unexpected_reply", "the reply is not JSON");
}

#[test]
fn a_reply_that_is_not_http_is_an_unexpected_one() {
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
        // HTTP/2's SETTINGS, and a TLS alert.
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80",
        b"\x15\x03\x01\x00\x02\x02\x46",
    ] {
        let server = Raw::sending(reply);
        let output = asking(&server.url()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        let expected = format!("error: {} sent a reply that is not HTTP: ", server.address);
        assert!(told.starts_with(&expected), "{}: {told}", reply.escape_ascii());
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(8), &b""[..]), "{told}");
    }
}

/// Whatever comes after these heads and however it ends, exit code 8 at once.
#[test]
fn a_body_of_no_sound_length_is_an_unexpected_reply() {
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
        for ending in [Fin, Open] {
            let reply = format!("HTTP/1.1 200 OK\r\n{head}");
            let (address, _) = listen(move |mut stream| {
                read_head(&mut stream);
                let _ = stream.write_all(reply.as_bytes());
                if matches!(ending, Open) {
                    let _ = std::io::copy(&mut stream, &mut std::io::sink());
                }
            });
            let output = asking(&format!("http://{address}")).arg("--json").output().unwrap();
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(
                (output.status.code(), output.stdout.as_slice()),
                (Some(8), &b""[..]),
                "{head}: {told}"
            );
            assert!(told.contains(r#""kind":"unexpected_reply""#), "{told}");
        }
    }
}

/// Sends `start`, and then `more` for as long as it is read.
fn endless(start: &'static str, more: &'static str) -> impl Fn(TcpStream) + Clone + Send {
    move |mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(start.as_bytes());
        let more = more.repeat(1 + 16_000 / more.len());
        while stream.write_all(more.as_bytes()).is_ok() {}
    }
}

#[test]
fn a_reply_without_an_end_is_given_up_quickly() {
    let long_head = "{} sent a reply that is not HTTP: its head is too long";
    let large = "the reply is larger than 64 KiB";
    for (start, more, error) in [
        ("HTTP/1.1 200 OK\r\nX: ", "x", long_head),
        ("HTTP/1.1 200 ", "x", long_head),
        (
            "HTTP/1.1 200 OK\r\n",
            "X-Long: a header line of some length, as there are many\r\n",
            "{} sent a reply that is not HTTP: http parse resulted in too many headers",
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", "x", large),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9999999999999\r\n\r\n", "{", large),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\n     \r\n", large),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "0", large),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", "x", large),
    ] {
        let (address, _) = listen(endless(start, more));
        let error = error.replace("{}", &address.to_string());
        expect_failure(&mut asking(&format!("http://{address}")), 8, "unexpected_reply", &error, None);
    }
}

#[test]
fn a_status_without_a_body_is_told_like_any_other() {
    for (head, exit, kind, error) in [
        ("204 No Content", 8, "unexpected_reply", "unexpected reply (HTTP 204)"),
        (
            "206 Partial Content\r\nContent-Range: bytes 0-9/57",
            8,
            "unexpected_reply",
            "unexpected reply (HTTP 206)",
        ),
        ("101 Switching Protocols\r\nUpgrade: h2c", 8, "unexpected_reply", "unexpected reply (HTTP 101)"),
        ("304 Not Modified", 8, "unexpected_reply", "unexpected reply (HTTP 304)"),
        ("407 Proxy Authentication Required", 8, "unexpected_reply", "unexpected reply (HTTP 407)"),
        ("999 Odd", 8, "unexpected_reply", "unexpected reply (HTTP 999)"),
        ("503", 5, "server_error", "the service failed (HTTP 503)"),
    ] {
        for ending in
            ["\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]
        {
            fails(format!("HTTP/1.1 {head}{ending}").as_bytes(), Fin, exit, kind, error);
        }
    }
}

#[test]
fn a_reply_is_read_no_further_than_it_says() {
    // The connection stays open: a client that waited for its end would run into the deadline.
    for reply in
        [format!("HTTP/1.1 200 OK\r\n{}", with_length()), format!("HTTP/1.1 200 OK\r\n{}", chunks("", ""))]
    {
        let (address, _) = listen(move |mut stream| {
            read_head(&mut stream);
            let _ = stream.write_all(reply.as_bytes());
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        expect_balance(&mut asking(&format!("http://{address}")));
    }
    let open = "HTTP/1.1 204 No Content\r\n\r\n";
    fails(open.as_bytes(), Open, 8, "unexpected_reply", "unexpected reply (HTTP 204)");
}

#[test]
fn what_curl_reads_and_ureq_does_not_is_refused_and_never_misread() {
    let body = with_length();
    let many = "X: x\r\n".repeat(129);
    for reply in [
        format!("HTTP/1.1 100 Continue\r\nDate: now\r\n\r\nHTTP/1.1 200 OK\r\n{body}"),
        format!("HTTP/1.1 200 OK\r\n{many}{body}"),
        format!("HTTP/1.1 200 OK\r\n{}", chunks(";an-extension=of-some-length", "")),
        format!("HTTP/1.1 200 OK\r\nContent-Length: +{}\r\n\r\n{BALANCE}", BALANCE.len()),
        format!("HTTP/2 200\r\n{body}"),
    ] {
        let server = Raw::sending(reply.clone());
        let output = asking(&server.url()).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(8), &b""[..]), "{reply}");
    }
}

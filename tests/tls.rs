//! The TLS handshake: which versions are enough, and what is said when it fails.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::server::Acceptor;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConnection, SupportedProtocolVersion};

use crate::common::messages;
use crate::common::server::{Server, close_after_client, read_head, reset_on_close};
use crate::common::tls::{
    self, Authority, ask_trusting, config_with, name, requiring_client_certificate,
};
use crate::common::{ask, expect_balance, expect_error, expect_json_error, run};

const NOT_TLS: Option<&str> = Some(messages::LOGIN_PAGE);
const NOTHING_IN_COMMON: &str =
    "has no TLS version, key exchange or cipher in common with this program";
const SUPPORTED: Option<&str> = Some(
    "it must offer TLS 1.2 or 1.3, ECDHE (X25519, P-256, P-384), AES-GCM or ChaCha20, and a key of RSA, P-256, P-384 or Ed25519",
);

const HTTP_ERROR: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";

/// Expects an error that starts with the server's name, and that no key was sent.
#[track_caller]
fn expect_no_handshake(server: Server, problem: &str, hint: Option<&str>) {
    let message = format!("{} {problem}", name(&server));
    let trusted = Authority::new().file();
    let error = expect_error(
        &mut ask_trusting(&server, &trusted),
        7,
        "tls",
        &message,
        hint,
    );
    assert_eq!(error["retryable"], false);
    let sent = server.finish().concat();
    assert!(!sent.contains("Bearer"), "{sent}");
}

/// A server that sends these bytes once the client has started the handshake.
fn answering(bytes: &'static [u8]) -> Server {
    Server::new(move |mut stream| {
        let _ = stream.peek(&mut [0]);
        let _ = stream.write_all(bytes);
        let mut sent = Vec::new();
        let _ = stream.read_to_end(&mut sent);
        String::from_utf8_lossy(&sent).into_owned()
    })
}

/// A server that sends its ServerHello, and then `rest`.
fn breaking_off(version: &'static SupportedProtocolVersion, rest: &'static [u8]) -> Server {
    let config = config_with(Authority::new().good(), &[version], |any| {
        any.with_no_client_auth()
    });
    let config = Arc::new(config);
    Server::new(move |mut stream| {
        let mut tls = ServerConnection::new(config.clone()).unwrap();
        while !tls.wants_write() {
            if !matches!(tls.read_tls(&mut stream), Ok(1..)) {
                return String::new();
            }
            tls.process_new_packets().unwrap();
        }
        let mut flight = Vec::new();
        tls.write_tls(&mut flight).unwrap();
        // A record has 5 bytes of header; a message in it has a type and 3 bytes of length.
        let length = 4 + u16::from_be_bytes([flight[7], flight[8]]);
        let mut bytes = b"\x16\x03\x03".to_vec();
        bytes.extend(length.to_be_bytes());
        bytes.extend(&flight[5..5 + usize::from(length)]);
        bytes.extend(rest);
        let _ = stream.write_all(&bytes);
        close_after_client(&mut stream);
        String::new()
    })
}

#[test]
fn each_of_tls_1_2_and_1_3_is_enough() {
    for (version, shown) in [(&TLS12, "TLSv1.2, "), (&TLS13, "TLSv1.3, ")] {
        let authority = Authority::new();
        let server = tls::api(config_with(authority.good(), &[version], |any| {
            any.with_no_client_auth()
        }));
        let stderr = expect_balance(ask_trusting(&server, &authority.file()).arg("--verbose"));
        assert!(stderr.contains(shown), "{stderr}");
    }
}

#[test]
fn a_server_that_requires_a_client_certificate_is_an_error_that_says_so() {
    for version in [&TLS12, &TLS13] {
        let authority = Authority::new();
        let server = tls::api(requiring_client_certificate(&authority, &[version]));
        let message = format!(
            "{} requires a client certificate, which is not supported",
            name(&server)
        );
        let error = expect_error(
            &mut ask_trusting(&server, &authority.file()),
            7,
            "tls",
            &message,
            None,
        );
        assert_eq!(error["retryable"], false);
        server.expect_no_request();
    }
}

#[test]
fn an_alert_ends_the_handshake() {
    for (alert, problem, hint) in [
        // protocol_version
        (
            b"\x15\x03\x01\x00\x02\x02\x46",
            NOTHING_IN_COMMON,
            SUPPORTED,
        ),
        // handshake_failure
        (
            b"\x15\x03\x01\x00\x02\x02\x28",
            NOTHING_IN_COMMON,
            SUPPORTED,
        ),
        // unrecognized_name
        (
            b"\x15\x03\x01\x00\x02\x02\x70",
            "does not serve the name localhost (alert 112)",
            Some("check CLADO_API_URL"),
        ),
        // bad_certificate
        (
            b"\x15\x03\x01\x00\x02\x02\x2a",
            "refused the TLS connection: bad certificate (alert 42)",
            None,
        ),
        // internal_error
        (
            b"\x15\x03\x01\x00\x02\x02\x50",
            "refused the TLS connection: internal error (alert 80)",
            None,
        ),
        // not assigned
        (
            b"\x15\x03\x01\x00\x02\x02\xfa",
            "refused the TLS connection (alert 250)",
            None,
        ),
    ] {
        expect_no_handshake(answering(alert), problem, hint);
    }
}

#[test]
fn a_server_that_chooses_tls_1_0_is_refused() {
    let server_hello =
        b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01RANDOM_RANDOM_RANDOM_RANDOM_RAND\x00\x00\x2f\x00";
    expect_no_handshake(answering(server_hello), NOTHING_IN_COMMON, SUPPORTED);
}

#[test]
fn a_server_without_tls_is_refused_and_gets_no_key() {
    for reply in [
        HTTP_ERROR,
        concat!("HTTP/1.1 200 OK\r\n\r\n", r#"{"credits": 247}"#).as_bytes(),
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",
        b"\x16\x03\x01\xff\xff this record is longer than any may be",
    ] {
        expect_no_handshake(answering(reply), "does not speak TLS on this port", NOT_TLS);
    }
}

#[test]
fn garbage_after_the_server_hello_is_a_broken_protocol() {
    for version in [&TLS12, &TLS13] {
        expect_no_handshake(
            breaking_off(version, HTTP_ERROR),
            "broke the TLS protocol",
            None,
        );
    }
}

#[test]
fn garbage_after_the_handshake_is_a_broken_protocol() {
    for version in [&TLS12, &TLS13] {
        let authority = Authority::new();
        let config = config_with(authority.good(), &[version], |any| {
            any.with_no_client_auth()
        });
        let config = Arc::new(config);
        let server = Server::new(move |stream| {
            let mut stream = tls::accept(&config, stream);
            let head = read_head(&mut stream);
            let _ = stream.sock.write_all(HTTP_ERROR);
            close_after_client(&mut stream.sock);
            head
        });
        let message = format!("{} broke the TLS protocol", name(&server));
        expect_error(
            &mut ask_trusting(&server, &authority.file()),
            7,
            "tls",
            &message,
            None,
        );
    }
}

#[test]
fn a_connection_that_is_closed_during_the_handshake_is_worth_a_retry() {
    let closing = || {
        Server::new(|mut stream: TcpStream| {
            let _ = stream.peek(&mut [0]);
            close_after_client(&mut stream);
            String::new()
        })
    };
    for server in [
        closing(),
        breaking_off(&TLS12, b""),
        breaking_off(&TLS13, b""),
    ] {
        let message = format!(
            "the TLS handshake with {} failed: the other side closed the connection",
            name(&server)
        );
        let trusted = Authority::new().file();
        let error = expect_error(
            &mut ask_trusting(&server, &trusted),
            7,
            "tls",
            &message,
            None,
        );
        assert_eq!(error["retryable"], true);
    }
}

#[test]
fn a_connection_that_is_reset_during_the_handshake_is_worth_a_retry() {
    let server = Server::new(|stream: TcpStream| {
        let _ = stream.peek(&mut [0]);
        reset_on_close(&stream);
        String::new()
    });
    let error = expect_json_error(
        &mut ask_trusting(&server, &Authority::new().file()),
        7,
        "tls",
    );
    // The rest is the system's description.
    let start = format!("the TLS handshake with {} failed: ", name(&server));
    assert!(
        error["message"].as_str().unwrap().starts_with(&start),
        "{error}"
    );
    assert_eq!(error["retryable"], true);
}

#[test]
fn a_client_certificate_that_is_asked_for_but_not_required_does_no_harm() {
    for version in [&TLS12, &TLS13] {
        let authority = Authority::new();
        let server = tls::api(tls::asking_for_client_certificate(&authority, &[version]));
        expect_balance(&mut ask_trusting(&server, &authority.file()));
    }
}

/// What a client says at the start of a handshake.
#[derive(Debug, PartialEq, Eq)]
struct ClientHello {
    /// The name that it asks for (SNI).
    name: Option<String>,
    /// Whether it offers protocols (ALPN).
    offers_protocols: bool,
}

/// A server that reads the start of a handshake and closes the connection.
fn reading_client_hello(host: &str) -> Server<ClientHello> {
    Server::on(host, |mut stream| {
        let mut acceptor = Acceptor::default();
        let accepted = loop {
            acceptor.read_tls(&mut stream).unwrap();
            if let Some(accepted) = acceptor.accept().unwrap() {
                break accepted;
            }
        };
        let hello = accepted.client_hello();
        ClientHello {
            name: hello.server_name().map(str::to_owned),
            offers_protocols: hello.alpn().is_some(),
        }
    })
}

#[test]
fn the_handshake_asks_for_the_host_by_name_and_offers_no_protocol() {
    let trusted = Authority::new().file();
    for (host, name) in [("localhost", Some("localhost")), ("127.0.0.1", None)] {
        let server = reading_client_hello("127.0.0.1");
        let mut command = ask(&format!("https://{host}:{}", server.address.port()));
        command.env("SSL_CERT_FILE", trusted.path());
        expect_json_error(&mut command, 7, "tls");
        let expected = ClientHello {
            name: name.map(str::to_owned),
            offers_protocols: false,
        };
        assert_eq!(server.next(), expected);
    }
}

#[test]
fn verbose_tells_how_far_a_failed_handshake_got() {
    let authority = Authority::new();
    let server = tls::api(config_with(authority.good(), &[&TLS12], |any| {
        any.with_no_client_auth()
    }));
    let trusted = Authority::named("Another company").file();
    let run = run(ask_trusting(&server, &trusted).arg("-v"));
    assert!(
        run.stderr.contains("\n* TLSv1.2, TLS_ECDHE_"),
        "{}",
        run.stderr
    );

    for version in [&TLS12, &TLS13] {
        let server = tls::api(requiring_client_certificate(&authority, &[version]));
        let run = crate::common::run(ask_trusting(&server, &authority.file()).arg("-v"));
        let line = format!(
            "\n* {} asks for a client certificate; there is none\n",
            name(&server)
        );
        assert!(run.stderr.contains(&line), "{}", run.stderr);
    }
}

#[test]
fn verbose_tells_about_the_certificates() {
    let authority = Authority::new();
    let server = tls::api(tls::config(authority.good()));
    let trusted = authority.file();
    let stderr = expect_balance(ask_trusting(&server, &trusted).arg("-v"));
    for line in [
        format!(
            "* certificates: 1 in {} (from SSL_CERT_FILE)\n",
            trusted.path().display()
        ),
        "* TLSv1.3, TLS13_AES_256_GCM_SHA384\n".to_owned(),
        format!(
            "* the certificate of {} is valid; certificates sent: 1\n",
            name(&server)
        ),
    ] {
        assert!(stderr.contains(&line), "{stderr}");
    }
}

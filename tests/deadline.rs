//! `--timeout` holds in every stage, and the message names the stage. Nothing here asserts how exactly: the
//! limit of the command itself is a minute, and a run that is killed by it has no exit code.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use assert_cmd::Command;

use crate::common::net::{drip, expect_json_failure, listen, silent};
use crate::common::tls::{Authority, accept, config};
use crate::common::{KEY, asking, bare, read_head};

/// Long enough to reach any stage on a busy machine.
const TIMEOUT: &str = "2";

/// Expects that the run ends with these words and "within 2 seconds".
#[track_caller]
fn gives_up(command: &mut Command, error: &str) {
    let error = format!("{error} within 2 seconds");
    expect_json_failure(command.args(["--timeout", TIMEOUT]), 7, "timeout", &error);
}

/// A server that reads a request and then does this.
fn stalling(work: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    listen(move |mut stream| {
        read_head(&mut stream);
        work(stream);
    })
    .0
}

fn plain(address: SocketAddr) -> Command {
    asking(&format!("http://{address}"))
}

#[test]
fn a_server_that_does_not_answer_or_never_comes_to_an_end_is_given_up() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 57\r\n\r\n";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n";
    type Work = fn(TcpStream);
    let cases: [(Work, &str); 6] = [
        (|mut stream| drop(stream.read(&mut [0])), "did not answer"),
        (
            |mut stream| {
                drip(&mut stream, b"HTTP/1.1 200 OK\r\nX-Long: ".iter().chain([b'x'; 999].iter()).copied())
            },
            "did not answer",
        ),
        (
            |mut stream| {
                while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok() {
                    thread::sleep(Duration::from_millis(20));
                }
            },
            "did not answer",
        ),
        (
            |mut stream| {
                let _ = stream.write_all(HEAD.as_bytes());
                let _ = stream.read(&mut [0]);
            },
            "did not complete its reply",
        ),
        (
            |mut stream| {
                let _ = stream.write_all(HEAD.replace("57", "5700").as_bytes());
                drip(&mut stream, [b' '; 999]);
            },
            "did not complete its reply",
        ),
        (
            |mut stream| {
                let _ = stream.write_all(CHUNKED.as_bytes());
                drip(&mut stream, b"1\r\n \r\n".repeat(200));
            },
            "did not complete its reply",
        ),
    ];
    thread::scope(|scope| {
        for (work, error) in cases {
            scope.spawn(move || {
                let server = stalling(work);
                gives_up(&mut plain(server), &format!("{server} {error}"));
            });
        }
    });
}

#[test]
fn a_refusal_counts_even_if_its_words_never_come() {
    let server = stalling(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 99\r\n\r\n{\"detail\": ");
        let _ = stream.read(&mut [0]);
    });
    let run = plain(server).args(["--timeout", "0.5"]).assert().code(3).stdout("");
    run.stderr("error: the API key was rejected (HTTP 401)\n");
}

#[test]
fn a_handshake_that_hangs_is_given_up() {
    let server = silent();
    let trusted = Authority::new().file();
    let mut command = asking(&format!("https://{server}"));
    command.env("SSL_CERT_FILE", trusted.path());
    gives_up(&mut command, &format!("{server} did not complete the TLS handshake"));
}

#[test]
fn a_reply_that_hangs_inside_tls_is_given_up() {
    let authority = Authority::new();
    let secured = std::sync::Arc::new(config(authority.good()));
    let (server, _) = listen(move |stream| {
        let mut stream = accept(&secured, stream);
        read_head(&mut stream);
        drip(&mut stream, b"HTTP/1.1 200 OK\r\nX-Long: ".iter().chain([b'x'; 999].iter()).copied());
    });
    let name = format!("localhost:{}", server.port());
    let trusted = authority.file();
    let mut command = asking(&format!("https://{name}"));
    gives_up(command.env("SSL_CERT_FILE", trusted.path()), &format!("{name} did not answer"));
}

#[test]
fn a_proxy_that_hangs_or_drips_is_given_up_by_its_name() {
    let answer = b"HTTP/1.1 200 OK\r\nX-Long: ".iter().chain([b'x'; 999].iter()).copied();
    let dripping = stalling(move |mut stream| drip(&mut stream, answer.clone()));
    let (halfway, _) = listen(|mut stream| {
        let _ = stream.read(&mut [0; 16]);
        let _ = stream.write_all(b"\x05");
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let trusted = Authority::new().file();
    thread::scope(|scope| {
        for proxy in [
            format!("http://{dripping}"),
            format!("http://{}", silent()),
            format!("https://{}", silent()),
            format!("socks4a://{}", silent()),
            format!("socks5h://{}", silent()),
            format!("socks5h://{halfway}"),
        ] {
            let trusted = trusted.path();
            scope.spawn(move || {
                // A name that nobody resolves: the proxies are asked for it.
                let mut command = asking("https://search.invalid");
                command.env("SSL_CERT_FILE", trusted).env("https_proxy", &proxy);
                gives_up(&mut command, &format!("the proxy {proxy} made no connection"));
            });
        }
    });
}

#[test]
fn a_key_that_never_comes_is_given_up() {
    let mut command = bare();
    command
        .args(["--api-key-file", "-", "--timeout", "0.5"])
        .env("CLADO_API_URL", format!("http://{}", silent()));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&KEY.as_bytes()[..5]).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(pipe);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(7), &b""[..]));
    let expected = "error: the API key could not be read within 0.5 seconds\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
}

#[cfg(unix)]
#[test]
fn certificates_that_never_come_are_given_up() {
    let mut command = bare();
    command.args(["--timeout", "0.5", "--api-url", "https://search.invalid"]);
    command.env("CLADO_API_KEY", KEY).env("SSL_CERT_FILE", "/dev/stdin");
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pipe = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(pipe);
    let expected = "error: the certificates to trust could not be read within 0.5 seconds\n";
    assert_eq!(
        (output.status.code(), String::from_utf8(output.stderr).unwrap()),
        (Some(7), expected.to_owned())
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_connection_that_is_swallowed_is_given_up() {
    let hole = crate::common::net::BlackHole::new();
    gives_up(&mut plain(hole.address), &format!("could not connect to {}", hole.address));
    let proxy = format!("http://{}", hole.address);
    let mut command = plain(silent());
    gives_up(command.env("http_proxy", &proxy), &format!("the proxy {proxy} made no connection"));
}

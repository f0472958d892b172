//! `--timeout` is one time limit for the whole run, and its error names what was not done in time.
//!
//! Nothing here says how long a run may take at most: a busy machine would break that. A run that does not end by
//! itself is killed after a minute, and has no exit code then.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

use crate::common::messages;
use crate::common::server::{Server, drip, read_head};
use crate::common::tls::{self, Authority, accept, ask_trusting, config};
#[cfg(target_os = "linux")]
use crate::common::within;
use crate::common::{
    BALANCE, KEY, api, ask, clado, expect_balance, expect_error, expect_json_error, finish,
    good_reply, std_command,
};

/// Runs with this time limit in seconds, and expects the error for it, with the status if the head of a reply came.
/// Returns the message.
#[track_caller]
fn expect_timeout(command: &mut Command, seconds: &str) -> String {
    expect_timeout_with_hint(command, seconds, None)
}

#[track_caller]
fn expect_timeout_with_hint(command: &mut Command, seconds: &str, hint: Option<&str>) -> String {
    let error = expect_json_error(command.args(["--timeout", seconds]), 7, "timeout");
    let message = error["message"].as_str().unwrap();
    let status = if message.contains("(HTTP 200)") {
        Value::from(200)
    } else {
        Value::Null
    };
    assert_eq!(error["status"], status);
    assert_eq!(error["retryable"], true);
    assert_eq!(error["hint"].as_str(), hint);
    message.to_owned()
}

/// The start of a head that goes on and on.
fn endless_head() -> impl Iterator<Item = u8> + Clone {
    b"HTTP/1.1 200 OK\r\nX-Long: "
        .iter()
        .copied()
        .chain([b'x'; 999])
}

/// The head and the body of a good reply.
fn parts_of_a_good_reply() -> [String; 2] {
    let reply = good_reply();
    let (head, body) = reply.split_at(reply.len() - BALANCE.len());
    [head.to_owned(), body.to_owned()]
}

/// A server that waits this long before each part of a good reply.
fn waiting_before_each_part(pause: Duration) -> Server {
    Server::replying(move |stream| {
        for part in parts_of_a_good_reply() {
            thread::sleep(pause);
            let _ = stream.write_all(part.as_bytes());
        }
    })
}

/// Sends `sent`, and then nothing until the client is gone.
fn stall_after(sent: &'static str) -> Server {
    Server::replying(move |stream| {
        let _ = stream.write_all(sent.as_bytes());
        let _ = stream.read(&mut [0]);
    })
}

#[test]
fn a_server_that_does_not_complete_its_reply_ends_the_run() {
    let dripping = |start: &'static str, rest: &'static str| {
        Server::replying(move |stream: &mut TcpStream| {
            let _ = stream.write_all(start.as_bytes());
            drip(stream, rest.bytes().cycle().take(999));
        })
    };
    let silent_or_slow = [
        Server::silent(),
        Server::replying(|stream| drip(stream, endless_head())),
        dripping(
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\n\r\n",
        ),
    ];
    let incomplete = [
        stall_after("HTTP/1.1 200 OK\r\nContent-Length: 57\r\n\r\n{\"credits\": 247"),
        dripping("HTTP/1.1 200 OK\r\nContent-Length: 5700\r\n\r\n", " "),
        dripping(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
            "1\r\n \r\n",
        ),
    ];
    let expect_message = |server: &Server, message: &str| {
        let shown = expect_timeout(&mut ask(&server.url()), "2");
        assert_eq!(shown, messages::within_2_seconds(message));
    };
    thread::scope(|scope| {
        for server in silent_or_slow {
            let message = messages::no_answer(server.address);
            scope.spawn(move || expect_message(&server, &message));
        }
        for server in incomplete {
            let message = messages::no_complete_reply(server.address, 200);
            scope.spawn(move || expect_message(&server, &message));
        }
    });
}

#[test]
fn a_tls_handshake_that_stalls_ends_the_run() {
    let (server, trusted) = (Server::silent(), Authority::new().file());
    let message = expect_timeout(&mut ask_trusting(&server, &trusted), "2");
    let expected = messages::no_handshake(tls::name(&server));
    assert_eq!(message, messages::within_2_seconds(&expected));
}

#[test]
fn a_reply_that_stalls_inside_tls_ends_the_run() {
    let authority = Authority::new();
    let config = Arc::new(config(authority.good()));
    let server = Server::new(move |stream| {
        let mut stream = accept(&config, stream);
        let head = read_head(&mut stream);
        drip(&mut stream, endless_head());
        head
    });
    let message = expect_timeout(&mut ask_trusting(&server, &authority.file()), "2");
    let expected = messages::no_answer(tls::name(&server));
    assert_eq!(message, messages::within_2_seconds(&expected));
}

#[test]
fn a_proxy_that_stalls_ends_the_run_and_is_named() {
    let dripping = Server::replying(|stream| drip(stream, endless_head()));
    let stalling_after = |sent: &'static [u8]| {
        Server::new(move |mut stream| {
            let _ = stream.read(&mut [0; 16]);
            let _ = stream.write_all(sent);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
            String::new()
        })
    };
    let authority = Authority::new();
    let tls_config = Arc::new(config(authority.good()));
    let stalling_after_tls = Server::new(move |stream| {
        let mut stream = accept(&tls_config, stream);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
        String::new()
    });
    enum Missing {
        Answer,
        /// What was asked for the server may still be waiting for the server.
        Connection,
        Handshake,
    }
    use Missing::{Answer, Connection, Handshake};
    let trusted = authority.file();
    thread::scope(|scope| {
        for (scheme, proxy, missing) in [
            ("http", dripping, Connection),
            ("http", Server::silent(), Connection),
            ("https", Server::silent(), Handshake),
            ("https", stalling_after_tls, Connection),
            ("socks4a", Server::silent(), Connection),
            ("socks4a", stalling_after(b"\x00"), Connection),
            ("socks5h", Server::silent(), Answer),
            ("socks5h", stalling_after(b"\x05"), Answer),
            ("socks5h", stalling_after(b"\x05\x00"), Connection),
        ] {
            let trusted = trusted.path();
            scope.spawn(move || {
                // The certificate is for this name.
                let url = format!("{scheme}://localhost:{}", proxy.address.port());
                let mut command = ask("https://search.invalid");
                command
                    .env("SSL_CERT_FILE", trusted)
                    .env("HTTPS_PROXY", &url);
                let name = messages::proxy(url, "HTTPS_PROXY");
                let (expected, hint) = match missing {
                    Answer => (messages::no_answer(name), None),
                    Connection => {
                        let through = format!("search.invalid through {name}");
                        (messages::no_connection(through), None)
                    }
                    Handshake => (messages::no_handshake(name), Some(messages::PLAIN_PROXY)),
                };
                let message = expect_timeout_with_hint(&mut command, "2", hint);
                assert_eq!(message, messages::within_2_seconds(&expected));
            });
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn an_address_that_does_not_answer_ends_the_run() {
    let black_hole = crate::common::server::BlackHole::new();
    let hole = black_hole.address;
    let message = expect_timeout(&mut ask(&format!("http://{hole}")), "2");
    let expected = messages::no_connection(hole);
    assert_eq!(message, messages::within_2_seconds(&expected));
    let trusted = Authority::new().file();
    for scheme in ["http", "socks5h"] {
        let mut command = ask("https://search.invalid");
        command
            .env("SSL_CERT_FILE", trusted.path())
            .env("HTTPS_PROXY", format!("{scheme}://{hole}"));
        let proxy = messages::proxy(format!("{scheme}://{hole}"), "HTTPS_PROXY");
        let message = expect_timeout(&mut command, "2");
        let expected = messages::no_connection(proxy);
        assert_eq!(message, messages::within_2_seconds(&expected));
    }
}

#[test]
fn an_answer_after_the_time_limit_is_not_taken() {
    let server = Server::replying(|stream| {
        thread::sleep(Duration::from_millis(1500));
        let _ = stream.write_all(good_reply().as_bytes());
    });
    expect_timeout(&mut ask(&server.url()), "1");
}

#[test]
fn the_time_limit_does_not_start_again_with_the_body() {
    let server = waiting_before_each_part(Duration::from_millis(700));
    expect_timeout(&mut ask(&server.url()), "1");
}

#[test]
fn the_time_limit_does_not_start_again_with_each_step() {
    // The proxy, the handshake, the head and the body take 0.6 seconds each.
    const PAUSE: Duration = Duration::from_millis(600);
    let authority = Authority::new();
    let config = Arc::new(config(authority.good()));
    let proxy = Server::replying(move |stream| {
        thread::sleep(PAUSE);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        thread::sleep(PAUSE);
        let mut stream = accept(&config, stream.try_clone().unwrap());
        read_head(&mut stream);
        for part in parts_of_a_good_reply() {
            thread::sleep(PAUSE);
            let _ = stream.write_all(part.as_bytes());
        }
    });
    let trusted = authority.file();
    let mut command = ask("https://localhost");
    command
        .env("SSL_CERT_FILE", trusted.path())
        .env("HTTPS_PROXY", proxy.url());
    expect_timeout(&mut command, "1");
}

#[test]
fn the_time_limit_does_not_start_again_after_the_key() {
    let server = waiting_before_each_part(Duration::from_millis(350));
    let mut command = clado();
    command
        .args(["--api-key-file", "-", "--timeout", "1"])
        .env("CLADO_API_URL", server.url());
    let mut child = piped(&command).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::sleep(Duration::from_millis(700));
    // A program that has given up already is right as well.
    let _ = stdin.write_all(KEY.as_bytes());
    drop(stdin);
    let run = finish(child);
    assert_eq!(run.code, Some(7), "{}", run.stderr);
    assert_eq!(run.stdout, "");
}

#[test]
fn a_key_that_never_comes_ends_the_run() {
    let server = Server::silent();
    let mut command = clado();
    command
        .args(["--api-key-file", "-", "--timeout", "1"])
        .env("CLADO_API_URL", server.url());
    let mut child = piped(&command).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&KEY.as_bytes()[..5]).unwrap();
    let run = finish(child);
    drop(stdin);
    let error = "error: could not read the API key from standard input within 1 second\n";
    assert_eq!(run.stderr, error);
    assert_eq!(run.stdout, "");
    assert_eq!(run.code, Some(7));
    server.expect_no_connection();
}

#[cfg(unix)]
#[test]
fn certificates_that_never_come_end_the_run() {
    let mut command = ask("https://search.invalid");
    command
        .args(["--timeout", "1.5"])
        .env("SSL_CERT_FILE", "/dev/stdin");
    let mut child = piped(&command).spawn().unwrap();
    let stdin = child.stdin.take();
    let run = finish(child);
    drop(stdin);
    let error = "error: could not read the certificates in /dev/stdin (from SSL_CERT_FILE) within 1.5 seconds\n";
    assert_eq!(run.stderr, error);
    assert_eq!(run.stdout, "");
    assert_eq!(run.code, Some(7));
}

/// The command with pipes as its three streams.
fn piped(command: &Command) -> std::process::Command {
    let mut command = std_command(command);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn a_rejected_key_is_reported_with_its_hint_even_if_the_body_never_comes() {
    let server = stall_after(
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 99\r\n\r\n{\"detail\": \"Invalid",
    );
    let mut command = ask(&server.url());
    command
        .env("CLADO_API_KEY", "an_unusual_key")
        .args(["--timeout", "2"]);
    let message = messages::key_rejected(401);
    let hint = messages::odd_key("CLADO_API_KEY", messages::UNUSUAL_PREFIX);
    let error = expect_error(&mut command, 3, "unauthorized", &message, Some(&hint));
    assert_eq!(
        (&error["status"], &error["retryable"]),
        (&401.into(), &false.into())
    );
}

/// The program with this much memory, in KiB.
#[cfg(target_os = "linux")]
fn with_memory(kib: u64) -> assert_cmd::Command {
    let program = ask("http://127.0.0.1:1");
    let mut command = within("sh", &program);
    command.args(["-c", r#"ulimit -v "$0" && exec "$@""#, &kib.to_string()]);
    command.arg(program.get_program());
    command
}

#[cfg(target_os = "linux")] // Elsewhere `ulimit -v` has no effect.
#[test]
fn a_thread_that_cannot_be_started_is_a_local_failure_and_not_a_bug() {
    // The least memory with which the request is made, to 256 KiB. With a little less, there is none for the thread's
    // stack.
    let mut too_little: u64 = 1 << 10;
    let mut enough: u64 = 4 << 20;
    while enough - too_little > 256 {
        let middle = (too_little + enough) / 2;
        if crate::common::run(&mut with_memory(middle)).code == Some(7) {
            enough = middle;
        } else {
            too_little = middle;
        }
    }
    let error = expect_json_error(&mut with_memory(too_little - 512), 9, "local");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with("could not start a thread: "),
        "{message}"
    );
    assert_eq!(error["hint"], Value::Null);
    assert_eq!(error["retryable"], true);
}

#[test]
fn the_size_of_stacks_is_not_up_to_the_environment() {
    let api = api(200, BALANCE);
    for size in ["1", "1000", "1152921504606846976"] {
        expect_balance(ask(&api.url()).env("RUST_MIN_STACK", size));
    }
}

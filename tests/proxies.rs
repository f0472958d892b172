//! Proxies: what they are sent and what they never see, which variables count, and the errors that are a proxy's own.
//!
//! How a value is read, default ports included, is tested in `src/transport/proxy.rs`.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use assert_cmd::Command;
use tempfile::NamedTempFile;

use crate::common::messages;
use crate::common::proxy::{self, Seen};
use crate::common::server::{DeadPort, Server, close_after_client, read_head};
use crate::common::tls::{self, Authority, TrustedApi, accept, ask_trusting, config, params};
use crate::common::{
    BALANCE, KEY, api, ask, expect_balance, expect_error, expect_json_error, shown_variable,
    std_command,
};

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// A user name and password with characters that a URL has to encode.
const USER: &str = "us er";
const PASSWORD: &str = "p@ss:w/rd%";
const ENCODED: &str = "us%20er:p%40ss%3Aw%2Frd%25";
// printf 'us er:p@ss:w/rd%' | base64
const BASIC: &str = "Basic dXMgZXI6cEBzczp3L3JkJQ==";

/// The program, asking `server` through the proxy that HTTPS_PROXY names.
fn ask_through(proxy: &str, server: &Server, trusted: &NamedTempFile) -> Command {
    let mut command = ask_trusting(server, trusted);
    command.env("HTTPS_PROXY", proxy);
    command
}

/// Expects that the proxy was sent nothing but TLS after its own handshake: neither the key nor the path.
#[track_caller]
fn expect_only_tls(seen: &Seen) {
    assert_eq!(
        seen.sent.first(),
        Some(&0x16),
        "{}",
        seen.sent.escape_ascii()
    );
    for secret in [KEY, "Bearer", "/api/credits"] {
        assert!(!seen.asked.contains(secret), "{}", seen.asked);
        assert!(
            !seen
                .sent
                .windows(secret.len())
                .any(|part| part == secret.as_bytes())
        );
    }
}

/// Expects that a request through this proxy fails, with a message that names the proxy in the place of `{}`.
#[track_caller]
fn expect_proxy_error(proxy: &str, message: &str, hint: Option<&str>, retryable: bool) {
    let (server, trusted) = (Server::silent(), Authority::new().file());
    // The user name and password are not shown.
    let (scheme, address) = proxy.split_once("://").unwrap();
    let address = address.rsplit('@').next().unwrap();
    let name = messages::proxy(format!("{scheme}://{address}"), "HTTPS_PROXY");
    let message = message.replace("{}", &name);
    let message = message.replace("SERVER", &tls::name(&server));
    let mut command = ask_through(proxy, &server, &trusted);
    let error = expect_error(&mut command, 7, "network", &message, hint);
    assert_eq!(error["retryable"], retryable, "{message}");
    server.expect_no_request();
}

#[test]
fn an_http_proxy_makes_the_connection_and_sees_only_tls() {
    let TrustedApi { server, trusted } = TrustedApi::new();
    let proxy = proxy::http(server.address, ESTABLISHED);
    expect_balance(&mut ask_through(&proxy.url(), &server, &trusted));
    let (seen, target) = (proxy.next(), tls::name(&server));
    let start = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    assert!(seen.asked.starts_with(&start), "{}", seen.asked);
    assert!(
        !seen.asked.to_lowercase().contains("authorization"),
        "{}",
        seen.asked
    );
    expect_only_tls(&seen);
}

#[test]
fn a_user_name_and_password_reach_the_proxy_decoded_and_nobody_else() {
    let TrustedApi { server, trusted } = TrustedApi::new();
    let proxy = proxy::http(server.address, ESTABLISHED);
    let url = format!("http://{ENCODED}@{}", proxy.address);
    let stderr = expect_balance(ask_through(&url, &server, &trusted).arg("--verbose"));
    let asked = proxy.next().asked;
    assert!(
        asked.contains(&format!("\r\nProxy-Authorization: {BASIC}\r\n")),
        "{asked}"
    );
    let line = format!(
        "* using the proxy http://{} (from HTTPS_PROXY)\n",
        proxy.address
    );
    assert!(stderr.contains(&line), "{stderr}");
    for secret in [USER, PASSWORD, "us%20er", "p%40ss", "dXMg"] {
        assert!(!stderr.contains(secret), "{stderr}");
    }
    assert!(!server.expect_one_request().to_lowercase().contains("proxy"));
}

#[test]
fn a_percent_sign_is_decoded_once() {
    let TrustedApi { server, trusted } = TrustedApi::new();
    let proxy = proxy::http(server.address, ESTABLISHED);
    expect_balance(&mut ask_through(
        &format!("http://a:%2540@{}", proxy.address),
        &server,
        &trusted,
    ));
    let asked = proxy.next().asked;
    // printf 'a:%%40' | base64
    assert!(
        asked.contains("\r\nProxy-Authorization: Basic YTolNDA=\r\n"),
        "{asked}"
    );
}

#[test]
fn every_2xx_answer_is_a_connection() {
    let many = (0..100)
        .map(|n| format!("X-Header-{n}: {n}\r\n"))
        .collect::<String>();
    for answer in [
        "HTTP/1.0 200\r\n\r\n".to_owned(),
        "HTTP/1.0 200 OK\r\nProxy-agent: old/1.0\r\n\r\n".to_owned(),
        "HTTP/1.1 201 Created\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
        format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(60_000)),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: x\r\n".repeat(1_000)),
    ] {
        let TrustedApi { server, trusted } = TrustedApi::new();
        let proxy = proxy::http(server.address, answer);
        expect_balance(&mut ask_through(&proxy.url(), &server, &trusted));
    }
}

#[test]
fn an_answer_in_single_bytes_is_a_connection() {
    let TrustedApi { server, trusted } = TrustedApi::new();
    let target = server.address;
    let proxy = Server::replying(move |stream| {
        for byte in ESTABLISHED.bytes() {
            let _ = stream.write_all(&[byte]);
            std::thread::sleep(Duration::from_millis(2));
        }
        let socket = stream.try_clone().unwrap();
        let _ = crate::common::server::relay(
            stream,
            &socket,
            std::net::TcpStream::connect(target).unwrap(),
        );
    });
    expect_balance(&mut ask_through(&proxy.url(), &server, &trusted));
}

#[test]
fn what_follows_the_proxys_answer_belongs_to_tls() {
    let (server, trusted) = (Server::silent(), Authority::new().file());
    let proxy = Server::sending(format!(
        "{ESTABLISHED}HTTP/1.1 200 OK\r\n\r\n<html>Log in to the hotel's network"
    ));
    let message = format!(
        "{} does not speak TLS on this port (through the proxy {}, from HTTPS_PROXY)",
        tls::name(&server),
        proxy.url()
    );
    let hint = Some(messages::LOGIN_PAGE);
    expect_error(
        &mut ask_through(&proxy.url(), &server, &trusted),
        7,
        "tls",
        &message,
        hint,
    );
}

#[test]
fn a_proxy_that_wants_a_login_says_so() {
    let hint = Some("put them into HTTPS_PROXY: http://user:password@host:port");
    let answer = |offers: &str| {
        format!(
            "HTTP/1.1 407 Proxy Authentication Required\r\n{offers}Content-Length: 5\r\n\r\nno!!!"
        )
    };
    let basic = "Proxy-Authenticate: NTLM\r\nProxy-Authenticate: basic realm=\"x\"\r\n";
    let ntlm = "Proxy-Authenticate: NTLM\r\nProxy-Authenticate: Negotiate\r\n";
    let required = "{} requires a user name and password (HTTP 407)";
    let rejected = "{} rejected the user name and password (HTTP 407)";
    let unsupported = "{} wants a login other than Basic, which is not supported (HTTP 407)";
    for (offers, login, message, hint) in [
        (basic, "", required, hint),
        ("", "", required, hint),
        (basic, "user:wrong@", rejected, None),
        ("", "user:wrong@", rejected, None),
        (ntlm, "", unsupported, None),
        (ntlm, "user:wrong@", unsupported, None),
    ] {
        let proxy = Server::sending(answer(offers));
        expect_proxy_error(
            &format!("http://{login}{}", proxy.address),
            message,
            hint,
            false,
        );
    }
}

#[test]
fn a_proxy_that_refuses_is_worth_another_try_after_429_and_5xx_only() {
    const REDIRECTED: &str =
        "refused to connect to SERVER (HTTP 302) and redirected to http://login.example/";
    for (status, what, retryable) in [
        (
            "100 Continue",
            "refused to connect to SERVER (HTTP 100)",
            false,
        ),
        ("302 Found", REDIRECTED, false),
        (
            "400 Bad Request",
            "refused to connect to SERVER (HTTP 400)",
            false,
        ),
        (
            "403 Forbidden",
            "refused to connect to SERVER (HTTP 403)",
            false,
        ),
        (
            "404 Not Found",
            "refused to connect to SERVER (HTTP 404)",
            false,
        ),
        (
            "429 Too Many Requests",
            "refused to connect to SERVER (HTTP 429)",
            true,
        ),
        (
            "502 Bad Gateway",
            "could not connect to SERVER (HTTP 502)",
            true,
        ),
        (
            "503 Service Unavailable",
            "could not connect to SERVER (HTTP 503)",
            true,
        ),
    ] {
        let proxy = Server::sending(format!(
            "HTTP/1.1 {status}\r\nLocation: http://login.example/\r\n\r\n<html>"
        ));
        let message = format!("{{}} {what}");
        expect_proxy_error(&proxy.url(), &message, None, retryable);
    }
}

#[test]
fn a_proxy_that_does_not_answer_in_http_is_named() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "\u{5}\u{0}\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 -20 OK\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
    ] {
        expect_proxy_error(
            &Server::sending(answer).url(),
            "{} did not answer in HTTP",
            None,
            false,
        );
    }
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(200_000));
    expect_proxy_error(
        &Server::sending(endless).url(),
        "the answer of {} is too long",
        None,
        false,
    );
}

#[test]
fn a_proxy_that_closes_the_connection_is_named() {
    for answer in ["", "HTTP/1.1 200 O"] {
        let message = messages::lost_connection("{}", messages::CLOSED);
        expect_proxy_error(&Server::sending(answer).url(), &message, None, true);
    }
}

#[cfg(unix)] // The system's message.
#[test]
fn a_proxy_that_is_not_there_or_resets_the_connection_is_named() {
    for scheme in ["http", "https", "socks4a", "socks5h"] {
        let dead = DeadPort::new();
        let url = format!("{scheme}://{}", dead.address);
        let message = messages::could_not_connect("{}", messages::REFUSED);
        expect_proxy_error(&url, &message, None, true);
    }
    let message = messages::lost_connection("{}", messages::RESET);
    for scheme in ["http", "socks4a", "socks5h"] {
        let proxy = Server::new(|stream| {
            let _ = stream.peek(&mut [0]);
            crate::common::server::reset_on_close(&stream);
            String::new()
        });
        let url = format!("{scheme}://{}", proxy.address);
        expect_proxy_error(&url, &message, None, true);
    }
}

#[test]
fn a_proxy_that_cannot_be_resolved_is_named() {
    // Too long for a name, so that no server is asked. The reason is the resolver's own.
    let name = "x".repeat(64) + ".invalid";
    let trusted = Authority::new().file();
    for variable in ["HTTPS_PROXY", "ALL_PROXY"] {
        for scheme in ["http", "https", "socks4", "socks4a", "socks5", "socks5h"] {
            let mut command = ask("https://127.0.0.1:1");
            command
                .env("SSL_CERT_FILE", trusted.path())
                .env(variable, format!("{scheme}://{name}:1"));
            let error = expect_json_error(&mut command, 7, "network");
            let message = error["message"].as_str().unwrap();
            let proxy = messages::proxy(format!("{scheme}://{name}:1"), variable);
            let start = messages::could_not_resolve(proxy);
            assert!(message.starts_with(&start), "{message}");
            assert_eq!(error["retryable"], true);
        }
    }
}

#[test]
fn an_https_proxy_is_spoken_to_in_tls_and_sees_only_tls_inside_it() {
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    let proxy = proxy::https(server.address, config(authority.good()));
    let url = format!("https://{ENCODED}@localhost:{}", proxy.address.port());
    expect_balance(&mut ask_through(&url, &server, &authority.file()));
    let seen = proxy.next();
    assert!(
        seen.asked
            .contains(&format!("\r\nProxy-Authorization: {BASIC}\r\n")),
        "{}",
        seen.asked
    );
    expect_only_tls(&seen);
}

#[test]
fn the_certificate_of_an_https_proxy_is_verified() {
    let authority = Authority::new();
    let trusted = authority.file();
    let other_name = authority.sign(&params(&["other.example"], |_| {}));
    let unknown_issuer = Authority::named("Unknown").good();
    for (identity, problem, hint) in [
        (
            other_name,
            "is for other.example",
            "check HTTPS_PROXY".to_owned(),
        ),
        (
            unknown_issuer,
            messages::UNKNOWN_ISSUER,
            messages::issuer_not_in(trusted.path()),
        ),
    ] {
        let server = Server::silent();
        let proxy = proxy::https(server.address, config(identity));
        let url = format!("https://localhost:{}", proxy.address.port());
        let message = messages::bad_certificate(messages::proxy(&url, "HTTPS_PROXY"), problem);
        let login = url.replace("//", &format!("//{ENCODED}@"));
        let mut command = ask_through(&login, &server, &trusted);
        expect_error(&mut command, 7, "tls", &message, Some(&hint));
        for seen in proxy.finish() {
            assert!(!seen.asked.contains("CONNECT"), "{}", seen.asked);
        }
        server.expect_no_request();
    }
}

#[test]
fn an_https_proxy_and_the_server_each_have_to_prove_their_own_name() {
    const SERVER: &str = "api.example";
    let authority = Authority::new();
    let trusted = authority.file();
    let identity = |name| authority.sign(&params(&[name], |_| {}));
    for (proxys_name, servers_name, is_right) in [
        ("localhost", SERVER, true),
        (SERVER, SERVER, false),
        ("localhost", "localhost", false),
    ] {
        let server = tls::api(config(identity(servers_name)));
        let proxy = proxy::https(server.address, config(identity(proxys_name)));
        let url = format!("https://localhost:{}", proxy.address.port());
        let mut command = ask(&format!("https://{SERVER}"));
        command
            .env("SSL_CERT_FILE", trusted.path())
            .env("HTTPS_PROXY", &url);
        if is_right {
            expect_balance(&mut command);
            continue;
        }
        let error = expect_json_error(&mut command, 7, "tls");
        let message = if proxys_name == SERVER {
            format!("the certificate of the proxy {url} (from HTTPS_PROXY) is for {SERVER}")
        } else {
            format!(
                "the certificate of {SERVER} is for localhost (through the proxy {url}, from HTTPS_PROXY)"
            )
        };
        assert_eq!(error["message"], message);
        server.expect_no_request();
    }
}

#[test]
fn a_handshake_that_stalls_behind_a_proxy_names_it() {
    let (server, trusted) = (Server::silent(), Authority::new().file());
    let proxy = proxy::http(server.address, ESTABLISHED);
    let message = format!(
        "{} did not complete the TLS handshake (through the proxy {}, from HTTPS_PROXY) within 2 seconds",
        tls::name(&server),
        proxy.url()
    );
    let mut command = ask_through(&proxy.url(), &server, &trusted);
    expect_error(
        command.args(["--timeout", "2"]),
        7,
        "timeout",
        &message,
        None,
    );
}

#[test]
fn an_https_proxy_that_closes_the_connection_is_named() {
    let authority = Authority::new();
    let (server, trusted) = (Server::silent(), authority.file());
    let config = Arc::new(config(authority.good()));
    let proxy = Server::new(move |stream| read_head(&mut accept(&config, stream)));
    let url = format!("https://localhost:{}", proxy.address.port());
    let name = messages::proxy(&url, "HTTPS_PROXY");
    let message = messages::lost_connection(name, messages::CLOSED);
    let mut command = ask_through(&url, &server, &trusted);
    let error = expect_error(&mut command, 7, "network", &message, None);
    assert_eq!(error["retryable"], true);
}

#[test]
fn a_proxy_that_is_not_an_https_proxy_does_not_speak_tls() {
    let (server, trusted) = (Server::silent(), Authority::new().file());
    let proxy = Server::new(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        close_after_client(&mut stream);
        String::new()
    });
    let url = format!("https://{}", proxy.address);
    let message = messages::proxy(&url, "HTTPS_PROXY") + " does not speak TLS on this port";
    let hint = Some(messages::PLAIN_PROXY);
    expect_error(
        &mut ask_through(&url, &server, &trusted),
        7,
        "tls",
        &message,
        hint,
    );
    server.expect_no_request();
}

#[test]
fn a_socks_proxy_is_given_a_name_or_an_address_as_its_scheme_says() {
    for (scheme, password, target) in [
        ("socks", None, "socks4 127.0.0.1"),
        ("socks4", None, "socks4 127.0.0.1"),
        ("socks4a", None, "socks4 localhost"),
        ("socks5", None, "socks5 nobody 127.0.0.1"),
        ("socks5h", None, "socks5 nobody localhost"),
        ("socks5", Some(PASSWORD), "socks5 us er 127.0.0.1"),
        ("socks5h", Some(PASSWORD), "socks5 us er localhost"),
    ] {
        let TrustedApi { server, trusted } = TrustedApi::new();
        let proxy = proxy::socks(server.address, password);
        let login = if password.is_some() {
            format!("{ENCODED}@")
        } else {
            String::new()
        };
        let url = format!("{scheme}://{login}{}", proxy.address);
        expect_balance(&mut ask_through(&url, &server, &trusted));
        let seen = proxy.next();
        // The local resolver may prefer IPv6, where the version allows it.
        let asked = seen.asked.replace(" ::1:", " 127.0.0.1:");
        assert_eq!(
            asked,
            format!("{target}:{}", server.address.port()),
            "{scheme}"
        );
        expect_only_tls(&seen);
    }
}

#[test]
fn a_name_that_does_not_exist_here_is_resolved_by_a_socks4a_or_socks5h_proxy() {
    let authority = Authority::new();
    let trusted = authority.file();
    for (scheme, target) in [
        ("socks4a", "socks4 api.invalid"),
        ("socks5h", "socks5 nobody api.invalid"),
    ] {
        let server = tls::api(config(authority.sign(&params(&["api.invalid"], |_| {}))));
        let proxy = proxy::socks(server.address, None);
        let mut command = ask("https://api.invalid");
        command.env("SSL_CERT_FILE", trusted.path());
        expect_balance(command.env("HTTPS_PROXY", format!("{scheme}://{}", proxy.address)));
        assert_eq!(proxy.next().asked, format!("{target}:443"));
    }
}

#[test]
fn a_socks5_proxy_is_given_an_ipv6_address() {
    let authority = Authority::new();
    let trusted = authority.file();
    for scheme in ["socks5", "socks5h"] {
        // The proxy connects to the server's IPv4 address, so that the machine needs no IPv6.
        let server = tls::api(config(authority.sign(&params(&["2001:db8::1"], |_| {}))));
        let proxy = proxy::socks(server.address, None);
        let mut command = ask("https://[2001:db8::1]");
        command.env("SSL_CERT_FILE", trusted.path());
        expect_balance(command.env("HTTPS_PROXY", format!("{scheme}://{}", proxy.address)));
        assert_eq!(proxy.next().asked, "socks5 nobody 2001:db8::1:443");
    }
}

#[test]
fn a_server_with_only_ipv6_addresses_cannot_be_reached_through_socks4() {
    let trusted = Authority::new().file();
    let proxy = Server::silent();
    let mut command = ask("https://[2001:db8::1]");
    command.env("SSL_CERT_FILE", trusted.path());
    let message = "2001:db8::1 has no IPv4 address, which SOCKS 4 needs";
    for scheme in ["socks4", "socks4a"] {
        command.env("HTTPS_PROXY", format!("{scheme}://{}", proxy.address));
        let mut command = Command::from_std(std_command(&command));
        let error = expect_error(&mut command, 7, "network", message, None);
        assert_eq!(error["retryable"], false);
    }
    proxy.expect_no_connection();
}

#[test]
fn a_socks_proxy_that_refuses_is_named_with_its_reason() {
    const OTHER_LOGIN: &str = "{} wants a login other than a user name and password";
    const REJECTED: &str = "{} rejected the user name and password";
    const CASES: &[(&str, &[&[u8]], &str, bool)] = &[
        (
            "socks5h",
            &[b"\x05\x00", b"\x05\x01\x00\x01\0\0\0\0\0\0"],
            "general SOCKS server failure",
            true,
        ),
        (
            "socks5h",
            &[b"\x05\x00", b"\x05\x02\x00\x01\0\0\0\0\0\0"],
            "connection not allowed by ruleset",
            false,
        ),
        (
            "socks5h",
            &[b"\x05\x00", b"\x05\x04\x00\x01\0\0\0\0\0\0"],
            "host unreachable",
            true,
        ),
        (
            "socks5h",
            &[b"\x05\x00", b"\x05\x05\x00\x01\0\0\0\0\0\0"],
            messages::REFUSED,
            true,
        ),
        (
            "socks5h",
            &[b"\x05\x00", b"\x05\x07\x00\x01\0\0\0\0\0\0"],
            "command not supported",
            false,
        ),
        (
            "socks5h",
            &[b"\x05\x00", b"\x05\x06\x00\x01\0\0\0\0\0\0"],
            "TTL expired",
            true,
        ),
        (
            "socks5h",
            &[b"\x05\x00", b"\x05\x09\x00\x01\0\0\0\0\0\0"],
            "error 9",
            true,
        ),
        ("socks5h", &[b"\x05\xff"], OTHER_LOGIN, false),
        ("socks5h", &[b"\x05\x02", b"\x01\x01"], REJECTED, false),
        (
            "socks4a",
            &[b"\x00\x5b\0\0\0\0\0\0"],
            "request rejected or failed",
            true,
        ),
        (
            "socks4a",
            &[b"\x00\x5c\0\0\0\0\0\0"],
            "it can't reach identd on this machine",
            false,
        ),
        (
            "socks4a",
            &[b"\x00\x5d\0\0\0\0\0\0"],
            "identd has another user name",
            false,
        ),
    ];
    for (scheme, answers, reason, retryable) in CASES {
        let proxy = answering_in_turn(answers);
        let login = if *scheme == "socks4a" {
            "user"
        } else {
            ENCODED
        };
        let url = format!("{scheme}://{login}@{}", proxy.address);
        let message = match *reason {
            OTHER_LOGIN | REJECTED => (*reason).to_owned(),
            reason => format!("could not connect to SERVER through {{}}: {reason}"),
        };
        expect_proxy_error(&url, &message, None, *retryable);
    }
}

#[test]
fn a_proxy_that_does_not_answer_in_socks_is_named() {
    const CASES: &[(&str, &[&[u8]], &str)] = &[
        ("socks4a", &[b"HTTP/1.1 400 Bad Request\r\n\r\n"], "SOCKS 4"),
        ("socks5h", &[b"HTTP/1.1 400 Bad Request\r\n\r\n"], "SOCKS 5"),
        // The other version's refusal.
        ("socks4a", &[b"\x05\xff"], "SOCKS 4"),
        ("socks5h", &[b"\x00\x5b\0\0\0\0\0\0"], "SOCKS 5"),
        ("socks4a", &[b"\x00\x5e\0\0\0\0\0\0"], "SOCKS 4"),
        ("socks5h", &[b"\x05\x01"], "SOCKS 5"),
        ("socks5h", &[b"\x05\x00", b"\x04"], "SOCKS 5"),
        ("socks5h", &[b"\x05\x00", b"\x05\x00\x00\x02"], "SOCKS 5"),
    ];
    for (scheme, answers, version) in CASES {
        let proxy = answering_in_turn(answers);
        let url = format!("{scheme}://{}", proxy.address);
        let message = format!("{{}} did not answer in {version}");
        expect_proxy_error(&url, &message, None, false);
    }
}

#[test]
fn a_socks_proxy_that_closes_the_connection_is_named() {
    let lost = &messages::lost_connection("{}", messages::CLOSED);
    // As OpenSSH's `ssh -D` does where it can't connect.
    let not_reached = "{} closed the connection without reaching SERVER";
    let cases: [(&str, &'static [&[u8]], &str); 7] = [
        ("socks4a", &[b"\x00"], lost),
        ("socks5h", &[b"\x05"], lost),
        ("socks5h", &[b"\x05\x00", b"\x05"], lost),
        ("socks5h", &[b"\x05\x00", b"\x05\x00\x00\x01\0\0"], lost),
        ("socks5h", &[b""], lost),
        ("socks4a", &[b""], not_reached),
        ("socks5h", &[b"\x05\x00", b""], not_reached),
    ];
    for (scheme, answers, message) in cases {
        let proxy = answering_in_turn(answers);
        let url = format!("{scheme}://{}", proxy.address);
        expect_proxy_error(&url, message, None, true);
    }
}

#[test]
fn a_socks_proxy_that_wants_a_login_says_so() {
    const CASES: [&[&[u8]]; 2] = [&[b"\x05\xff"], &[b"\x05\x02"]];
    let message = "{} requires a user name and password";
    let hint = Some("put them into HTTPS_PROXY: socks5h://user:password@host:port");
    for answers in CASES {
        let proxy = answering_in_turn(answers);
        expect_proxy_error(
            &format!("socks5h://{}", proxy.address),
            message,
            hint,
            false,
        );
    }
}

/// A server that sends each answer after it has read something, and then closes.
fn answering_in_turn(answers: &'static [&'static [u8]]) -> Server {
    Server::new(move |mut stream| {
        for answer in answers {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer);
        }
        close_after_client(&mut stream);
        String::new()
    })
}

#[test]
fn plain_http_never_goes_through_a_proxy() {
    for scheme in ["http", "https", "socks4", "socks4a", "socks5", "socks5h"] {
        let api = api(200, BALANCE);
        let proxy = Server::silent();
        let url = format!("{scheme}://{}", proxy.address);
        let mut command = ask(&api.url());
        command.arg("--verbose");
        for variable in [
            "HTTP_PROXY",
            "http_proxy",
            "HTTPS_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "all_proxy",
        ] {
            command.env(variable, &url);
        }
        let stderr = expect_balance(&mut command);
        let reason = "* proxy: none, as plain http does not go through one\n";
        assert!(stderr.contains(reason), "{stderr}");
        proxy.expect_no_connection();
    }
}

#[test]
fn http_proxy_is_not_read() {
    let TrustedApi { server, trusted } = TrustedApi::new();
    for value in ["http://127.0.0.1:1", "not a proxy: "] {
        for variable in ["http_proxy", "HTTP_PROXY"] {
            let stderr = expect_balance(
                ask_trusting(&server, &trusted)
                    .env(variable, value)
                    .arg("--verbose"),
            );
            let reason = format!(
                "* proxy: none, as HTTPS_PROXY and ALL_PROXY are not set; {} is not read\n",
                shown_variable(variable)
            );
            assert!(stderr.contains(&reason), "{stderr}");
        }
    }
}

#[test]
fn a_value_that_cannot_be_used_is_an_error_that_does_not_show_it() {
    let hint = Some(messages::HOW_TO_NAME_A_PROXY);
    let trusted = Authority::new().file();
    for variable in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        let shown = shown_variable(variable);
        for (value, problem) in [
            (
                "http://user:S3cret/x@127.0.0.1:1",
                "it has a path, or a user name or password that is not percent-encoded",
            ),
            (
                "ftp://user:S3cret@127.0.0.1:1",
                "its scheme is not http, https, socks4, socks4a, socks5 or socks5h",
            ),
            (
                "http://user:S3cret%0a@127.0.0.1:1",
                "its user name or password is not text",
            ),
        ] {
            let server = Server::silent();
            let mut command = ask_trusting(&server, &trusted);
            let message = format!("{shown} does not name a usable proxy: {problem}");
            let error = expect_error(command.env(variable, value), 2, "usage", &message, hint);
            assert_eq!(error["retryable"], false);
            server.expect_no_connection();
        }
    }
}

#[test]
fn a_blank_variable_counts_as_unset() {
    let TrustedApi { server, trusted } = TrustedApi::new();
    let dead = DeadPort::new();
    let proxy = proxy::http(server.address, ESTABLISHED);
    let mut command = ask_through(" ", &server, &trusted);
    expect_balance(command.env("ALL_PROXY", proxy.url()));
    assert!(proxy.next().asked.starts_with("CONNECT "));
    let mut command = ask_through(&format!("http://{}", dead.address), &server, &trusted);
    command.env("NO_PROXY", " ");
    expect_json_error(&mut command, 7, "network");
}

#[test]
fn a_host_in_no_proxy_is_reached_directly() {
    let TrustedApi { server, trusted } = TrustedApi::new();
    let dead = DeadPort::new();
    for (variable, list, entry) in [
        ("NO_PROXY", "localhost", "localhost"),
        ("no_proxy", "example.com, LOCALHOST", "LOCALHOST"),
        ("NO_PROXY", "*", "*"),
    ] {
        let mut command = ask_through(&format!("http://{}", dead.address), &server, &trusted);
        let stderr = expect_balance(command.env(variable, list).arg("--verbose"));
        let shown = shown_variable(variable);
        let reason = format!("* proxy: none, as {shown} has \"{entry}\"\n");
        assert!(stderr.contains(&reason), "{stderr}");
    }
}

#[test]
fn a_host_that_no_certificate_can_name_is_refused() {
    let TrustedApi { server, trusted } = TrustedApi::new();
    let proxy = proxy::http(server.address, ESTABLISHED);
    let mut command = ask_through(&proxy.url(), &server, &trusted);
    command.env("CLADO_API_URL", "https://a..example:1");
    let message = "a..example:1 can't be the name in a certificate";
    expect_error(&mut command, 7, "tls", message, None);
}

/// Which of its listeners a program connects to: `direct`, where the URL points, or one of two that are named as
/// proxies. Where curl is installed, it is asked for its opinion, too.
#[cfg(not(windows))] // Names of variables that differ only in case are one variable there.
#[test]
fn the_proxy_is_the_one_that_curl_uses() {
    use std::sync::mpsc;

    use crate::common::{has_program, std_command};

    let (sender, connections) = mpsc::channel();
    let listener = |name: &'static str| {
        let sender = sender.clone();
        // It sends its name before it closes the connection, and no client ends before that.
        Server::new(move |stream| {
            let _ = stream.peek(&mut [0]);
            sender.send(name).unwrap();
        })
    };
    let listeners = [listener("direct"), listener("a"), listener("b")];
    let [direct, a, b] = listeners.each_ref().map(|listener| listener.address);
    let port = direct.port();
    let [name, address] = ["localhost", "127.0.0.1"].map(|host| format!("https://{host}:{port}"));

    // The URL, the variables, where clado-credits connects, and where curl does if that differs.
    type Row<'a> = (&'a str, Vec<String>, &'a str, Option<&'a str>);
    let proxied = |list: &str| vec![format!("https_proxy={a}"), list.to_owned()];
    let row = |variables, route| -> Row { (&name, variables, route, None) };
    let rows: Vec<Row> = vec![
        // Schemes, and what a URL may leave out.
        row(vec![], "direct"),
        row(vec![format!("https_proxy={a}")], "a"),
        row(vec![format!("https_proxy=HTTP://{a}/")], "a"),
        row(vec![format!("https_proxy=http://user:pa%40ss@{a}")], "a"),
        row(vec![format!("https_proxy=http://user@{a}")], "a"),
        row(vec![format!("https_proxy=https://{a}")], "a"),
        row(vec![format!("https_proxy=socks://{a}")], "a"),
        row(vec![format!("https_proxy=socks4://{a}")], "a"),
        row(vec![format!("https_proxy=socks4a://{a}")], "a"),
        row(vec![format!("https_proxy=socks5://{a}")], "a"),
        row(vec![format!("https_proxy=socks5h://user:pass@{a}")], "a"),
        // Which variable counts.
        row(
            vec![format!("https_proxy={a}"), format!("HTTPS_PROXY={b}")],
            "a",
        ),
        row(
            vec![format!("HTTPS_PROXY={a}"), format!("all_proxy={b}")],
            "a",
        ),
        row(
            vec![format!("all_proxy={a}"), format!("ALL_PROXY={b}")],
            "a",
        ),
        row(
            vec![String::from("https_proxy="), format!("HTTPS_PROXY={b}")],
            "b",
        ),
        row(
            vec![String::from("HTTPS_PROXY="), format!("ALL_PROXY={b}")],
            "b",
        ),
        row(
            vec![format!("http_proxy={a}"), format!("HTTP_PROXY={b}")],
            "direct",
        ),
        // Values that can't be used.
        row(
            vec![String::from("https_proxy=http://127.0.0.1:99999")],
            "none",
        ),
        row(
            vec![String::from("https_proxy=http://127.0.0.1:abc")],
            "none",
        ),
        row(
            vec![
                String::from("https_proxy=http://127.0.0.1:"),
                format!("ALL_PROXY={b}"),
            ],
            "none",
        ),
        row(vec![format!("https_proxy=ftp://{a}")], "none"),
        row(vec![format!("https_proxy=socks6://{a}")], "none"),
        row(vec![format!("https_proxy=http://user:p/ss@{a}")], "none"),
        row(vec![format!("https_proxy=http://user:p#ss@{a}")], "none"),
        row(vec![String::from("https_proxy=/nonsense")], "none"),
        // Exceptions for a name.
        row(proxied("no_proxy=localhost"), "direct"),
        row(proxied("NO_PROXY=LocalHost"), "direct"),
        row(proxied("NO_PROXY=.localhost"), "direct"),
        row(proxied("NO_PROXY=localhost."), "direct"),
        row(proxied("NO_PROXY=a.example, localhost"), "direct"),
        row(proxied("NO_PROXY=a.example localhost"), "direct"),
        row(proxied("NO_PROXY=*"), "direct"),
        row(proxied("NO_PROXY=a.example,*"), "a"),
        row(proxied("NO_PROXY=local*"), "a"),
        row(proxied("NO_PROXY=host"), "a"),
        row(proxied("NO_PROXY=sub.localhost"), "a"),
        row(proxied("NO_PROXY=127.0.0.1"), "a"),
        row(proxied(&format!("NO_PROXY=localhost:{port}")), "a"),
        row(
            [proxied("no_proxy=a.example"), proxied("NO_PROXY=localhost")].concat(),
            "a",
        ),
        row(
            [proxied("no_proxy="), proxied("NO_PROXY=localhost")].concat(),
            "direct",
        ),
        // Exceptions for an address.
        (&address, proxied("NO_PROXY=127.0.0.1"), "direct", None),
        (&address, proxied("NO_PROXY=127.0.0.0/8"), "direct", None),
        (&address, proxied("NO_PROXY=127.0.0.2/31"), "a", None),
        (
            &address,
            proxied("NO_PROXY=10.0.0.0/8, 127.1.2.3/8"),
            "direct",
            None,
        ),
        (&address, proxied("NO_PROXY=localhost"), "a", None),
        (&address, proxied("NO_PROXY=0.0.1"), "a", None),
        (
            &address,
            proxied(&format!("NO_PROXY=127.0.0.1:{port}")),
            "a",
            None,
        ),
        // Differences. curl ignores a path, but it may be part of a password that is not percent-encoded.
        (
            &name,
            vec![format!("https_proxy=http://{a}/path")],
            "none",
            Some("a"),
        ),
        (
            &name,
            vec![format!("https_proxy=http://user:p@ss@{a}")],
            "a",
            Some("none"),
        ),
        (
            &name,
            vec![format!("https_proxy= http://{a} ")],
            "a",
            Some("none"),
        ),
        (&name, proxied("NO_PROXY=*.localhost"), "direct", Some("a")),
    ];
    let route = |mut command: std::process::Command, variables: &[String]| {
        command.envs(
            variables
                .iter()
                .filter_map(|variable| variable.split_once('=')),
        );
        command.output().unwrap();
        let all: Vec<_> = connections.try_iter().collect();
        assert!(all.len() <= 1, "{command:?} connected to {all:?}");
        all.first().copied().unwrap_or("none")
    };
    let has_curl = has_program("curl");
    for (url, variables, expected, expected_of_curl) in rows {
        assert_eq!(
            route(std_command(&ask(url)), &variables),
            expected,
            "{url} {variables:?}"
        );
        if has_curl {
            let mut curl = std::process::Command::new("curl");
            curl.env_clear().args(["-q", "-s", "-m", "20", url]);
            let expected = expected_of_curl.unwrap_or(expected);
            assert_eq!(
                route(curl, &variables),
                expected,
                "curl: {url} {variables:?}"
            );
        }
    }
}

//! CONNECT: the request that an HTTP proxy gets, byte for byte, and the answers that count as a connection.

use std::io::{Read, Write};
use std::process::Command;

use crate::common::messages;
use crate::common::proxy;
use crate::common::server::{Server, close_after_client, read_head};
use crate::common::tls::{self, Authority, TrustedApi, ask_trusting, config, params};
use crate::common::{KEY, ask, expect_balance, expect_error, expect_json_error, has_program, run};

const ESTABLISHED: &str = "HTTP/1.1 200 OK\r\n\r\n";
const AGENT: &str = concat!("clado-credits/", env!("CARGO_PKG_VERSION"));

#[test]
fn the_request_has_the_target_with_its_port_and_four_headers_at_most() {
    let authority = Authority::new();
    let trusted = authority.file();
    for (host, url, target) in [
        ("api.invalid", "https://api.invalid", "api.invalid:443"),
        (
            "api.invalid",
            "https://api.invalid:8443/v2",
            "api.invalid:8443",
        ),
        ("2001:db8::1", "https://[2001:db8::1]", "[2001:db8::1]:443"),
        ("192.0.2.1", "https://192.0.2.1:444", "192.0.2.1:444"),
    ] {
        for (login, authorization) in [
            ("", ""),
            // printf 'user:pass' | base64
            ("user:pass@", "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"),
        ] {
            let api = tls::api(config(authority.sign(&params(&[host], |_| {}))));
            let proxy = proxy::http(api.address, ESTABLISHED);
            let mut command = ask(url);
            command
                .env("SSL_CERT_FILE", trusted.path())
                .env("HTTPS_PROXY", format!("http://{login}{}", proxy.address));
            expect_balance(&mut command);
            assert_eq!(
                proxy.next().asked,
                format!(
                    "CONNECT {target} HTTP/1.1\r\n\
                     Host: {target}\r\n\
                     User-Agent: {AGENT}\r\n\
                     {authorization}\
                     Proxy-Connection: Keep-Alive\r\n\r\n"
                )
            );
        }
    }
}

#[test]
fn a_login_is_encoded_with_the_standard_alphabet_of_base64() {
    // printf '%s' 'a>>:???' | base64, and so on.
    for (login, encoded) in [
        ("a>>:%3f%3f%3f", "YT4+Oj8/Pw=="),
        (">>>%3f>:~~%3f", "Pj4+Pz46fn4/"),
        ("user", "dXNlcjo="),
        ("user:", "dXNlcjo="),
        (":pass", "OnBhc3M="),
        // printf 'DOMAIN\\user:pass' | base64
        (r"DOMAIN\user:pass", "RE9NQUlOXHVzZXI6cGFzcw=="),
        ("DOMAIN%5Cuser:pass", "RE9NQUlOXHVzZXI6cGFzcw=="),
    ] {
        let TrustedApi { server, trusted } = TrustedApi::new();
        let proxy = proxy::http(server.address, ESTABLISHED);
        let mut command = ask_trusting(&server, &trusted);
        command.env("HTTPS_PROXY", format!("http://{login}@{}", proxy.address));
        expect_balance(&mut command);
        let asked = proxy.next().asked;
        let header = format!("\r\nProxy-Authorization: Basic {encoded}\r\n");
        assert!(asked.contains(&header), "{login}: {asked}");
    }
}

#[test]
fn the_server_is_sent_the_same_four_headers_behind_a_proxy_with_a_login() {
    for scheme in ["http", "https", "socks5h"] {
        let authority = Authority::new();
        let (server, trusted) = (tls::api(config(authority.good())), authority.file());
        let proxy = match scheme {
            "http" => proxy::http(server.address, ESTABLISHED),
            "https" => proxy::https(server.address, config(authority.good())),
            _ => proxy::socks(server.address, Some("pass")),
        };
        let mut command = ask_trusting(&server, &trusted);
        let url = format!("{scheme}://user:pass@localhost:{}", proxy.address.port());
        expect_balance(command.env("HTTPS_PROXY", url));
        let request = server.expect_one_request().to_lowercase();
        let mut lines: Vec<&str> = request.trim_end().lines().collect();
        assert_eq!(lines.remove(0), "get /api/credits http/1.1");
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "accept: application/json".to_owned(),
                format!("authorization: bearer {KEY}"),
                format!("host: localhost:{}", server_port(&request)),
                format!("user-agent: {AGENT}"),
            ]
        );
    }
}

/// The port in the Host header of a request.
fn server_port(request: &str) -> &str {
    let (_, host) = request.split_once("\r\nhost: localhost:").unwrap();
    host.lines().next().unwrap()
}

#[test]
fn odd_header_lines_after_a_good_status_line_do_no_harm() {
    for lines in [
        "X-Space : a",
        "no colon",
        "<br />",
        "<b>Warning</b>:  fopen(/x): failed in <b>/var/www/proxy.php</b> on line <b>3</b><br />",
        "X-Caf\u{e9}: a",
        ": no name",
        " X-Indented: a",
        "X-Folded: a\r\n b",
        "X-Bell: \u{7}",
        "X Two: words",
    ] {
        let TrustedApi { server, trusted } = TrustedApi::new();
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}\r\nVia: x\r\n\r\n");
        let proxy = proxy::http(server.address, answer);
        let mut command = ask_trusting(&server, &trusted);
        expect_balance(command.env("HTTPS_PROXY", proxy.url()));
    }
}

#[test]
fn a_proxy_that_answers_with_sixty_thousand_short_lines_is_read_to_the_blank_one() {
    let TrustedApi { server, trusted } = TrustedApi::new();
    let answer = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x\n".repeat(30_000));
    let proxy = proxy::http(server.address, answer);
    let mut command = ask_trusting(&server, &trusted);
    expect_balance(command.env("HTTPS_PROXY", proxy.url()));
}

#[test]
fn a_login_page_in_bytes_that_are_no_utf8_is_no_obstacle() {
    let proxy = Server::sending(
        b"HTTP/1.1 302 \xe9\r\nX: \xff\r\nLOCATION : http://login.example/\xe9\r\n\r\n",
    );
    let trusted = Authority::new().file();
    let mut command = ask("https://api.invalid");
    command
        .env("SSL_CERT_FILE", trusted.path())
        .env("HTTPS_PROXY", proxy.url());
    let message = format!(
        "the proxy {} (from HTTPS_PROXY) refused to connect to api.invalid:443 (HTTP 302) \
         and redirected to http://login.example/\u{fffd}",
        proxy.url()
    );
    expect_error(&mut command, 7, "network", &message, None);
}

#[test]
fn basic_is_known_in_each_spelling_and_only_as_a_scheme() {
    let trusted = Authority::new().file();
    for (challenges, is_basic) in [
        ("Proxy-Authenticate: Basic realm=\"x\"", true),
        ("Proxy-Authenticate: basic realm=\"x\"", true),
        ("proxy-authenticate:BASIC realm=\"x\"", true),
        ("Proxy-Authenticate: Basic", true),
        (
            "Proxy-Authenticate: Negotiate, NTLM, Basic realm=\"x\"",
            true,
        ),
        (
            "Proxy-Authenticate: Digest realm=\"a, b\", nonce=\"c\", Basic realm=\"x\"",
            true,
        ),
        (
            "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: Basic realm=\"x\"",
            true,
        ),
        ("Proxy-Authenticate: Digest realm=\"Basic users\"", false),
        ("Proxy-Authenticate: Digest realm=\"users, Basic\"", false),
        ("Proxy-Authenticate: NTLM\r\nX-Basic: Basic", false),
    ] {
        let proxy = Server::sending(format!("HTTP/1.1 407 Login\r\n{challenges}\r\n\r\n"));
        let mut command = ask("https://api.invalid");
        command
            .env("SSL_CERT_FILE", trusted.path())
            .env("HTTPS_PROXY", proxy.url());
        let error = expect_json_error(&mut command, 7, "network");
        let expected = if is_basic {
            "requires a user name and password"
        } else {
            "wants a login other than Basic, which is not supported"
        };
        let message = format!(
            "the proxy {} (from HTTPS_PROXY) {expected} (HTTP 407)",
            proxy.url()
        );
        assert_eq!(error["message"], message, "{challenges}");
    }
}

#[test]
fn a_proxy_that_rejects_a_login_with_401_is_understood() {
    let trusted = Authority::new().file();
    // As tinyproxy answers a wrong login.
    let answer = "HTTP/1.1 401 Unauthorized\r\nServer: tinyproxy/1.11.1\r\n\r\n<html>";
    let proxy = Server::sending(answer);
    let mut command = ask("https://api.invalid");
    command.env("SSL_CERT_FILE", trusted.path()).env(
        "HTTPS_PROXY",
        format!("http://user:wrong@{}", proxy.address),
    );
    let message = format!(
        "the proxy {} (from HTTPS_PROXY) rejected the user name and password (HTTP 401)",
        proxy.url()
    );
    let error = expect_error(&mut command, 7, "network", &message, None);
    assert_eq!(error["retryable"], false);
}

#[test]
fn verbose_shows_each_step_through_an_http_proxy_and_no_password() {
    for scheme in ["http", "https"] {
        let authority = Authority::new();
        let server = tls::api(config(authority.sign(&params(&["api.invalid"], |_| {}))));
        let trusted = authority.file();
        let proxy = match scheme {
            "http" => proxy::http(server.address, ESTABLISHED),
            _ => proxy::https(server.address, config(authority.good())),
        };
        let url = format!("localhost:{}", proxy.address.port());
        let mut command = ask("https://api.invalid");
        command
            .env("SSL_CERT_FILE", trusted.path())
            .env("HTTPS_PROXY", format!("{scheme}://user:S3cret@{url}"))
            .arg("--verbose");
        let stderr = expect_balance(&mut command);
        let using = format!("* using the proxy {scheme}://{url} (from HTTPS_PROXY)\n");
        let connected = messages::connected_to(proxy.address);
        let answered = "* CONNECT api.invalid:443\n* the proxy has answered with HTTP 200\n";
        let mut rest = stderr.as_str();
        for line in [using.as_str(), &connected, answered] {
            let (_, after) = rest.split_once(line).unwrap_or_else(|| panic!("{stderr}"));
            rest = after;
        }
        for secret in ["S3cret", "user:", "dXNl"] {
            assert!(!stderr.contains(secret), "{stderr}");
        }
    }
}

/// Pieces of answers to CONNECT. Any number of the header lines follows one of the status lines.
const STATUS_LINES: [&str; 24] = [
    "HTTP/1.1 200 Connection established",
    "HTTP/1.1 200 OK",
    "HTTP/1.0 200 OK",
    "HTTP/1.1 200",
    "HTTP/1.0 200 ",
    "HTTP/1.1 200 D\u{e9}j\u{e0} vu",
    "HTTP/1.1 201 Created",
    "HTTP/1.1 204 No Content",
    "HTTP/1.1 299 Odd",
    "HTTP/1.1 302 Found",
    "HTTP/1.1 400 Bad Request",
    "HTTP/1.1 403 Forbidden",
    "HTTP/1.1 407 Proxy Authentication Required",
    "HTTP/1.1 404 Not Found",
    "HTTP/1.1 503 Service Unavailable",
    "HTTP/1.1 600 Odd",
    "HTTP/1.1 20 OK",
    "HTTP/1.1 OK",
    "HTTP/1.1",
    "ICY 200 OK",
    "SSH-2.0-OpenSSH_9.2",
    "<html>",
    "HTTP/1.1  200 OK",
    "HTTP/1.1\t200 OK",
];

const HEADER_LINES: [&str; 24] = [
    "Via: 1.1 proxy",
    "Proxy-Agent: old/1.0",
    "Connection: keep-alive",
    "Connection: close",
    "Proxy-Connection: close",
    "Proxy-Authenticate: Basic realm=\"x\"",
    "Set-Cookie: a=b",
    "Content-Type: text/html",
    "Content-Length: 0",
    "Transfer-Encoding: chunked",
    "Date:",
    "X-No-Space:a",
    "X-Tab:\ta",
    "X-Space : a",
    "X Two: words",
    "no colon",
    ": no name",
    " X-Indented: a",
    "X-Folded: a\r\n b",
    "X-Caf\u{e9}: a",
    "X-Bell: \u{7}",
    "<br />",
    "<b>Warning</b>: fopen(/x) failed in <b>/x.php</b> on line <b>3</b><br />",
    "PHP Notice:  Undefined index",
];

/// The lines that curl 7.88 stops at, and the program does not: only the status line has to be right.
const STOPS_CURL: [&str; 3] = ["no colon", "<br />", " X-Indented: a"];

/// One answer of many, always the same for a seed.
fn answer(seed: usize) -> String {
    let status_line = STATUS_LINES[seed % STATUS_LINES.len()];
    let line_end = if seed.is_multiple_of(5) { "\n" } else { "\r\n" };
    let mut answer = format!("{status_line}{line_end}");
    // A step that shares no divisor with the number of lines, so that all of them are used.
    let step = [1, 5, 7, 11][seed % 4];
    for number in 0..seed % 6 {
        let line = HEADER_LINES[(seed / 3 + number * step) % HEADER_LINES.len()];
        answer += line;
        answer += line_end;
    }
    answer + line_end
}

#[test]
fn an_answer_that_is_a_connection_for_curl_is_one_here_and_few_others_are() {
    if !has_program("curl") {
        return;
    }
    const COUNT: usize = 144;
    // The number of the answer is the user name. What a client sends after the answer tells what it made of it.
    let proxy = Server::new(|mut stream| {
        let head = read_head(&mut stream);
        let (_, number) = head.split_once("CONNECT n").unwrap_or_default();
        let (number, _) = number.split_once('.').unwrap_or_default();
        let Ok(seed) = number.parse() else {
            return None;
        };
        let _ = stream.write_all(answer(seed).as_bytes());
        let mut first = [0];
        let starts_tls = matches!(stream.read(&mut first), Ok(1)) && first[0] == 0x16;
        close_after_client(&mut stream);
        Some((seed, starts_tls))
    });
    let trusted = Authority::new().file();
    let ours = |seed: usize| {
        let mut command = ask(&format!("https://n{seed}.invalid"));
        command
            .env("SSL_CERT_FILE", trusted.path())
            .env("HTTPS_PROXY", proxy.url());
        let run = run(&mut command);
        assert_eq!(run.code, Some(7), "{}", run.stderr);
    };
    let curls = |seed: usize| {
        let mut curl = Command::new("curl");
        curl.env_clear();
        curl.args(["-q", "-s", "-m", "20", "-x", &proxy.url()]);
        curl.arg(format!("https://n{seed}.invalid"));
        curl.output().unwrap();
    };
    let mut connections = 0;
    for seed in 0..COUNT {
        ours(seed);
        let taken = proxy.next().unwrap();
        curls(seed);
        let taken_by_curl = proxy.next().unwrap();
        assert_eq!(taken.0, taken_by_curl.0);
        let answer = answer(seed);
        let stops_curl = STOPS_CURL.iter().any(|line| answer.contains(line));
        assert!(
            taken.1 == taken_by_curl.1 || (taken.1 && stops_curl),
            "curl takes it for a connection: {}; {}",
            taken_by_curl.1,
            answer.escape_debug()
        );
        connections += usize::from(taken.1);
    }
    assert!(
        (COUNT / 4..COUNT * 3 / 4).contains(&connections),
        "{connections} of {COUNT} answers were a connection"
    );
}

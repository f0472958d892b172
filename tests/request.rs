//! What is sent: one GET, to one host, with nothing in it that is not needed.

use std::io::Write;
use std::sync::Arc;

use assert_cmd::Command;

use crate::common::messages;
use crate::common::server::{DeadPort, Server, close_after_client, read_head, reset_on_close};
use crate::common::{
    BALANCE, KEY, KEY_WITHOUT_PREFIX, api, ask, clado, expect_balance, expect_error, good_reply,
    proxy, run, tls,
};

const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

#[test]
fn the_request_is_one_get_with_four_headers() {
    let server = Server::sending(good_reply());
    let (host, bearer) = (
        format!("host: {}", server.address),
        format!("authorization: Bearer {KEY}"),
    );
    let agent = concat!("user-agent: clado-credits/", env!("CARGO_PKG_VERSION"));
    ask(&server.url()).assert().code(0);
    let head = server.expect_one_request();
    let (request, headers) = head.trim_end().split_once("\r\n").unwrap();
    assert_eq!(request, "GET /api/credits HTTP/1.1");
    let lower_case_name = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        format!("{}:{value}", name.to_ascii_lowercase())
    };
    let mut headers: Vec<String> = headers.lines().map(lower_case_name).collect();
    headers.sort();
    assert_eq!(headers, ["accept: application/json", &bearer, &host, agent]);
}

#[test]
fn a_failure_is_not_tried_again() {
    for (what, reply, code) in [
        (
            "429",
            "HTTP/1.1 429 Slow down\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
            6,
        ),
        ("500", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", 5),
        (
            "502",
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
            5,
        ),
        (
            "503",
            "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
            5,
        ),
        ("no reply", "", 7),
        ("half a head", "HTTP/1.1 200 OK\r\nContent-", 7),
        (
            "half a body",
            "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"cred",
            7,
        ),
        ("not HTTP", "nonsense\r\n\r\n", 8),
    ] {
        let server = Server::sending(reply);
        let run = run(&mut ask(&server.url()));
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (Some(code), ""),
            "{what}: {}",
            run.stderr
        );
        server.expect_one_request();
    }
}

#[test]
fn a_reset_connection_is_not_tried_again() {
    let server = Server::replying(|stream| reset_on_close(stream));
    ask(&server.url()).assert().code(7).stdout("");
    server.expect_one_request();
}

#[test]
fn a_rate_limit_is_reported_without_waiting() {
    for seconds in [1, 600] {
        let body = format!(r#"{{"error": "Rate limit exceeded", "retry_after": {seconds}}}"#);
        let length = body.len();
        let server = Server::sending(format!(
            "HTTP/1.1 429 Slow down\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        // The time limit is longer than the wait, so that it does not end one.
        ask(&server.url())
            .args(["--timeout", "3600"])
            .assert()
            .code(6)
            .stdout("");
        server.expect_one_request();
    }
}

#[test]
fn a_rate_limit_keeps_the_text_of_the_server_under_a_time_limit_shorter_than_the_wait() {
    // A run that slept would be ended by its time limit, before or after it had read the text.
    let body = r#"{"error": "Rate limit exceeded", "retry_after": 60}"#;
    let server = Server::sending(format!(
        "HTTP/1.1 429 Slow down\r\nRetry-After: 60\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let mut command = ask(&server.url());
    let run = run(command.args(["-v", "--timeout", "2"]));
    assert_eq!(run.code, Some(6), "{}", run.stderr);
    let error = run.stderr.lines().last().unwrap();
    assert!(
        error.starts_with("error: rate limited (HTTP 429): Rate limit exceeded; try again in 60 s"),
        "{error}"
    );
    assert_eq!(run.stderr.matches("* GET ").count(), 1, "{}", run.stderr);
    server.expect_one_request();
}

#[test]
fn a_redirect_is_not_followed_to_the_same_host_and_port() {
    for (status, absolute) in [
        (301, true),
        (302, true),
        (302, false),
        (303, true),
        (307, true),
        (308, false),
    ] {
        let server = Server::replying(move |stream| {
            let origin = stream
                .local_addr()
                .map(|address| format!("http://{address}"))
                .unwrap();
            let origin = if absolute { origin } else { String::new() };
            let head = format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {origin}/moved\r\n");
            write!(stream, "{head}Content-Length: 0\r\n\r\n").unwrap();
        });
        let (address, url) = (server.address, server.url());
        let target = if absolute {
            format!("{url}/moved")
        } else {
            "/moved".to_owned()
        };
        let run = run(&mut ask(&url));
        assert_eq!((run.code, run.stdout.as_str()), (Some(8), ""));
        assert_eq!(
            run.stderr,
            format!(
                "error: {}\nhint: {}\n",
                messages::redirected(address, &target, status),
                messages::check_url(&url)
            )
        );
        server.expect_one_request();
    }
}

#[test]
fn a_path_in_the_url_is_kept() {
    for path in ["/v2", "/v2/", "/v2//"] {
        let server = Server::sending(good_reply());
        expect_balance(&mut ask(&format!("{}{path}", server.url())));
        assert!(
            server
                .expect_one_request()
                .starts_with("GET /v2/api/credits HTTP/1.1\r\n"),
            "{path}"
        );
    }
}

#[test]
fn the_url_on_the_command_line_beats_the_variable() {
    let server = api(200, BALANCE);
    for variable in ["http://127.0.0.1:9/never", "not a url"] {
        expect_balance(ask(variable).args(["--api-url", &server.url()]));
    }
}

#[test]
fn a_blank_url_variable_counts_as_unset() {
    let port = DeadPort::new();
    let proxy = format!("http://{}", port.address);
    for blank in ["", "  "] {
        // Plain http would not go through a proxy: it is the default URL that is asked.
        let run = run(ask(blank).env("HTTPS_PROXY", &proxy));
        let name = messages::proxy(&proxy, "HTTPS_PROXY");
        let message = format!("error: {}", messages::could_not_connect(name, ""));
        assert!(
            run.code == Some(7) && run.stderr.starts_with(&message),
            "{run:?}"
        );
    }
}

#[test]
fn a_bad_url_is_a_usage_error_that_does_not_show_it() {
    for (url, problem) in [
        ("search.clado.ai", messages::NOT_A_URL),
        ("ftp://host", "the scheme must be https"),
        (
            "https://joe:hunter2@host",
            "user name and password are not allowed in it",
        ),
        ("https://host/?token=hunter2", messages::HAS_QUERY),
        ("https://host/#hunter2", messages::HAS_QUERY),
        (
            "http://search.clado.ai",
            "plain http is only for this machine; use https, or a loopback address",
        ),
        (
            "https://host:99999",
            "its port is not a number from 1 to 65535",
        ),
    ] {
        let message = messages::bad_url("CLADO_API_URL", problem);
        expect_error(&mut ask(url), 2, "usage", &message, None);
        let message = messages::bad_url("--api-url", problem);
        expect_error(
            clado().args(["--api-key", KEY, "--api-url", url]),
            2,
            "usage",
            &message,
            None,
        );
    }
}

#[test]
fn a_url_with_blanks_or_other_characters_than_ascii_is_refused() {
    let server = Server::silent();
    let url = server.url();
    let path = "its path has a character that is not allowed in a URL";
    let not_ascii = "its path is not in ASCII; percent-encode it";
    for (base, problem) in [
        (format!("{url}/a b"), path),
        (format!("{url}/a\tb"), path),
        (format!("{url}/a\u{7f}b"), path),
        (format!("{url}/höhe"), not_ascii),
        (format!("{url}/\u{202e}x\u{2066}"), not_ascii),
        (format!("{url}/v2\u{a0}"), not_ascii),
    ] {
        let message = messages::bad_url("CLADO_API_URL", problem);
        expect_error(&mut ask(&base), 2, "usage", &message, None);
    }
    server.expect_no_request();
}

#[test]
fn a_base_url_of_4_kib_is_sent_whole_and_a_longer_one_is_refused() {
    let server = Server::sending(good_reply());
    let start = format!("{}/", server.url());
    let path = "x".repeat(4096 - start.len());
    expect_balance(&mut ask(&format!("{start}{path}")));
    let message = &messages::bad_url("CLADO_API_URL", "it is longer than 4 KiB");
    expect_error(
        &mut ask(&format!("{start}{path}x")),
        2,
        "usage",
        message,
        None,
    );
    let request = server.expect_one_request();
    assert!(request.starts_with(&format!("GET /{path}/api/credits HTTP/1.1\r\n")));
}

#[test]
fn a_malformed_host_is_refused_without_a_request() {
    for host in [
        "[]x:443",
        "[]:443",
        "[127.0.0.1]",
        "[::1]10.9.9.9:443",
        "[::1]x",
        "[::1",
        "::1",
        "a b",
    ] {
        let proxy = Server::silent();
        let message = messages::bad_url("CLADO_API_URL", messages::BAD_HOST);
        let mut command = ask(&format!("https://{host}"));
        expect_error(
            command.env("HTTPS_PROXY", proxy.url()),
            2,
            "usage",
            &message,
            None,
        );
        proxy.expect_no_request();
    }
}

#[test]
fn an_address_with_something_behind_its_bracket_is_refused_without_a_request() {
    if crate::common::has_ipv6() {
        let server = Server::on("::1", |mut stream| read_head(&mut stream));
        let url = format!("http://[::1]10.9.9.9:{}", server.address.port());
        let message = messages::bad_url("CLADO_API_URL", messages::BAD_HOST);
        expect_error(&mut ask(&url), 2, "usage", &message, None);
        server.expect_no_request();
    }
}

#[test]
fn what_may_come_from_a_wrong_url_hints_at_it() {
    for (what, reply) in [
        ("404", NOT_FOUND),
        (
            "redirect",
            "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "web page",
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        ),
        (
            "not JSON",
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwelcome",
        ),
        ("not HTTP", "SSH-2.0-OpenSSH_9.2p1\r\n"),
    ] {
        let server = Server::sending(reply);
        let url = format!("{}/v2", server.url());
        for (setting, command) in [
            ("CLADO_API_URL", &mut ask(&url)),
            ("--api-url", ask("").args(["--api-url", &url])),
            (
                "--api-url",
                ask("https://clado.invalid").args(["--api-url", &url]),
            ),
        ] {
            let hint = format!("\nhint: {}\n", messages::check_setting(setting, &url));
            let stderr = run(command).stderr;
            assert!(stderr.ends_with(&hint), "{what}: {stderr}");
        }
    }
}

#[test]
fn a_url_that_ends_in_the_path_of_the_balance_gets_a_hint() {
    let server = Server::sending(NOT_FOUND);
    let url = format!("{}/api/credits", server.url());
    let hint =
        format!("leave /api/credits out of CLADO_API_URL; the request went to {url}/api/credits");
    let message = messages::NOT_FOUND;
    expect_error(&mut ask(&url), 4, "not_found", message, Some(&hint));
}

#[test]
fn the_default_url_is_not_hinted_at() {
    let authority = tls::Authority::new();
    let certificate = authority.sign(&tls::params(&["search.clado.ai"], |_| {}));
    let config = Arc::new(tls::config(certificate));
    let server = Server::new(move |stream| {
        let mut stream = tls::accept(&config, stream);
        read_head(&mut stream);
        let _ = stream.write_all(NOT_FOUND.as_bytes());
        close_after_client(&mut stream.sock);
    });
    let proxy = proxy::http(server.address, "HTTP/1.1 200 OK\r\n\r\n");
    let file = authority.file();
    let mut command = ask("");
    command
        .env("HTTPS_PROXY", proxy.url())
        .env("SSL_CERT_FILE", file.path());
    expect_error(
        &mut command,
        4,
        "not_found",
        messages::NOT_FOUND,
        Some(messages::OUT_OF_DATE),
    );
}

/// What `-v` prints before the reply's status.
#[track_caller]
fn verbose(command: &mut Command) -> String {
    let stderr = expect_balance(command.arg("-v"));
    let (before, after) = stderr.split_once("* HTTP 200 after ").unwrap();
    let (time, after) = after.split_once(" ms\n").unwrap();
    assert!(after.starts_with("* content type: "), "{after}");
    assert!(time.bytes().all(|b| b.is_ascii_digit()), "{time}");
    before.to_owned()
}

#[test]
fn verbose_shows_what_is_sent_where_but_not_the_key() {
    let server = api(200, BALANCE);
    let (url, address) = (server.url(), server.host_with_port());
    assert_eq!(
        verbose(&mut ask(&url)),
        format!(
            "* key: from CLADO_API_KEY\n\
             * proxy: none, as plain http does not go through one\n\
             * GET {url}/api/credits, Authorization: Bearer (redacted)\n\
             * trying {address}\n\
             * connected to {address}\n"
        )
    );
}

#[test]
fn a_key_in_the_path_of_the_url_is_not_shown() {
    for key in [KEY, KEY_WITHOUT_PREFIX] {
        let server = Server::sending(good_reply());
        let url = server.url();
        let stderr = verbose(ask(&format!("{url}/{key}")).env("CLADO_API_KEY", key));
        assert!(
            stderr.contains(&format!("* GET {url}/(redacted)/api/credits, ")),
            "{stderr}"
        );
        assert!(!stderr.contains(key), "{stderr}");
    }
}

#[test]
fn a_key_in_the_path_of_the_url_is_not_shown_in_an_error() {
    const REDIRECT: &str = "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n";
    const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>";
    const FAILURE: &str = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
    for key in [KEY, KEY_WITHOUT_PREFIX] {
        for reply in [NOT_FOUND, REDIRECT, PAGE, FAILURE] {
            let server = Server::sending(reply);
            let url = server.url();
            let mut command = ask(&format!("{url}/{key}"));
            let stderr = run(command.env("CLADO_API_KEY", key)).stderr;
            let place = format!("the request went to {url}/(redacted)/api/credits");
            assert!(stderr.contains(&place), "{stderr}");
            assert!(!stderr.contains(key), "{stderr}");
        }
    }
}

#[test]
fn a_url_whose_host_holds_the_key_is_refused_without_a_request() {
    for key in [KEY, KEY_WITHOUT_PREFIX] {
        for url in [
            format!("https://{key}"),
            format!("https://{key}.example:443/v2"),
        ] {
            let proxy = Server::silent();
            let mut command = ask(&url);
            expect_error(
                command.env("CLADO_API_KEY", key),
                2,
                "usage",
                &messages::contains_key("host", "CLADO_API_URL"),
                None,
            );
            let mut command = ask("");
            command
                .env("CLADO_API_KEY", key)
                .env("HTTPS_PROXY", proxy.url())
                .args(["--api-url", &url]);
            expect_error(
                &mut command,
                2,
                "usage",
                &messages::contains_key("host", "--api-url"),
                None,
            );
            proxy.expect_no_request();
        }
    }
}

#[test]
fn a_proxy_whose_host_is_the_key_is_refused() {
    for key in [KEY, KEY_WITHOUT_PREFIX] {
        for variable in ["HTTPS_PROXY", "ALL_PROXY"] {
            let mut command = ask("https://127.0.0.1");
            command
                .env("CLADO_API_KEY", key)
                .env(variable, format!("http://{key}:3128"));
            expect_error(
                &mut command,
                2,
                "usage",
                &messages::contains_key("host", variable),
                None,
            );
        }
    }
}

#[test]
fn a_host_with_a_part_of_the_key_is_refused() {
    for key in [KEY, KEY_WITHOUT_PREFIX] {
        let part = &key[2..14];
        let mut command = ask(&format!("https://x{part}x.invalid"));
        command.env("CLADO_API_KEY", key);
        let message = &messages::contains_key("host", "CLADO_API_URL");
        expect_error(&mut command, 2, "usage", message, None);

        let mut command = ask("https://127.0.0.1");
        command
            .env("CLADO_API_KEY", key)
            .env("ALL_PROXY", format!("socks5h://x{part}x.invalid"));
        let message = &messages::contains_key("host", "ALL_PROXY");
        expect_error(&mut command, 2, "usage", message, None);
    }
}

#[test]
fn a_proxy_is_not_sent_the_key_as_a_user_name_or_password() {
    let encoded: String = KEY.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let part = &KEY[2..14];
    for scheme in ["http", "https", "socks4", "socks4a", "socks5", "socks5h"] {
        let proxy = Server::silent();
        let mut logins = vec![
            KEY.to_owned(),
            format!("x{KEY}x"),
            encoded.clone(),
            part.to_owned(),
        ];
        if !scheme.starts_with("socks4") {
            logins.push(format!("user:{KEY}"));
            logins.push(format!("user:{encoded}"));
            logins.push(format!("user:x{part}x"));
        }
        for login in logins {
            let mut command = ask("https://127.0.0.1");
            command.env(
                "HTTPS_PROXY",
                format!("{scheme}://{login}@{}", proxy.address),
            );
            let message = &messages::contains_key("user name or password", "HTTPS_PROXY");
            let error = expect_error(&mut command, 2, "usage", message, None);
            assert_eq!(error["retryable"], false);
        }
        proxy.expect_no_connection();
    }
}

#[test]
fn a_key_with_a_colon_inside_is_not_sent_to_a_proxy_in_two_parts() {
    let key = "lk_test_not:a_real_key";
    let proxy = Server::silent();
    let mut command = ask("https://127.0.0.1");
    command
        .env("CLADO_API_KEY", key)
        .env("HTTPS_PROXY", format!("http://{key}@{}", proxy.address));
    let message = &messages::contains_key("user name or password", "HTTPS_PROXY");
    expect_error(&mut command, 2, "usage", message, None);
    proxy.expect_no_connection();
}

#[test]
fn a_key_in_a_url_that_is_refused_is_not_shown() {
    for key in [KEY, KEY_WITHOUT_PREFIX] {
        for url in [
            key.to_owned(),
            format!("https://{key}@host"),
            format!("{key}://host"),
        ] {
            let run = run(ask(&url).env("CLADO_API_KEY", key));
            assert_eq!(run.code, Some(2), "{}", run.stderr);
            assert!(!run.stderr.contains(key), "{}", run.stderr);
        }
    }
}

#[test]
fn a_key_in_a_proxy_variable_is_not_shown() {
    let port = DeadPort::new();
    let address = port.address;
    for key in [KEY, KEY_WITHOUT_PREFIX] {
        for (value, code) in [
            (format!("http://{key}@{address}"), 2),
            (format!("http://user:{key}@{address}"), 2),
            (format!("http://{address}/{key}"), 2),
            (format!("{key}://{address}"), 2),
            (format!("http://{key}:port"), 2),
        ] {
            let mut command = ask("https://127.0.0.1");
            command
                .env("CLADO_API_KEY", key)
                .env("HTTPS_PROXY", value)
                .arg("-v");
            let run = run(&mut command);
            assert_eq!(
                (run.code, run.stdout.as_str()),
                (Some(code), ""),
                "{}",
                run.stderr
            );
            assert!(
                !run.stderr.contains(key) && run.stderr.contains("HTTPS_PROXY"),
                "{}",
                run.stderr
            );
        }
    }
}

#[test]
fn a_key_in_the_path_of_certificates_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    for key in [KEY, KEY_WITHOUT_PREFIX] {
        for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            let mut command = ask("https://127.0.0.1");
            command
                .env("CLADO_API_KEY", key)
                .env(variable, folder.path().join(key))
                .arg("-v");
            let run = run(&mut command);
            assert_eq!(
                (run.code, run.stdout.as_str()),
                (Some(2), ""),
                "{}",
                run.stderr
            );
            assert!(!run.stderr.contains(key), "{}", run.stderr);
            assert!(
                run.stderr
                    .contains(&format!("(redacted) (from {variable})")),
                "{}",
                run.stderr
            );
        }
    }
}

#[test]
fn a_key_in_the_content_encoding_is_not_shown() {
    for key in [KEY, KEY_WITHOUT_PREFIX] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: x-{key}\r\n");
        let server = Server::sending(head + "Content-Length: 4\r\n\r\n\x1f\x00??");
        let message = "the reply is compressed (x-(redacted)), which was not asked for (HTTP 200)";
        let mut command = ask(&server.url());
        expect_error(
            command.env("CLADO_API_KEY", key),
            8,
            "unexpected_reply",
            message,
            None,
        );
    }
}

//! What is sent: one GET, to one host, with nothing in it that is not needed.

use crate::common::{BALANCE, KEY, Raw, asking, clado};

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"credits\": 247}";

#[test]
fn the_request_is_one_get_with_four_headers() {
    let server = Raw::sending(GOOD);
    asking(&server.url()).assert().code(0);
    let head = server.requests.recv().unwrap();
    let mut lines: Vec<String> = head.trim_end().lines().map(str::to_owned).collect();
    assert_eq!(lines.remove(0), "GET /api/credits HTTP/1.1");
    for line in &mut lines {
        let (name, value) = line.split_once(':').unwrap();
        *line = format!("{}:{value}", name.to_ascii_lowercase());
    }
    lines.sort();
    let agent = concat!("user-agent: clado-credits/", env!("CARGO_PKG_VERSION"));
    let host = format!("host: {}", server.address);
    let bearer = format!("authorization: Bearer {KEY}");
    assert_eq!(lines, ["accept: application/json", &bearer, &host, agent]);
    assert!(server.requests.try_recv().is_err(), "a second connection was made");
}

#[test]
fn a_failure_is_not_tried_again() {
    for status in [429, 500, 503] {
        let mut server = mockito::Server::new();
        let once = server.mock("GET", "/api/credits").with_status(status).expect(1).create();
        asking(&server.url()).assert().stdout("");
        once.assert();
    }
}

#[test]
fn a_path_in_the_url_is_kept() {
    for url in ["/v2", "/v2/", "/v2//"] {
        let mut server = mockito::Server::new();
        let there = server.mock("GET", "/v2/api/credits").with_body(BALANCE).expect(1).create();
        asking(&format!("{}{url}", server.url())).assert().code(0);
        there.assert();
    }
}

#[test]
fn the_flag_beats_the_variable_and_a_blank_variable_is_unset() {
    let server = crate::common::api(200, BALANCE);
    let flag = ["--api-url", &server.url()];
    asking("http://127.0.0.1:9/never").args(flag).assert().code(0);
    asking("not a url").args(flag).assert().code(0);
    // The default would be asked: it is https, so to get no further than the name is proof enough.
    for blank in ["", "  "] {
        asking(blank)
            .env("https_proxy", "http://127.0.0.1:1")
            .assert()
            .code(7)
            .stderr("error: the proxy http://127.0.0.1:1 made no connection: connection refused\n");
    }
}

#[test]
fn a_bad_url_is_a_usage_error_that_does_not_show_it() {
    for (url, reason) in [
        ("search.clado.ai", "not a URL such as https://host or https://host:port/prefix"),
        ("ftp://host", "the scheme must be https"),
        ("https://joe:hunter2@host", "user name and password are not allowed in it"),
        ("https://host/?token=hunter2", "a query or fragment is not allowed in it"),
        ("https://host/#hunter2", "a query or fragment is not allowed in it"),
        (
            "http://search.clado.ai",
            "plain http is allowed only to this machine (localhost, 127.0.0.1, [::1])",
        ),
        ("https://host:99999", "not a URL such as https://host or https://host:port/prefix"),
    ] {
        for (source, run) in [
            ("CLADO_API_URL", asking(url).assert()),
            ("--api-url", clado().env("CLADO_API_KEY", KEY).args(["--api-url", url]).assert()),
        ] {
            let run = run.code(2).stdout("");
            let complaint = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
            assert!(complaint.starts_with(&format!("error: bad URL in {source}: {reason}\n")), "{complaint}");
            assert!(!complaint.contains("hunter2"), "{complaint}");
        }
    }
}

#[test]
fn verbose_says_what_is_sent_where_but_not_the_key() {
    let server = crate::common::api(200, r#"{"credits": 5}"#);
    for flag in ["-v", "--verbose"] {
        let (url, address) = (server.url(), server.host_with_port());
        let run = asking(&url).args([flag, "--plain"]).assert().code(0).stdout("5\n");
        let said = String::from_utf8(run.get_output().stderr.clone()).unwrap();
        let (before, time) = said.split_once(" after ").unwrap();
        assert_eq!(
            before,
            format!(
                "* key: from CLADO_API_KEY\n\
                 * proxy: none\n\
                 * GET {url}/api/credits, Authorization: Bearer (redacted)\n\
                 * connected to {address}\n\
                 * HTTP 200"
            )
        );
        assert!(time.strip_suffix(" ms\n").unwrap().bytes().all(|b| b.is_ascii_digit()), "{time}");
    }
}

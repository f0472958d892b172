//! The route: which proxy is taken, what it is told and what it never sees, and what its faults are called.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command as Std;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use assert_cmd::Command;
use rustls::DEFAULT_VERSIONS;
use tempfile::NamedTempFile;

use crate::common::net::{expect_balance, expect_failure, listen, one, reset};
use crate::common::proxy::{Proxy, Seen};
use crate::common::tls::{Authority, Server, accept, config, demanding, params};
use crate::common::{BALANCE, KEY, Raw, api, asking, bare, dead_port, read_head};

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";
const PASSWORD: &str = "p@ss:w/rd%";
const ENCODED: &str = "us%20er:p%40ss%3Aw%2Frd%25";

/// A TLS server, and what the runs that ask it trust.
struct Lab {
    authority: Authority,
    trusted: NamedTempFile,
    server: Server,
}

impl Lab {
    fn new() -> Lab {
        let authority = Authority::new();
        let server = Server::new(config(authority.good()));
        Lab { trusted: authority.file(), server, authority }
    }

    /// The binary, asking the server through `proxy`.
    fn through(&self, proxy: &str) -> Command {
        let mut command = self.server.asked_trusting(&self.trusted);
        command.env("https_proxy", proxy);
        command
    }
}

/// Expects that the proxy saw neither the key nor anything else that is not TLS.
#[track_caller]
fn only_tls(seen: &Seen) {
    assert_eq!(seen.sent.first(), Some(&0x16), "{}", seen.sent.escape_ascii());
    assert!(!seen.asked.contains(KEY));
    assert!(!seen.sent.windows(KEY.len()).any(|run| run == KEY.as_bytes()));
}

#[test]
fn an_http_proxy_opens_a_tunnel_and_sees_only_tls() {
    let lab = Lab::new();
    let proxy = Proxy::http(lab.server.address, ESTABLISHED);
    expect_balance(&mut lab.through(&format!("http://{}", proxy.address)));
    let seen = one(&proxy.seen);
    let target = lab.server.name();
    assert!(
        seen.asked.starts_with(&format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n")),
        "{}",
        seen.asked
    );
    assert!(!seen.asked.to_lowercase().contains("authorization"), "{}", seen.asked);
    only_tls(&seen);
}

#[test]
fn a_user_name_and_password_reach_the_proxy_decoded_and_nobody_else() {
    let lab = Lab::new();
    let proxy = Proxy::http(lab.server.address, ESTABLISHED);
    let url = format!("http://{ENCODED}@{}", proxy.address);
    let told = expect_balance(lab.through(&url).arg("--verbose"));
    // printf 'us er:p@ss:w/rd%' | base64
    let asked = one(&proxy.seen).asked;
    assert!(asked.contains("\r\nProxy-Authorization: Basic dXMgZXI6cEBzczp3L3JkJQ==\r\n"), "{asked}");
    assert!(told.contains(&format!("* proxy: http://{} (from https_proxy)\n", proxy.address)), "{told}");
    for secret in ["p%40ss", PASSWORD, "us%20er", "us er", "dXMg"] {
        assert!(!told.contains(secret), "{told}");
    }
    assert!(!one(&lab.server.requests).to_lowercase().contains("proxy"));
}

#[test]
fn every_answer_that_curl_takes_for_a_tunnel_is_one() {
    let lab = Lab::new();
    let many = (0..100).map(|n| format!("X-Header-{n}: {n}\r\n")).collect::<String>();
    for answer in [
        "HTTP/1.0 200\r\n\r\n".to_owned(),
        "HTTP/1.0 200 OK\r\nProxy-agent: old/1.0\r\n\r\n".to_owned(),
        "HTTP/1.1 201 Created\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
        format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(60_000)),
    ] {
        let proxy = Proxy::http(lab.server.address, &answer);
        expect_balance(&mut lab.through(&format!("http://{}", proxy.address)));
    }
}

#[test]
fn a_socks_proxy_is_told_a_name_or_an_address_as_its_scheme_says() {
    let lab = Lab::new();
    let port = lab.server.address.port();
    for (scheme, password, asked) in [
        ("socks5", None, "socks5 nobody 127.0.0.1"),
        ("socks5h", None, "socks5 nobody localhost"),
        ("socks5h", Some(PASSWORD), "socks5 us er localhost"),
        ("socks4", None, "socks4 127.0.0.1"),
        ("socks", None, "socks4 127.0.0.1"),
        ("socks4a", None, "socks4 localhost"),
    ] {
        let proxy = Proxy::socks(lab.server.address, password);
        let login = if password.is_some() { format!("{ENCODED}@") } else { String::new() };
        expect_balance(&mut lab.through(&format!("{scheme}://{login}{}", proxy.address)));
        let seen = one(&proxy.seen);
        // The local resolver may prefer IPv6, where the version has room for it.
        let is = seen.asked.replace(" ::1:", " 127.0.0.1:");
        assert_eq!(is, format!("{asked}:{port}"), "{scheme}");
        only_tls(&seen);
    }
}

#[test]
fn an_https_proxy_is_spoken_to_in_tls_and_sees_no_key_inside_it() {
    let lab = Lab::new();
    let proxy = Proxy::https(lab.server.address, config(lab.authority.good()));
    let url = format!("https://{ENCODED}@localhost:{}", proxy.address.port());
    expect_balance(&mut lab.through(&url));
    let seen = one(&proxy.seen);
    assert!(seen.asked.contains("Proxy-Authorization: Basic dXMg"), "{}", seen.asked);
    only_tls(&seen);
}

#[test]
fn an_https_proxy_is_trusted_no_more_than_a_server() {
    let lab = Lab::new();
    let proxy =
        Proxy::https(lab.server.address, config(lab.authority.sign(&params(&["other.example"], |_| {}))));
    let url = format!("https://localhost:{}", proxy.address.port());
    let error = format!("the certificate of the proxy {url} is for another name: other.example");
    expect_failure(&mut lab.through(&url), 7, "tls", &error, None);

    let url = format!("https://{}", Server::new(demanding(&lab.authority, DEFAULT_VERSIONS)).name());
    let error = format!("the proxy {url} demands a client certificate");
    expect_failure(&mut lab.through(&url), 7, "tls", &error, None);
}

#[test]
fn plain_http_goes_through_the_proxy_that_http_proxy_names() {
    let api = api(200, BALANCE);
    let address: SocketAddr = api.host_with_port().parse().unwrap();
    for (variable, taken) in
        [("http_proxy", true), ("all_proxy", true), ("HTTP_PROXY", false), ("https_proxy", false)]
    {
        let proxy = Proxy::http(address, ESTABLISHED);
        expect_balance(asking(&api.url()).env(variable, format!("http://{}", proxy.address)));
        // What was seen is told when the connection has ended, which may be after the program has.
        match taken {
            true => drop(one(&proxy.seen)),
            false => assert!(proxy.seen.try_recv().is_err(), "{variable}"),
        }
    }
    for scheme in ["socks5", "socks4"] {
        let proxy = Proxy::socks(address, None);
        expect_balance(asking(&api.url()).env("http_proxy", format!("{scheme}://{}", proxy.address)));
        assert!(String::from_utf8_lossy(&one(&proxy.seen).sent).contains(KEY));
    }
    // TLS to the proxy, none behind it.
    let authority = Authority::new();
    let proxy = Proxy::https(address, config(authority.good()));
    let trusted = authority.file();
    let mut command = asking(&api.url());
    command.env("http_proxy", format!("https://localhost:{}", proxy.address.port()));
    expect_balance(command.env("SSL_CERT_FILE", trusted.path()));
}

#[test]
fn plain_http_leaves_this_machine_through_no_proxy() {
    let api = api(200, BALANCE);
    // No loopback address by its number, but were it connected to, this machine would answer.
    let proxy = Proxy::http(api.host_with_port().parse().unwrap(), ESTABLISHED).address.port();
    for scheme in ["http", "https", "socks4", "socks4a", "socks5", "socks5h"] {
        let error = "0.0.0.0 is not this machine, and the key is not sent there over plain http";
        let hint = Some("use https, or name the host in NO_PROXY");
        let mut command = asking(&api.url());
        command.env("http_proxy", format!("{scheme}://{ENCODED}@0.0.0.0:{proxy}"));
        expect_failure(&mut command, 7, "network", error, hint);
    }
}

#[test]
fn a_refusal_is_told_to_be_the_proxys() {
    let lab = Lab::new();
    let credentials = Some("put user name and password into the proxy's URL: http://user:password@host:port");
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(200_000));
    let flood = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: x\r\n".repeat(1_000));
    for (answer, error, hint) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: NTLM\r\nContent-Length: 5\r\n\r\nno!!!",
            "the proxy {} wants a user name and password (HTTP 407)",
            credentials,
        ),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n<html>", "the proxy {} refused the connection (HTTP 502)", None),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "the proxy {} refused the connection (HTTP 403)", None),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n",
            "the proxy {} refused the connection (HTTP 302)",
            None,
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n", "the proxy {} made no connection: it did not answer in HTTP", None),
        ("HTTP/1.1 OK\r\n\r\n", "the proxy {} made no connection: it did not answer in HTTP", None),
        (flood.as_str(), "the proxy {} made no connection: it did not answer in HTTP", None),
        (endless.as_str(), "the proxy {} made no connection: its answer is too long", None),
        ("", "the proxy {} made no connection: it closed the connection", None),
        ("HTTP/1.1 200 O", "the proxy {} made no connection: it closed the connection", None),
    ] {
        let proxy = Raw::sending(answer);
        let error = error.replace("{}", &format!("http://{}", proxy.address));
        let url = format!("http://{ENCODED}@{}", proxy.address);
        expect_failure(&mut lab.through(&url), 7, "network", &error, hint);
    }
    assert!(lab.server.requests.try_recv().is_err());
}

#[cfg(unix)] // The system's words.
#[test]
fn a_proxy_that_is_not_there_or_goes_away_is_named() {
    let lab = Lab::new();
    for scheme in ["http", "https", "socks4a", "socks5h"] {
        let proxy = format!("{scheme}://{}", dead_port());
        let error = format!("the proxy {proxy} made no connection: connection refused");
        expect_failure(&mut lab.through(&proxy), 7, "network", &error, None);
    }
    for scheme in ["http", "socks4a", "socks5h"] {
        let (address, _) = listen(|stream| {
            let _ = stream.peek(&mut [0]);
            reset(&stream);
        });
        let proxy = format!("{scheme}://{address}");
        let error = format!("the proxy {proxy} made no connection: connection reset by peer");
        expect_failure(&mut lab.through(&proxy), 7, "network", &error, None);
    }
    // TLS with the proxy succeeds, and then it is gone.
    let secured = Arc::new(config(lab.authority.good()));
    let (address, _) = listen(move |stream| drop(read_head(&mut accept(&secured, stream))));
    let proxy = format!("https://localhost:{}", address.port());
    let error = format!("the proxy {proxy} made no connection: it closed the connection");
    expect_failure(&mut lab.through(&proxy), 7, "network", &error, None);
}

#[test]
fn a_socks_proxys_refusal_is_told_in_words() {
    const CASES: &[(&str, &[&[u8]], &str)] = &[
        ("socks5h", &[b"\x05\x00", b"\x05\x05\x00\x01\0\0\0\0\0\0"], "connection refused"),
        ("socks5h", &[b"\x05\x00", b"\x05\x02\x00\x01\0\0\0\0\0\0"], "connection not allowed by ruleset"),
        ("socks5h", &[b"\x05\xff"], "no acceptable auth methods"),
        ("socks5h", &[b"\x05\x02", b"\x01\x01"], "password authentication failed"),
        ("socks5h", &[b"\x05"], "it closed the connection"),
        ("socks5h", &[b"HTTP/1.1 400 Bad Request\r\n\r\n"], "it did not answer in SOCKS"),
        ("socks4a", &[b"\x00\x5b\0\0\0\0\0\0"], "request rejected or failed"),
        ("socks4a", &[b"HTTP/1.1 400 Bad Request\r\n\r\n"], "it did not answer in SOCKS"),
    ];
    let lab = Lab::new();
    for (scheme, answers, reason) in CASES {
        let (address, _) = listen(move |mut stream| {
            for answer in *answers {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(answer);
            }
            // What is left unread would turn the close into a reset.
            let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
            let _ = stream.read(&mut [0; 1024]);
        });
        let error = format!("the proxy {scheme}://{address} made no connection: {reason}");
        let url = format!("{scheme}://{ENCODED}@{address}");
        expect_failure(&mut lab.through(&url), 7, "network", &error, None);
    }
}

#[test]
fn a_login_page_behind_the_proxy_is_no_tls() {
    let lab = Lab::new();
    let proxy =
        Raw::sending(format!("{ESTABLISHED}HTTP/1.1 200 OK\r\n\r\n<html>Log in to the hotel's network"));
    let error = format!("{} does not speak TLS on this port", lab.server.name());
    let hint = Some("a login page of the network may be in the way, or the port is one for plain http");
    expect_failure(&mut lab.through(&format!("http://{}", proxy.address)), 7, "tls", &error, hint);
}

#[test]
fn a_host_that_can_be_in_no_certificate_is_refused() {
    let lab = Lab::new();
    let proxy = Proxy::http(lab.server.address, ESTABLISHED);
    let mut command = lab.through(&format!("http://{}", proxy.address));
    command.env("CLADO_API_URL", "https://a..example:1");
    let error = "a..example:1 can't be the name in a certificate";
    expect_failure(&mut command, 7, "tls", error, None);
}

#[test]
fn a_value_that_makes_no_sense_is_an_error_that_keeps_it_to_itself() {
    let lab = Lab::new();
    for variable in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        let mut command = lab.server.asked_trusting(&lab.trusted);
        command.env(variable, "http://user:S3cret/x@127.0.0.1:1");
        let error = format!(
            "{variable} names no usable proxy: \
             it has a path, or a user name or password that is not percent-encoded"
        );
        let hint = Some("a proxy is given as http://host:port");
        expect_failure(&mut command, 7, "network", &error, hint);
    }
    assert!(lab.server.requests.try_recv().is_err(), "there was a connection");
}

#[test]
fn a_host_in_no_proxy_is_reached_directly() {
    let lab = Lab::new();
    let proxy = format!("http://{}", dead_port());
    for (variable, list) in
        [("NO_PROXY", "localhost"), ("no_proxy", "example.com, LOCALHOST"), ("NO_PROXY", "*")]
    {
        let told = expect_balance(lab.through(&proxy).env(variable, list).arg("-v"));
        assert!(told.contains("* proxy: none\n"), "{told}");
    }
}

/// Proxy variables and their values.
type Settings = &'static [(&'static str, &'static str)];

/// The one listener that `command` goes to, be it as it may with the answer: there is none.
fn route(mut command: Std, taken: &mpsc::Receiver<&'static str>) -> &'static str {
    command.output().unwrap();
    // Each says so before it closes the connection, and no client ends before that.
    let all: Vec<_> = taken.try_iter().collect();
    assert!(all.len() <= 1, "{command:?} went to {all:?}");
    all.first().copied().unwrap_or("nowhere")
}

#[test]
fn the_route_is_the_one_that_curl_takes() {
    if Std::new("curl").arg("--version").output().is_err() {
        // Not a failure: the routes are also held to a table, in the unit tests.
        let _ = writeln!(std::io::stderr(), "curl is not installed; nothing to compare with");
        return;
    }
    let (sender, taken) = mpsc::channel();
    let listener = |name: &'static str| {
        let sender = sender.clone();
        listen(move |stream| {
            let _ = stream.peek(&mut [0]);
            sender.send(name).unwrap();
        })
        .0
    };
    let [direct, a, b] = [listener("direct"), listener("a"), listener("b")];
    let (direct, a, b) =
        (direct.port(), format!("127.0.0.1:{}", a.port()), format!("127.0.0.1:{}", b.port()));
    let (a, b) = (a.as_str(), b.as_str());

    let agreed: &[(&str, Settings)] = &[
        ("https://localhost", &[]),
        ("https://localhost", &[("https_proxy", "http://A")]),
        ("https://localhost", &[("https_proxy", "A")]),
        ("https://localhost", &[("https_proxy", "HTTP://A/")]),
        ("https://localhost", &[("https_proxy", "http://user:pa%40ss@A")]),
        ("https://localhost", &[("https_proxy", "http://user@A")]),
        ("https://localhost", &[("https_proxy", "https://A")]),
        ("https://localhost", &[("https_proxy", "socks://A")]),
        ("https://localhost", &[("https_proxy", "socks4://A")]),
        ("https://localhost", &[("https_proxy", "socks4a://A")]),
        ("https://localhost", &[("https_proxy", "socks5://A")]),
        ("https://localhost", &[("https_proxy", "socks5h://user:pass@A")]),
        ("https://localhost", &[("https_proxy", "http://A"), ("HTTPS_PROXY", "http://B")]),
        ("https://localhost", &[("HTTPS_PROXY", "http://A"), ("all_proxy", "http://B")]),
        ("https://localhost", &[("all_proxy", "http://A"), ("ALL_PROXY", "http://B")]),
        ("https://localhost", &[("https_proxy", ""), ("HTTPS_PROXY", "http://B")]),
        ("https://localhost", &[("HTTPS_PROXY", ""), ("ALL_PROXY", "http://B")]),
        ("https://localhost", &[("http_proxy", "http://A")]),
        ("https://localhost", &[("HTTP_PROXY", "http://A")]),
        ("http://localhost", &[("http_proxy", "http://A")]),
        ("http://localhost", &[("HTTP_PROXY", "http://A")]),
        ("http://localhost", &[("https_proxy", "http://A")]),
        ("http://localhost", &[("all_proxy", "http://A")]),
        ("http://localhost", &[("http_proxy", "http://A"), ("ALL_PROXY", "http://B")]),
        ("https://localhost", &[("https_proxy", "http://127.0.0.1:99999")]),
        ("https://localhost", &[("https_proxy", "http://127.0.0.1:abc")]),
        ("https://localhost", &[("https_proxy", "ftp://A")]),
        ("https://localhost", &[("https_proxy", "socks6://A")]),
        ("https://localhost", &[("https_proxy", "http://user:p/ss@A")]),
        ("https://localhost", &[("https_proxy", "http://user:p#ss@A")]),
        ("https://localhost", &[("https_proxy", "/nonsense")]),
        ("https://localhost", &[("https_proxy", "A"), ("no_proxy", "localhost")]),
        ("https://localhost", &[("https_proxy", "A"), ("NO_PROXY", "LocalHost")]),
        ("https://localhost", &[("https_proxy", "A"), ("NO_PROXY", ".localhost")]),
        ("https://localhost", &[("https_proxy", "A"), ("NO_PROXY", "localhost.")]),
        ("https://localhost", &[("https_proxy", "A"), ("NO_PROXY", "a.example, localhost")]),
        ("https://localhost", &[("https_proxy", "A"), ("NO_PROXY", "a.example localhost")]),
        ("https://localhost", &[("https_proxy", "A"), ("NO_PROXY", "*")]),
        ("https://localhost", &[("https_proxy", "A"), ("NO_PROXY", "a.example,*")]),
        ("https://localhost", &[("https_proxy", "A"), ("NO_PROXY", "local*")]),
        ("https://localhost", &[("https_proxy", "A"), ("NO_PROXY", "host")]),
        ("https://localhost", &[("https_proxy", "A"), ("NO_PROXY", "sub.localhost")]),
        ("https://localhost", &[("https_proxy", "A"), ("NO_PROXY", "127.0.0.1")]),
        ("https://localhost", &[("https_proxy", "A"), ("no_proxy", "a.example"), ("NO_PROXY", "localhost")]),
        ("https://localhost", &[("https_proxy", "A"), ("no_proxy", ""), ("NO_PROXY", "localhost")]),
        ("https://127.0.0.1", &[("https_proxy", "A"), ("NO_PROXY", "127.0.0.1")]),
        ("https://127.0.0.1", &[("https_proxy", "A"), ("NO_PROXY", "127.0.0.0/8")]),
        ("https://127.0.0.1", &[("https_proxy", "A"), ("NO_PROXY", "127.0.0.2/31")]),
        ("https://127.0.0.1", &[("https_proxy", "A"), ("NO_PROXY", "10.0.0.0/8, 127.1.2.3/8")]),
        ("https://127.0.0.1", &[("https_proxy", "A"), ("NO_PROXY", "localhost")]),
        ("https://127.0.0.1", &[("https_proxy", "A"), ("NO_PROXY", "0.0.1")]),
    ];
    // Here curl is taken at its word where that does no harm, and not followed where it does:
    // the settings, its route, ours.
    let differences: &[(Settings, &str, &str)] = &[
        // A path is left out by curl. It may as well be a password that is not encoded.
        (&[("https_proxy", "http://A/path")], "a", "nowhere"),
        // An @ in the password, not encoded; the last one is the one that counts.
        (&[("https_proxy", "http://user:p@ss@A")], "nowhere", "a"),
        // An empty port is a mistake to both.
        (&[("https_proxy", "http://127.0.0.1:"), ("ALL_PROXY", "http://B")], "nowhere", "nowhere"),
        // Blanks around a value.
        (&[("https_proxy", " http://A ")], "nowhere", "a"),
        // As other programs read it: a star before the dot, and a port.
        (&[("https_proxy", "A"), ("NO_PROXY", "*.localhost")], "a", "direct"),
        (&[("https_proxy", "A"), ("NO_PROXY", "localhost:PORT")], "a", "direct"),
    ];

    let run = |command: Std, settings: Settings| {
        let mut command = command;
        let port = direct.to_string();
        let filled = |value: &str| value.replace("PORT", &port).replace('A', a).replace('B', b);
        command.envs(settings.iter().map(|(name, value)| (name, filled(value))));
        route(command, &taken)
    };
    let curl = |url: &str| {
        let mut command = Std::new("curl");
        command.env_clear().args(["-q", "-s", "-m", "20", &format!("{url}:{direct}/")]);
        command
    };
    let ours = |url: &str| {
        let mut command = bare();
        command.env("CLADO_API_KEY", KEY).env("CLADO_API_URL", format!("{url}:{direct}"));
        command
    };
    for (url, settings) in agreed {
        assert_eq!(run(ours(url), settings), run(curl(url), settings), "{url} {settings:?}");
    }
    for (settings, by_curl, by_us) in differences {
        let url = "https://localhost";
        assert_eq!((run(curl(url), settings), run(ours(url), settings)), (*by_curl, *by_us), "{settings:?}");
    }
}

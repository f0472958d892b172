//! Names with several addresses, and names with none.
//!
//! How connections to several addresses race is tested in `src/transport/race.rs`. On Linux `unshare` can give the
//! program an /etc/hosts of its own, and so the whole of it is tested here.

use std::io::Write;

use serde_json::Value;

use crate::common::messages;
use crate::common::server::{DeadPort, Server, read_head};
use crate::common::{ask, expect_balance, expect_json_error, good_reply, has_ipv6};

/// An API on this address of the machine.
fn api_on(host: &str) -> Server {
    Server::on(host, |mut stream| {
        let head = read_head(&mut stream);
        let _ = stream.write_all(good_reply().as_bytes());
        head
    })
}

#[test]
fn an_ipv4_address_is_asked() {
    let server = api_on("127.0.0.1");
    let stderr = expect_balance(ask(&server.url()).arg("--verbose"));
    assert!(
        stderr.contains(&messages::connected_to(server.address)),
        "{stderr}"
    );
}

#[test]
fn an_ipv6_address_is_asked() {
    if has_ipv6() {
        let server = api_on("::1");
        let stderr = expect_balance(ask(&server.url()).arg("--verbose"));
        assert!(
            stderr.contains(&messages::connected_to(server.address)),
            "{stderr}"
        );
    }
}

#[test]
fn localhost_is_asked_at_the_address_that_does_not_refuse() {
    let server = api_on("127.0.0.1");
    let stderr = expect_balance(
        ask(&format!("http://localhost:{}", server.address.port())).arg("--verbose"),
    );
    assert!(
        stderr.contains(&messages::connected_to(server.address)),
        "{stderr}"
    );
}

#[test]
fn an_address_where_nobody_listens_refuses_the_connection() {
    let dead = DeadPort::new();
    for host in [
        dead.address.to_string(),
        format!("localhost:{}", dead.address.port()),
    ] {
        let error = expect_json_error(&mut ask(&format!("http://{host}")), 7, "network");
        let message = error["message"].as_str().unwrap();
        let reason = message
            .strip_prefix(&messages::could_not_connect(&host, ""))
            .expect(message);
        // Elsewhere the system has another message.
        assert!(cfg!(windows) || reason == messages::REFUSED, "{message}");
        assert_eq!(error["retryable"], true);
    }
}

#[test]
fn a_name_that_does_not_exist_could_not_be_resolved() {
    // Too long for a name, so that no server is asked. The reason is the resolver's own, and differs.
    let name = "x".repeat(64) + ".invalid";
    let error = expect_json_error(&mut ask(&format!("https://{name}")), 7, "network");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with(&messages::could_not_resolve(&name)),
        "{message}"
    );
    assert!(!message.contains("lookup"), "{message}");
    assert_eq!(error["retryable"], true);
}

#[test]
fn a_resolver_is_given_no_port_and_the_message_has_none() {
    let name = "x".repeat(64) + ".invalid";
    let error = expect_json_error(&mut ask(&format!("https://{name}:8443")), 7, "network");
    let message = error["message"].as_str().unwrap();
    let start = messages::could_not_resolve(&name);
    assert!(message.starts_with(&start), "{message}");
}

#[test]
fn a_server_elsewhere_that_cannot_be_reached_hints_at_the_proxy_that_was_not_used() {
    let name = "x".repeat(64) + ".invalid";
    let url = format!("https://{name}");
    for (variables, hint) in [
        (vec![], messages::NO_PROXY_USED),
        (
            vec![("HTTP_PROXY", "http://127.0.0.1:1")],
            "no proxy was used; HTTP_PROXY is not read, set HTTPS_PROXY",
        ),
        (
            vec![
                ("HTTPS_PROXY", "http://127.0.0.1:1"),
                ("NO_PROXY", "invalid"),
            ],
            "no proxy was used, because NO_PROXY has \"invalid\"",
        ),
    ] {
        let error = expect_json_error(ask(&url).envs(variables), 7, "network");
        assert_eq!(error["hint"], hint);
    }
}

#[test]
fn a_server_on_this_machine_that_cannot_be_reached_needs_no_proxy() {
    let dead = DeadPort::new();
    for scheme in ["http", "https"] {
        for host in [
            dead.address.to_string(),
            format!("localhost:{}", dead.address.port()),
        ] {
            let error = expect_json_error(&mut ask(&format!("{scheme}://{host}")), 7, "network");
            assert_eq!(error["hint"], Value::Null);
        }
    }
}

#[test]
fn localhost_is_ipv6_as_well() {
    if has_ipv6() {
        let server = api_on("::1");
        let stderr = expect_balance(
            ask(&format!("http://localhost:{}", server.address.port())).arg("--verbose"),
        );
        let port = server.address.port();
        for line in [
            format!("* trying 127.0.0.1:{port}\n"),
            format!("* could not connect to 127.0.0.1:{port}: "),
            format!("* trying [::1]:{port}\n"),
            messages::connected_to(format!("[::1]:{port}")),
        ] {
            assert!(stderr.contains(&line), "{stderr}");
        }
    }
}

#[cfg(target_os = "linux")]
mod with_own_hosts_file {
    use std::net::Ipv4Addr;

    use assert_cmd::Command;
    use tempfile::NamedTempFile;

    use super::*;
    use crate::common::proxy;
    use crate::common::server::BlackHole;
    use crate::common::tls::{self, Authority, config, file, params};
    use crate::common::{expect_error, replacing, within};

    /// A name that only the hosts file of a test knows.
    const NAME: &str = "api.example";

    /// A hosts file in which [`NAME`] has these addresses. The resolver keeps the order of addresses that are equally
    /// far from 127.0.0.1, and puts nearer ones first.
    fn hosts(addresses: &[impl ToString]) -> NamedTempFile {
        let lines: Vec<String> = addresses
            .iter()
            .map(|address| format!("{} {NAME}\n", address.to_string()))
            .collect();
        file(lines.concat())
    }

    /// `program`, with this hosts file, if that is possible.
    fn with_hosts(hosts: &NamedTempFile, program: &Command) -> Option<Command> {
        replacing("/etc/hosts", hosts.path(), program)
    }

    /// A named pipe can't be opened for reading before somebody writes, so a resolver that reads it hangs.
    #[test]
    fn a_resolver_that_hangs_ends_at_the_deadline_and_is_the_step_that_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("hosts");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let trusted = Authority::new().file();
        let mut program = ask(&format!("https://{NAME}"));
        program.env("SSL_CERT_FILE", trusted.path());
        program.args(["--timeout", "1"]);
        let Some(mut command) = replacing("/etc/hosts", &pipe, &program) else {
            return;
        };
        let message = format!("could not resolve {NAME} within 1 second");
        let hint = Some(messages::NO_PROXY_USED);
        expect_error(&mut command, 7, "timeout", &message, hint);
    }

    /// An API over TLS that is asked by [`NAME`].
    struct NamedApi {
        server: Server,
        trusted: NamedTempFile,
    }

    impl NamedApi {
        /// One on this address.
        fn on(host: &str) -> NamedApi {
            let authority = Authority::new();
            let identity = authority.sign(&params(&[NAME], |_| {}));
            NamedApi {
                server: tls::api_on(host, config(identity)),
                trusted: authority.file(),
            }
        }

        /// The program, asking it.
        fn ask(&self) -> Command {
            let mut program = ask(&format!("https://{NAME}:{}", self.server.address.port()));
            program.env("SSL_CERT_FILE", self.trusted.path());
            program
        }
    }

    /// Addresses on which no other test listens.
    const UNANSWERED: [Ipv4Addr; 5] = [
        Ipv4Addr::new(127, 0, 0, 2),
        Ipv4Addr::new(127, 0, 0, 3),
        Ipv4Addr::new(127, 0, 0, 4),
        Ipv4Addr::new(127, 0, 0, 5),
        Ipv4Addr::new(127, 0, 0, 6),
    ];

    /// Does not answer on this port of [`UNANSWERED`].
    fn black_holes(port: u16) -> [BlackHole; 5] {
        UNANSWERED.map(|address| BlackHole::at((address, port).into()))
    }

    /// A hosts file with [`UNANSWERED`], and then 127.0.0.8.
    fn unanswered_before_the_last() -> NamedTempFile {
        let mut addresses = UNANSWERED.to_vec();
        addresses.push(Ipv4Addr::new(127, 0, 0, 8));
        hosts(&addresses)
    }

    /// A hosts file with 40 addresses that refuse connections before `last`, which is farther from 127.0.0.1.
    fn forty_addresses_before(last: &str) -> NamedTempFile {
        let mut addresses: Vec<String> = (60..100).map(|n| format!("127.0.0.{n}")).collect();
        addresses.push(last.to_owned());
        hosts(&addresses)
    }

    #[test]
    fn localhost_is_this_machine_whatever_the_hosts_file_says() {
        let empty = file("");
        let wrong = file("192.0.2.1 localhost\n192.0.2.1 my.localhost\n::2 localhost\n");
        for hosts in [&empty, &wrong] {
            for host in ["localhost", "LocalHost", "localhost.", "my.localhost"] {
                let server = api_on("127.0.0.1");
                let url = format!("http://{host}:{}", server.address.port());
                let Some(mut command) = with_hosts(hosts, &ask(&url)) else {
                    return;
                };
                expect_balance(&mut command);
            }
        }
    }

    #[test]
    fn a_proxy_on_localhost_needs_no_hosts_file() {
        let empty = file("");
        for scheme in ["http", "socks4", "socks4a", "socks5", "socks5h"] {
            let authority = Authority::new();
            let api = tls::api(config(authority.good()));
            let proxy = match scheme {
                "http" => proxy::http(api.address, "HTTP/1.1 200 OK\r\n\r\n"),
                _ => proxy::socks(api.address, None),
            };
            let trusted = authority.file();
            let mut program = tls::ask_trusting(&api, &trusted);
            let url = format!("{scheme}://localhost:{}", proxy.address.port());
            program.env("HTTPS_PROXY", url);
            let Some(mut command) = with_hosts(&empty, &program) else {
                return;
            };
            expect_balance(&mut command);
        }
    }

    #[test]
    fn a_name_whose_first_addresses_do_not_answer_is_asked_at_the_last() {
        let api = NamedApi::on("127.0.0.8");
        let _holes = black_holes(api.server.address.port());
        let hosts = unanswered_before_the_last();
        let mut program = api.ask();
        program.args(["--timeout", "20"]);
        let Some(mut command) = with_hosts(&hosts, &program) else {
            return;
        };
        expect_balance(&mut command);
    }

    #[test]
    fn a_proxy_whose_first_addresses_do_not_answer_is_used_at_the_last() {
        for scheme in ["http", "socks4", "socks4a", "socks5", "socks5h"] {
            let authority = Authority::new();
            let api = tls::api(config(authority.good()));
            let proxy = match scheme {
                "http" => proxy::http_on("127.0.0.8", api.address, "HTTP/1.1 200 OK\r\n\r\n"),
                _ => proxy::socks_on("127.0.0.8", api.address, None),
            };
            let port = proxy.address.port();
            let _holes = black_holes(port);
            let hosts = unanswered_before_the_last();
            let trusted = authority.file();
            let mut program = tls::ask_trusting(&api, &trusted);
            program
                .env("HTTPS_PROXY", format!("{scheme}://{NAME}:{port}"))
                .args(["--timeout", "20"]);
            let Some(mut command) = with_hosts(&hosts, &program) else {
                return;
            };
            expect_balance(&mut command);
        }
    }

    #[test]
    fn every_address_of_a_name_is_tried_however_many_there_are() {
        let api = NamedApi::on("127.0.200.1");
        let program = api.ask();
        let hosts = forty_addresses_before("127.0.200.1");
        let Some(mut command) = with_hosts(&hosts, &program) else {
            return;
        };
        expect_balance(&mut command);
    }

    #[test]
    fn every_address_of_a_proxy_is_tried_however_many_there_are() {
        for scheme in ["http", "socks5h"] {
            let authority = Authority::new();
            let api = tls::api(config(authority.good()));
            let proxy = match scheme {
                "http" => proxy::http_on("127.0.200.1", api.address, "HTTP/1.1 200 OK\r\n\r\n"),
                _ => proxy::socks_on("127.0.200.1", api.address, None),
            };
            let trusted = authority.file();
            let mut program = tls::ask_trusting(&api, &trusted);
            let url = format!("{scheme}://{NAME}:{}", proxy.address.port());
            program.env("HTTPS_PROXY", url);
            let hosts = forty_addresses_before("127.0.200.1");
            let Some(mut command) = with_hosts(&hosts, &program) else {
                return;
            };
            expect_balance(&mut command);
        }
    }

    #[test]
    fn verbose_shows_each_address_that_was_tried_and_what_became_of_it() {
        let api = NamedApi::on("127.0.0.100");
        let mut program = api.ask();
        let port = api.server.address.port();
        let hosts = hosts(&["127.0.0.60", "127.0.0.61", "127.0.0.100"]);
        let Some(mut command) = with_hosts(&hosts, program.arg("--verbose")) else {
            return;
        };
        let stderr = expect_balance(&mut command);
        for address in ["127.0.0.60", "127.0.0.61"] {
            let (_, after) = stderr
                .split_once(&format!("* trying {address}:{port}\n"))
                .unwrap_or_else(|| panic!("{stderr}"));
            let line = format!(
                "* could not connect to {address}:{port}: {}\n",
                messages::REFUSED
            );
            assert!(after.contains(&line), "{stderr}");
        }
        let (_, after) = stderr
            .split_once(&format!("* trying 127.0.0.100:{port}\n"))
            .unwrap_or_else(|| panic!("{stderr}"));
        let line = messages::connected_to(format!("127.0.0.100:{port}"));
        assert!(after.contains(&line), "{stderr}");
    }

    #[test]
    fn a_server_elsewhere_that_does_not_answer_hints_at_the_proxy_that_was_not_used() {
        let hole = BlackHole::at(([127, 0, 0, 9], 0).into());
        let hosts = hosts(&["127.0.0.9"]);
        let host = format!("{NAME}:{}", hole.address.port());
        let trusted = Authority::new().file();
        let mut program = ask(&format!("https://{host}"));
        program
            .env("SSL_CERT_FILE", trusted.path())
            .args(["--timeout", "2"]);
        let Some(mut command) = with_hosts(&hosts, &program) else {
            return;
        };
        let message = messages::within_2_seconds(&messages::no_connection(host));
        let hint = messages::NO_PROXY_USED;
        expect_error(&mut command, 7, "timeout", &message, Some(hint));
    }

    #[test]
    fn a_server_elsewhere_that_refuses_hints_at_the_proxy_that_was_not_used() {
        let dead = DeadPort::new();
        let hosts = hosts(&["127.0.0.1"]);
        let host = format!("{NAME}:{}", dead.address.port());
        let trusted = Authority::new().file();
        let mut program = ask(&format!("https://{host}"));
        program.env("SSL_CERT_FILE", trusted.path());
        let Some(mut command) = with_hosts(&hosts, &program) else {
            return;
        };
        let message = messages::could_not_connect(host, messages::REFUSED);
        let hint = messages::NO_PROXY_USED;
        expect_error(&mut command, 7, "network", &message, Some(hint));
    }

    #[test]
    fn a_name_with_only_ipv6_addresses_cannot_be_reached_through_socks4() {
        let hosts = hosts(&["2001:db8::1"]);
        let trusted = Authority::new().file();
        let proxy = Server::silent();
        let mut program = ask(&format!("https://{NAME}"));
        program
            .env("SSL_CERT_FILE", trusted.path())
            .env("HTTPS_PROXY", format!("socks4://{}", proxy.address));
        let Some(mut command) = with_hosts(&hosts, &program) else {
            return;
        };
        let message = format!("{NAME} has no IPv4 address, which SOCKS 4 needs");
        let error = expect_error(&mut command, 7, "network", &message, None);
        assert_eq!(error["retryable"], false);
        proxy.expect_no_connection();
    }

    #[test]
    fn a_name_with_two_addresses_is_asked_even_if_no_more_threads_can_be_started() {
        for (first, second) in [("127.0.0.60", "127.0.0.61"), ("127.0.0.61", "127.0.0.60")] {
            let api = NamedApi::on("127.0.0.61");
            let program = api.ask();
            // The address space has room for the stack of one more thread, but not of two.
            let mut limited = within("sh", &program);
            limited.args([
                "-c",
                r#"ulimit -v 3000000; RUST_MIN_STACK=2000000000 exec "$0" "$@""#,
            ]);
            limited.arg(program.get_program());
            let hosts = hosts(&[first, second]);
            let Some(mut command) = with_hosts(&hosts, &limited) else {
                return;
            };
            expect_balance(&mut command);
        }
    }
}

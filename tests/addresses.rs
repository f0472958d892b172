//! Names with several addresses, and names with none.
//!
//! How connections to several addresses race is tested in `src/transport/race.rs`. On Linux `unshare` can give the
//! program an /etc/hosts of its own, and so the whole of it is tested here.

use std::io::Write;

use crate::common::server::{DeadPort, Server, read_head};
use crate::common::{BALANCE, ask, expect_balance, expect_json_error, has_ipv6};

/// An API on this address of the machine.
fn api_on(host: &str) -> Server {
    Server::on(host, |mut stream| {
        let head = read_head(&mut stream);
        let _ = stream.write_all(format!("HTTP/1.0 200 OK\r\n\r\n{BALANCE}").as_bytes());
        head
    })
}

#[test]
fn an_ipv4_address_is_asked() {
    let server = api_on("127.0.0.1");
    let stderr = expect_balance(ask(&server.url()).arg("--verbose"));
    assert!(
        stderr.contains(&format!("* connected to {}\n", server.address)),
        "{stderr}"
    );
}

#[test]
fn an_ipv6_address_is_asked() {
    if has_ipv6() {
        let server = api_on("::1");
        let stderr = expect_balance(ask(&server.url()).arg("--verbose"));
        assert!(
            stderr.contains(&format!("* connected to {}\n", server.address)),
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
        stderr.contains(&format!("* connected to {}\n", server.address)),
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
            .strip_prefix(&format!("could not connect to {host}: "))
            .expect(message);
        // Elsewhere the system has another message.
        assert!(cfg!(windows) || reason == "connection refused", "{message}");
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
        message.starts_with(&format!("could not resolve {name}: ")),
        "{message}"
    );
    assert!(!message.contains("lookup"), "{message}");
    assert_eq!(error["retryable"], true);
}

#[cfg(target_os = "linux")]
mod with_own_hosts_file {
    use std::net::Ipv4Addr;

    use assert_cmd::Command;
    use tempfile::NamedTempFile;

    use super::*;
    use crate::common::proxy;
    use crate::common::server::BlackHole;
    use crate::common::tls::{self, Authority, ask_trusting, config, file};
    use crate::common::{expect_error, replacing, within};

    /// A hosts file in which localhost has these addresses. The resolver keeps the order of addresses that are
    /// equally far from 127.0.0.1, and puts nearer ones first.
    fn localhost(addresses: &[&str]) -> NamedTempFile {
        file(
            addresses
                .iter()
                .map(|address| format!("{address} localhost\n"))
                .collect::<String>(),
        )
    }

    /// `program`, with this hosts file, if that is possible.
    fn with_hosts(hosts: &NamedTempFile, program: &Command) -> Option<Command> {
        replacing("/etc/hosts", hosts.path(), program)
    }

    /// Five addresses that do not answer, on the same port as 127.0.0.8, which comes last. No other test listens there.
    fn black_holes(port: u16) -> ([BlackHole; 5], NamedTempFile) {
        let hosts = [2, 3, 4, 5, 6].map(|last| Ipv4Addr::new(127, 0, 0, last));
        let names = hosts.map(|host| host.to_string());
        let addresses: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .chain(["127.0.0.8"])
            .collect();
        (
            hosts.map(|host| BlackHole::at((host, port).into())),
            localhost(&addresses),
        )
    }

    #[test]
    fn a_name_with_one_loopback_address_among_others_is_refused_for_plain_http() {
        for addresses in [
            &["127.0.0.1", "192.0.2.1"][..],
            &["192.0.2.1", "127.0.0.1"],
            &["192.0.2.1"],
        ] {
            let server = api_on("127.0.0.1");
            let host = format!("localhost:{}", server.address.port());
            let message = format!("plain http is allowed only to this machine, and {host} is not");
            let hosts = localhost(addresses);
            let Some(mut command) = with_hosts(&hosts, &ask(&format!("http://{host}"))) else {
                return;
            };
            let error = expect_error(&mut command, 7, "network", &message, Some("use https"));
            assert_eq!(error["retryable"], false);
            assert!(server.finish().is_empty(), "there was a connection");
        }
    }

    #[test]
    fn a_name_whose_first_addresses_do_not_answer_is_asked_at_the_last() {
        let server = api_on("127.0.0.8");
        let port = server.address.port();
        let (_holes, hosts) = black_holes(port);
        let mut program = ask(&format!("http://localhost:{port}"));
        program.args(["--timeout", "20"]);
        let Some(mut command) = with_hosts(&hosts, &program) else {
            return;
        };
        expect_balance(&mut command);
    }

    #[test]
    fn a_proxy_whose_first_addresses_do_not_answer_is_used_at_the_last() {
        let authority = Authority::new();
        let api = tls::api(config(authority.good()));
        let proxy = proxy::http_on("127.0.0.8", api.address, "HTTP/1.1 200 OK\r\n\r\n");
        let port = proxy.address.port();
        let (_holes, hosts) = black_holes(port);
        let trusted = authority.file();
        let mut program = ask_trusting(&api, &trusted);
        program
            .env("HTTPS_PROXY", format!("http://localhost:{port}"))
            .args(["--timeout", "20"]);
        let Some(mut command) = with_hosts(&hosts, &program) else {
            return;
        };
        expect_balance(&mut command);
    }

    #[test]
    fn a_name_with_two_addresses_is_asked_even_if_no_more_threads_can_be_started() {
        let server = api_on("127.0.0.1");
        let program = ask(&format!("http://localhost:{}", server.address.port()));
        // The address space has room for the stack of one more thread, but not of two.
        let mut limited = within("sh", &program);
        limited.args([
            "-c",
            r#"ulimit -v 3000000; RUST_MIN_STACK=2000000000 exec "$0" "$@""#,
        ]);
        limited.arg(program.get_program());
        for order in [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]] {
            let hosts = localhost(&order);
            let Some(mut command) = with_hosts(&hosts, &limited) else {
                return;
            };
            expect_balance(&mut command);
        }
    }
}

//! A name with several addresses, and one with none. How a race between addresses goes is tested where it is
//! run, in `src/transport/race.rs`: no name on every machine has a dead address first.

use std::io::Write;

use crate::common::net::{expect_failure, listen_on};
use crate::common::{BALANCE, Raw, asking, dead_port, read_head};

#[test]
fn a_name_is_reached_at_whichever_of_its_addresses_answers() {
    for host in ["127.0.0.1", "::1"] {
        let Ok(listener) = std::net::TcpListener::bind((host, 0)) else {
            continue; // A machine without IPv6.
        };
        drop(listener);
        let (address, _) = listen_on(host, |mut stream| {
            read_head(&mut stream);
            stream.write_all(format!("HTTP/1.0 200 OK\r\n\r\n{BALANCE}").as_bytes())
        });
        let output = asking(&format!("http://{address}")).arg("--plain").output().unwrap();
        assert_eq!(output.stdout, b"247\n", "{host}");
    }
    let server = Raw::sending(format!("HTTP/1.0 200 OK\r\n\r\n{BALANCE}"));
    let output = asking(&format!("http://localhost:{}", server.address.port()))
        .args(["--plain", "-v"])
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"247\n");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&format!("* connected to {}\n", server.address)), "{told}");
}

#[cfg(unix)] // The system's words.
#[test]
fn an_address_where_nobody_listens_is_refused_in_the_systems_words() {
    let dead = dead_port();
    for host in [dead.to_string(), format!("localhost:{}", dead.port())] {
        let error = format!("could not connect to {host}: connection refused");
        expect_failure(&mut asking(&format!("http://{host}")), 7, "network", &error, None);
    }
}

#[test]
fn a_name_that_no_resolver_takes_is_told_to_be_unresolved() {
    // Too long for a name, so that no server is asked: the reason is the resolver's own, and differs.
    let name = "x".repeat(64) + ".invalid";
    let output = asking(&format!("https://{name}")).arg("--json").output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&format!("\"message\":\"could not resolve {name}: ")), "{told}");
    assert!(told.contains("\"kind\":\"network\"") && !told.contains("lookup"), "{told}");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(7), &b""[..]));
}

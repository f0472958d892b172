//! Who is trusted with the key: each bad certificate and each broken handshake has words of its own, and
//! the key is not sent.

use std::io::{Read, Write};
use std::net::TcpStream;

use rcgen::{BasicConstraints, CertificateParams, IsCa, date_time_ymd};
use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};

use crate::common::net::{expect_balance, expect_failure, listen, one, reset};
use crate::common::proxy::Proxy;
use crate::common::tls::{
    Authority, Identity, Server, config, config_with, demanding, file, params, self_signed,
};
use crate::common::{BALANCE, asking};

const CLOCK: Option<&str> = Some("if it is not, this machine's clock is wrong");
const ISSUER: Option<&str> =
    Some("if you trust the issuer, a company proxy's for example, name its certificate in SSL_CERT_FILE");
const NOT_TLS: Option<&str> =
    Some("a login page of the network may be in the way, or the port is one for plain http");
const INCOMPATIBLE: Option<&str> =
    Some("it must offer TLS 1.2 or 1.3, ECDHE with X25519, P-256 or P-384, and AES-GCM or ChaCha20");

/// Expects that a server which shows `identity` is refused with these words and never sees a request.
/// `{}` stands for its name.
#[track_caller]
fn refused(authority: &Authority, config: ServerConfig, error: &str, hint: Option<&str>) {
    let server = Server::new(config);
    let error = error.replace("{}", &server.name());
    expect_failure(&mut server.asked_trusting(&authority.file()), 7, "tls", &error, hint);
    for _run in 0..2 {
        assert_eq!(one(&server.requests), "", "the key was sent");
    }
}

/// Expects that `connection`, which is no TLS server, is refused with these words.
#[track_caller]
fn broken(connection: impl Fn(TcpStream) + Clone + Send + 'static, error: &str, hint: Option<&str>) {
    let (address, _) = listen(connection);
    let trusted = Authority::new().file();
    let mut command = asking(&format!("https://{address}"));
    command.env("SSL_CERT_FILE", trusted.path());
    expect_failure(&mut command, 7, "tls", &error.replace("{}", &address.to_string()), hint);
}

/// Sends these bytes once the client has spoken, and waits until it has gone.
fn answering(bytes: &'static [u8]) -> impl Fn(TcpStream) + Clone + Send {
    move |mut stream| {
        let _ = stream.peek(&mut [0]);
        let _ = stream.write_all(bytes);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    }
}

#[test]
fn a_good_certificate_is_accepted_and_the_key_arrives() {
    let authority = Authority::new();
    let server = Server::new(config(authority.good()));
    expect_balance(&mut server.asked_trusting(&authority.file()));
    let request = one(&server.requests);
    assert!(request.starts_with("GET /api/credits HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("authorization: bearer lk_test_not_a_real_key\r\n"), "{request}");
}

#[test]
fn each_of_tls_1_2_and_1_3_is_enough() {
    for (version, name) in [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")] {
        let authority = Authority::new();
        let server = Server::new(config_with(authority.good(), &[version], |any| any.with_no_client_auth()));
        let told = expect_balance(server.asked_trusting(&authority.file()).arg("--verbose"));
        assert!(told.contains(&format!("* {name}, ")), "{told}");
    }
}

#[test]
fn an_address_is_as_good_as_a_name() {
    for host in ["127.0.0.1", "::1"] {
        let authority = Authority::new();
        let server = Server::on(host, config(authority.sign(&params(&[host], |_| {}))));
        let mut command = asking(&format!("https://{}", server.address));
        expect_balance(command.env("SSL_CERT_FILE", authority.file().path()));
    }
}

#[test]
fn a_trailing_dot_is_no_part_of_the_name_in_the_certificate() {
    let authority = Authority::new();
    let server = Server::new(config(authority.good()));
    // Through a proxy, as not every resolver knows the absolute form of this name.
    let proxy = Proxy::http(server.address, "HTTP/1.1 200 OK\r\n\r\n");
    let mut command = asking(&format!("https://localhost.:{}", server.address.port()));
    let trusted = authority.file();
    command.env("SSL_CERT_FILE", trusted.path()).env("https_proxy", format!("http://{}", proxy.address));
    expect_balance(&mut command);
}

#[test]
fn an_intermediate_certificate_that_is_sent_leads_to_the_root() {
    let authority = Authority::new();
    let between = authority.intermediate();
    let Identity { mut chain, key } = between.good();
    chain.push(between.der());
    let server = Server::new(config(Identity { chain, key }));
    expect_balance(&mut server.asked_trusting(&authority.file()));
}

#[test]
fn a_bad_certificate_is_refused_by_its_own_name() {
    type Change = fn(&mut CertificateParams);
    let cases: [(&[&str], Change, &str, Option<&str>); 7] = [
        (
            &["localhost"],
            |params| params.not_after = date_time_ymd(2020, 1, 1),
            "the certificate of {} has expired",
            CLOCK,
        ),
        (
            &["localhost"],
            |params| params.not_before = date_time_ymd(3000, 1, 1),
            "the certificate of {} is not valid yet",
            CLOCK,
        ),
        (&["other.example"], |_| {}, "the certificate of {} is for another name: other.example", None),
        (
            &["a.example", "*.b.example", "127.0.0.2"],
            |_| {},
            "the certificate of {} is for another name: a.example, *.b.example, 127.0.0.2",
            None,
        ),
        (
            &[],
            |params| params.distinguished_name.push(rcgen::DnType::CommonName, "localhost"),
            "the certificate of {} is for another name",
            None,
        ),
        (
            &["localhost"],
            |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            "the certificate of {} is an authority's (CA:TRUE), not a server's",
            Some("the server needs a certificate with CA:FALSE"),
        ),
        (
            &["localhost"],
            |params| params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth],
            "the certificate of {} is not for a server",
            None,
        ),
    ];
    for (names, change, error, hint) in cases {
        let authority = Authority::new();
        refused(&authority, config(authority.sign(&params(names, change))), error, hint);
    }
}

#[test]
fn a_certificate_for_many_names_makes_no_long_message() {
    let authority = Authority::new();
    let names: Vec<String> = (0..500).map(|n| format!("name-{n}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let server = Server::new(config(authority.sign(&params(&names, |_| {}))));
    let output = server.asked_trusting(&authority.file()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("name-0.example, name-1.example") && told.ends_with("…\n"), "{told}");
    assert!(told.chars().count() < 300, "{told}");
}

#[test]
fn an_unknown_issuer_is_refused_also_when_only_the_link_to_it_is_missing() {
    const ERROR: &str = "the certificate of {} is from an unknown issuer";
    let authority = Authority::new();
    for issuer in [Authority::named("Another company"), authority.intermediate()] {
        refused(&authority, config(issuer.good()), ERROR, ISSUER);
    }
    // The same name, but another key: an authority that was renewed.
    refused(&authority, config(Authority::new().good()), ERROR, ISSUER);
}

#[test]
fn a_self_signed_certificate_is_refused_until_it_is_trusted() {
    let (identity, pem) = self_signed(&params(&["localhost"], |_| {}));
    let server = Server::new(config(identity));
    expect_balance(&mut server.asked_trusting(&file(pem)));

    let (identity, _) = self_signed(&params(&["localhost"], |_| {}));
    let hint = Some("if you trust the certificate, name it in SSL_CERT_FILE");
    refused(&Authority::new(), config(identity), "the certificate of {} is self-signed", hint);
}

#[test]
fn a_self_signed_authority_is_no_server_whether_trusted_or_not() {
    let authority = params(&["localhost"], |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    for trusted in [true, false] {
        let (identity, pem) = self_signed(&authority);
        let server = Server::new(config(identity));
        let trusted = if trusted { file(pem) } else { Authority::new().file() };
        let error =
            format!("the certificate of {} is an authority's (CA:TRUE), not a server's", server.name());
        let hint = Some("the server needs a certificate with CA:FALSE");
        expect_failure(&mut server.asked_trusting(&trusted), 7, "tls", &error, hint);
        assert_eq!(one(&server.requests), "");
    }
}

#[test]
fn a_demand_for_a_client_certificate_is_named() {
    for version in [&TLS12, &TLS13] {
        let authority = Authority::new();
        refused(&authority, demanding(&authority, &[version]), "{} demands a client certificate", None);
    }
}

#[test]
fn old_protocols_and_other_alerts_are_told_apart() {
    for (alert, error, hint) in [
        (
            &b"\x15\x03\x01\x00\x02\x02\x46"[..],
            "{} has no TLS version, key exchange or cipher in common with us",
            INCOMPATIBLE,
        ),
        (
            b"\x15\x03\x01\x00\x02\x02\x28",
            "{} has no TLS version, key exchange or cipher in common with us",
            INCOMPATIBLE,
        ),
        (b"\x15\x03\x01\x00\x02\x02\x70", "{} refused the TLS handshake: UnrecognisedName", None),
        // A ServerHello that settles on TLS 1.0.
        (
            b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01RANDOM_RANDOM_RANDOM_RANDOM_RAND\x00\x00\x2f\x00",
            "{} has no TLS version, key exchange or cipher in common with us",
            INCOMPATIBLE,
        ),
    ] {
        broken(answering(alert), error, hint);
    }
}

#[test]
fn whatever_is_no_tls_is_refused() {
    for bytes in [
        &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",
        b"\x16\x03\x01\xff\xff this record is longer than any may be",
    ] {
        broken(answering(bytes), "{} does not speak TLS on this port", NOT_TLS);
    }
}

#[test]
fn a_plain_server_on_a_tls_port_sees_no_key() {
    let (address, received) = listen(|mut stream| {
        let mut hello = [0; 4096];
        let length = stream.read(&mut hello).unwrap_or_default();
        let _ = stream.write_all(format!("HTTP/1.0 200 OK\r\n\r\n{BALANCE}").as_bytes());
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        String::from_utf8_lossy(&[&hello[..length], &rest].concat()).into_owned()
    });
    let trusted = Authority::new().file();
    let output = asking(&format!("https://{address}")).env("SSL_CERT_FILE", trusted.path()).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(7), &b""[..]));
    assert!(!one(&received).contains("lk_"));
}

#[cfg(unix)] // The system's words.
#[test]
fn a_connection_that_ends_in_the_handshake_is_named() {
    for sent in [&b""[..], b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76"] {
        let fin = move |mut stream: TcpStream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(sent);
        };
        broken(fin, "{} closed the connection during the TLS handshake", None);
    }
    let rst = |stream: TcpStream| {
        let _ = stream.peek(&mut [0]);
        reset(&stream);
    };
    broken(rst, "the TLS handshake with {} failed: connection reset by peer", None);
}

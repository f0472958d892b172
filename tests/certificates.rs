//! Which certificates are accepted, and what is said of the others. No request goes to a server without a good one.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use tempfile::NamedTempFile;

use crate::common::messages;
use crate::common::messages::{CHECK_URL, RENEWED, SET_CLOCK, UNKNOWN_ISSUER, issuer_not_in};
use crate::common::tls::{
    self, Authority, Identity, ask_trusting, config, file, name, params, self_signed,
    unchecked_config,
};
use crate::common::{KEY, ask, clado, expect_balance, expect_error, has_ipv6, proxy};

const NEEDS_SERVER: Option<&str> = Some("the server needs one with CA:FALSE");
const BAD_SIGNATURE: &str = "does not fit a signature, or has an RSA key of less than 2048 bits";
const IS_CA: &str = "is a CA's (CA:TRUE), not a server's";
const NOT_ACCEPTED: &str =
    "is malformed, breaks a rule for certificates, or is not accepted by this system";
const UNKNOWN_ALGORITHM: &str = "is signed with an algorithm that is not supported";

/// Expects the error `the certificate of NAME` and `problem`, that it is short, and that the server gets no request.
#[track_caller]
fn expect_refused(
    config: ServerConfig,
    trusted: &NamedTempFile,
    problem: &str,
    hint: Option<&str>,
) {
    let server = tls::api(config);
    let message = messages::bad_certificate(name(&server), problem);
    let error = expect_error(
        &mut ask_trusting(&server, trusted),
        7,
        "tls",
        &message,
        hint,
    );
    assert_eq!(error["retryable"], false);
    assert!(message.len() <= 400, "{message}");
    server.expect_no_request();
}

fn is_ca(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

#[test]
fn a_good_certificate_is_accepted_and_the_key_arrives() {
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    expect_balance(&mut ask_trusting(&server, &authority.file()));
    let request = server.expect_one_request();
    assert!(
        request.starts_with("GET /api/credits HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request
            .to_lowercase()
            .contains("authorization: bearer lk_test_not_a_real_key\r\n"),
        "{request}"
    );
}

#[test]
fn a_server_with_the_certificate_but_not_its_key_is_refused() {
    for version in [&TLS12, &TLS13] {
        let authority = Authority::new();
        let identity = Identity {
            chain: authority.good().chain,
            key: Authority::new().good().key,
        };
        expect_refused(
            unchecked_config(identity, &[version]),
            &authority.file(),
            BAD_SIGNATURE,
            Some(RENEWED),
        );
    }
}

#[test]
fn the_certificate_has_to_name_the_address_in_the_url() {
    let mut hosts = vec![("127.0.0.1", "127.0.0.2")];
    if has_ipv6() {
        hosts.push(("::1", "::2"));
    }
    for (host, another) in hosts {
        let authority = Authority::new();
        let trusted = authority.file();
        for (names, is_right) in [
            (&["localhost", host][..], true),
            (&[another], false),
            (&["localhost"], false),
        ] {
            let server = tls::api_on(host, config(authority.sign(&params(names, |_| {}))));
            let mut command = ask(&format!("https://{}", server.address));
            command.env("SSL_CERT_FILE", trusted.path());
            if is_right {
                expect_balance(&mut command);
            } else {
                let message = format!("the certificate of {} is for {}", server.address, names[0]);
                expect_error(&mut command, 7, "tls", &message, Some(CHECK_URL));
                server.expect_no_request();
            }
        }
    }
}

#[test]
fn a_trailing_dot_is_not_part_of_the_name_in_the_certificate() {
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    // Through a proxy, as not every resolver knows the absolute form of this name.
    let proxy = proxy::http(server.address, "HTTP/1.1 200 OK\r\n\r\n");
    let trusted = authority.file();
    let mut command = ask(&format!("https://localhost.:{}", server.address.port()));
    expect_balance(
        command
            .env("SSL_CERT_FILE", trusted.path())
            .env("HTTPS_PROXY", proxy.url()),
    );
}

#[test]
fn an_intermediate_certificate_that_is_sent_leads_to_the_root() {
    let authority = Authority::new();
    let intermediate = authority.intermediate();
    let Identity { mut chain, key } = intermediate.good();
    chain.push(intermediate.der());
    let server = tls::api(config(Identity { chain, key }));
    expect_balance(&mut ask_trusting(&server, &authority.file()));
}

#[test]
fn a_bad_certificate_is_refused_with_its_reason() {
    type Change = fn(&mut CertificateParams);
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d");
    let expired = format!("expired on 2020-01-01; this machine's clock says {today}");
    let not_yet =
        format!("is not valid yet, but from 3000-01-01; this machine's clock says {today}");
    let rows: [(&[&str], Change, &str, Option<&str>); 7] = [
        (
            &["localhost"],
            |params| params.not_after = date_time_ymd(2020, 1, 1),
            &expired,
            Some(SET_CLOCK),
        ),
        (
            &["localhost"],
            |params| params.not_before = date_time_ymd(3000, 1, 1),
            &not_yet,
            Some(SET_CLOCK),
        ),
        (
            &["other.example"],
            |_| {},
            "is for other.example",
            Some(CHECK_URL),
        ),
        (
            &["*.localhost", "127.0.0.1"],
            |_| {},
            "is for *.localhost, 127.0.0.1",
            Some(CHECK_URL),
        ),
        // The common name does not count.
        (
            &[],
            |params| {
                params
                    .distinguished_name
                    .push(DnType::CommonName, "localhost")
            },
            "is for no host: it has no subjectAltName",
            Some(CHECK_URL),
        ),
        (
            &["localhost"],
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            "is not for a server",
            None,
        ),
        (&["localhost"], is_ca, IS_CA, NEEDS_SERVER),
    ];
    for (names, change, problem, hint) in rows {
        let authority = Authority::new();
        let identity = authority.sign(&params(names, change));
        expect_refused(config(identity), &authority.file(), problem, hint);
    }
}

/// A page of the network that answers for every server has a certificate of its own.
#[test]
fn a_wrong_name_where_no_url_was_set_hints_at_a_login_page() {
    let authority = Authority::new();
    let identity = authority.sign(&params(&["login.hotel.example"], |_| {}));
    let server = tls::api(config(identity));
    let proxy = proxy::http(server.address, "HTTP/1.1 200 OK\r\n\r\n");
    let trusted = authority.file();
    let mut command = clado();
    command
        .env("CLADO_API_KEY", KEY)
        .env("SSL_CERT_FILE", trusted.path())
        .env("HTTPS_PROXY", proxy.url());
    let message = format!(
        "the certificate of search.clado.ai is for login.hotel.example (through the proxy {}, from HTTPS_PROXY)",
        proxy.url()
    );
    let hint = Some("a login page of the network may be in the way");
    expect_error(&mut command, 7, "tls", &message, hint);
    server.expect_no_request();
}

#[test]
fn a_certificate_for_many_names_gives_a_short_message() {
    let names: Vec<String> = (0..500).map(|n| format!("name-{n}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let authority = Authority::new();
    let identity = authority.sign(&params(&names, |_| {}));
    expect_refused(
        config(identity),
        &authority.file(),
        "is for name-0.example, name-1.example, name-2.example and 497 others",
        Some(CHECK_URL),
    );
}

#[test]
fn an_unknown_issuer_is_refused_also_where_only_the_intermediate_is_missing() {
    let authority = Authority::new();
    for issuer in [
        Authority::named("Another company"),
        authority.intermediate(),
    ] {
        let trusted = authority.file();
        let hint = issuer_not_in(trusted.path());
        expect_refused(config(issuer.good()), &trusted, UNKNOWN_ISSUER, Some(&hint));
    }
}

#[test]
fn an_issuer_with_a_trusted_name_and_another_key_is_refused() {
    let config = config(Authority::new().good());
    expect_refused(
        config,
        &Authority::new().file(),
        BAD_SIGNATURE,
        Some(RENEWED),
    );
}

#[test]
fn a_self_signed_certificate_is_refused_until_it_is_trusted() {
    let (identity, pem) = self_signed(&params(&["localhost"], |_| {}));
    let server = tls::api(config(identity));
    expect_balance(&mut ask_trusting(&server, &file(pem)));

    let (identity, _) = self_signed(&params(&["localhost"], |_| {}));
    let trusted = Authority::new().file();
    let hint = issuer_not_in(trusted.path());
    expect_refused(config(identity), &trusted, UNKNOWN_ISSUER, Some(&hint));
}

#[test]
fn a_self_signed_ca_is_not_a_server_whether_trusted_or_not() {
    for is_trusted in [true, false] {
        let (identity, pem) = self_signed(&params(&["localhost"], is_ca));
        let trusted = if is_trusted {
            file(pem)
        } else {
            Authority::new().file()
        };
        expect_refused(config(identity), &trusted, IS_CA, NEEDS_SERVER);
    }
}

#[test]
fn a_weak_or_unsupported_signature_is_refused() {
    for (pem, problem, hint) in [
        (
            include_str!("data/p521-sha512.pem"),
            "is signed with ECDSA and SHA-512 (usual for P-521 keys), which is not supported",
            None,
        ),
        (
            include_str!("data/p521-sha256.pem"),
            "is signed with a P-521 key, which is not supported",
            None,
        ),
        (
            include_str!("data/ed448.pem"),
            "is signed with Ed448, which is not supported",
            None,
        ),
        (
            include_str!("data/rsa-pss.pem"),
            "is signed with an RSASSA-PSS key, which is not supported",
            None,
        ),
        (
            include_str!("data/sha1.pem"),
            "is signed with SHA-1, which is not supported",
            None,
        ),
        (
            include_str!("data/rsa1024.pem"),
            BAD_SIGNATURE,
            Some(RENEWED),
        ),
    ] {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap);
        let chain = certificates.skip(1).collect();
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        expect_refused(config(Identity { chain, key }), &file(pem), problem, hint);
    }
}

#[test]
fn a_name_that_the_issuer_must_not_certify_is_refused() {
    let authority = Authority::limited_to("company.example");
    expect_refused(
        config(authority.good()),
        &authority.file(),
        NOT_ACCEPTED,
        None,
    );
}

#[test]
fn a_certificate_with_an_unknown_critical_extension_is_refused() {
    let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    extension.set_criticality(true);
    let authority = Authority::new();
    let identity = authority.sign(&params(&["localhost"], |params| {
        params.custom_extensions = vec![extension]
    }));
    expect_refused(
        unchecked_config(identity, &[&TLS13]),
        &authority.file(),
        NOT_ACCEPTED,
        None,
    );
}

#[test]
fn garbage_in_the_place_of_a_certificate_is_refused() {
    let authority = Authority::new();
    for garbage in [&b""[..], b"\x30\x00", &[b'A'; 60_000]] {
        let chain = vec![CertificateDer::from(garbage.to_vec())];
        let identity = Identity {
            chain,
            key: authority.good().key,
        };
        expect_refused(
            unchecked_config(identity, &[&TLS13]),
            &authority.file(),
            NOT_ACCEPTED,
            None,
        );
    }
}

/// Replaces the algorithm of the signature, both where it is signed and beside the signature.
fn with_signature_algorithm(certificate: &[u8], algorithm: &[u8]) -> Vec<u8> {
    const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
    let mut parts = certificate.windows(ECDSA_WITH_SHA256.len());
    let first = parts.position(|part| part == ECDSA_WITH_SHA256).unwrap();
    let second = first + 1 + parts.position(|part| part == ECDSA_WITH_SHA256).unwrap();
    let mut changed = certificate.to_vec();
    for at in [second, first] {
        changed.splice(at..at + ECDSA_WITH_SHA256.len(), algorithm.iter().copied());
    }
    // The certificate and what is signed of it both start with 30 82 and a length of two bytes.
    let added = u16::try_from(algorithm.len() - ECDSA_WITH_SHA256.len()).unwrap();
    for (at, added) in [(0, 2 * added), (4, added)] {
        let length = u16::from_be_bytes([changed[at + 2], changed[at + 3]]) + added;
        changed[at + 2..at + 4].copy_from_slice(&length.to_be_bytes());
    }
    changed
}

#[test]
fn an_unknown_signature_algorithm_of_any_length_gives_a_short_message() {
    // An identifier that nobody uses, with 30,000 bytes of parameters.
    let mut algorithm = b"\x30\x82\x75\x37\x06\x01\x2a\x04\x82\x75\x30".to_vec();
    algorithm.extend([b'A'; 30_000]);
    let authority = Authority::new();
    let Identity { chain, key } = authority.good();
    let chain = vec![with_signature_algorithm(&chain[0], &algorithm).into()];
    let config = unchecked_config(Identity { chain, key }, &[&TLS13]);
    expect_refused(config, &authority.file(), UNKNOWN_ALGORITHM, None);
}

//! Certificates that curl judges differently. Where curl is installed and uses OpenSSL, each test asks it, too.
//!
//! Those with an algorithm that is not supported are in `certificates.rs`.

use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName,
    DnType, GeneralSubtree, IsCa, KeyPair, NameConstraints, date_time_ymd,
};
use tempfile::NamedTempFile;

use crate::common::messages::issuer_not_in;
use crate::common::server::Server;
use crate::common::tls::{
    self, Authority, Identity, ask_trusting, config, file, name, params, unchecked_config,
};
use crate::common::{expect_balance, expect_error, has_program};

const NOT_ACCEPTED: &str =
    "is malformed, breaks a rule for certificates, or is not accepted by this system";

/// An authority that is changed by `with`.
fn authority(with: impl FnOnce(&mut CertificateParams)) -> CertifiedIssuer<'static, KeyPair> {
    let params = params(&[], |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "An unusual authority");
        with(params);
    });
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn company() -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "A company");
    name
}

/// A certificate of the [`company`] for `localhost`, by `issuer`.
fn signed_by(issuer: &CertifiedIssuer<'static, KeyPair>) -> Identity {
    let key = KeyPair::generate().unwrap();
    let params = params(&["localhost"], |params| {
        params.distinguished_name = company();
    });
    let certificate = params.signed_by(&key, issuer).unwrap();
    Identity {
        chain: vec![certificate.into()],
        key: key.into(),
    }
}

/// A critical extension of X.509 with this last number of its identifier.
fn critical_extension(number: u64, content: &[u8]) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, number], content.to_vec());
    extension.set_criticality(true);
    extension
}

/// Expects that curl accepts the server's certificate, or that it does not.
#[track_caller]
fn expect_of_curl(server: &Server, trusted: &NamedTempFile, accepts: bool) {
    if !cfg!(target_os = "linux") || !has_program("curl") {
        return;
    }
    let output = Command::new("curl")
        .args(["--disable", "--silent", "--noproxy", "*"])
        .arg("--cacert")
        .arg(trusted.path())
        .arg(format!("https://{}", name(server)))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .output()
        .unwrap();
    // 60: the certificate can't be verified.
    let expected = if accepts { 0 } else { 60 };
    assert_eq!(output.status.code(), Some(expected));
}

#[track_caller]
fn expect_trusted_unlike_curl(identity: Identity, trusted: &NamedTempFile) {
    let server = tls::api(config(identity));
    expect_balance(&mut ask_trusting(&server, trusted));
    expect_of_curl(&server, trusted, false);
}

#[track_caller]
fn expect_not_accepted(identity: Identity, trusted: &NamedTempFile) {
    let server = tls::api(unchecked_config(identity, rustls::DEFAULT_VERSIONS));
    let message = format!("the certificate of {} {NOT_ACCEPTED}", name(&server));
    let mut command = ask_trusting(&server, trusted);
    expect_error(&mut command, 7, "tls", &message, None);
    expect_of_curl(&server, trusted, true);
}

#[test]
fn a_servers_certificate_alone_does_not_make_it_trusted() {
    let identity = Authority::new().good();
    let pem = pem(&identity);
    let server = tls::api(config(identity));
    let trusted = file(pem);
    let message = format!(
        "the certificate of {} is self-signed or from an unknown issuer",
        name(&server)
    );
    let hint = issuer_not_in(trusted.path());
    let mut command = ask_trusting(&server, &trusted);
    expect_error(&mut command, 7, "tls", &message, Some(&hint));
    expect_of_curl(&server, &trusted, true);
}

fn pem(identity: &Identity) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let encoded = BASE64_STANDARD.encode(&identity.chain[0]);
    format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n")
}

#[test]
fn an_expired_authority_is_trusted() {
    let expired = authority(|params| params.not_after = date_time_ymd(2020, 1, 1));
    expect_trusted_unlike_curl(signed_by(&expired), &file(expired.as_ref().pem()));
}

#[test]
fn an_authority_that_is_not_marked_as_one_is_trusted() {
    let unmarked = authority(|params| params.is_ca = IsCa::ExplicitNoCa);
    expect_trusted_unlike_curl(signed_by(&unmarked), &file(unmarked.as_ref().pem()));
}

#[test]
fn six_intermediate_certificates_are_accepted_and_seven_are_not() {
    for (count, is_accepted) in [(6, true), (7, false)] {
        let root = Authority::new();
        let mut issuers = vec![root.intermediate()];
        while issuers.len() < count {
            let name = format!("Department {}", issuers.len());
            issuers.push(issuers[issuers.len() - 1].intermediate_named(&name));
        }
        let Identity { mut chain, key } = issuers[count - 1].good();
        chain.extend(issuers.iter().rev().map(Authority::der));
        let identity = Identity { chain, key };
        if is_accepted {
            let server = tls::api(config(identity));
            expect_balance(&mut ask_trusting(&server, &root.file()));
        } else {
            expect_not_accepted(identity, &root.file());
        }
    }
}

#[test]
fn critical_policies_and_constraints_on_them_are_not_accepted() {
    // certificatePolicies with anyPolicy, and policyConstraints with requireExplicitPolicy 0.
    let policies = critical_extension(32, b"\x30\x08\x30\x06\x06\x04\x55\x1d\x20\x00");
    let constraints = critical_extension(36, b"\x30\x03\x80\x01\x00");
    let root = Authority::new();
    for extension in [policies, constraints] {
        let params = params(&["localhost"], |params| {
            params.custom_extensions = vec![extension];
        });
        expect_not_accepted(root.sign(&params), &root.file());
    }
}

#[test]
fn an_authority_with_a_constraint_on_directory_names_is_not_accepted() {
    let dns_name = GeneralSubtree::DnsName("localhost".to_owned());
    let directory_name = GeneralSubtree::DirectoryName(company());
    let limited_to = |permitted_subtrees| {
        authority(|params| {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees,
                excluded_subtrees: Vec::new(),
            });
        })
    };
    let limited = limited_to(vec![dns_name.clone()]);
    let server = tls::api(config(signed_by(&limited)));
    expect_balance(&mut ask_trusting(&server, &file(limited.as_ref().pem())));

    let limited = limited_to(vec![dns_name, directory_name]);
    expect_not_accepted(signed_by(&limited), &file(limited.as_ref().pem()));
}

#[cfg(not(any(windows, target_vendor = "apple")))]
#[test]
fn no_list_of_revoked_certificates_is_asked_for() {
    let lists = Server::silent();
    let root = Authority::new();
    let params = params(&["localhost"], |params| {
        params.crl_distribution_points = vec![rcgen::CrlDistributionPoint {
            uris: vec![lists.url()],
        }];
    });
    let server = tls::api(config(root.sign(&params)));
    expect_balance(&mut ask_trusting(&server, &root.file()));
    assert!(lists.finish().is_empty(), "there was a connection");
}

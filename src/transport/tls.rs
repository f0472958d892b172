//! TLS 1.2 and 1.3 with rustls and ring: the handshake, and what a failed one means.
//!
//! Which certificates are trusted is decided in `trust.rs`, and rustls verifies them.

use std::io;
use std::sync::Arc;

use anyhow::Context;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, OtherError, StreamOwned,
};

use super::stream::Connection;
use super::trust;
use crate::deadline::Check;
use crate::endpoint::unbracketed;
use crate::error::{Error, Kind, Result};
use crate::text::{Shown, shown};

/// The client's side of TLS: no client certificate, no session store, no early data.
///
/// # Errors
/// When the certificates to trust can't be read.
pub fn config(check: &Check) -> Result<Arc<ClientConfig>> {
    // ring, because aws-lc-rs spends 22 ms of each process on gathering entropy.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .context("the TLS versions do not fit the cipher suites")?;
    let mut config = trust::set_roots(builder, check)?.with_no_client_auth();
    // One connection in a process has no session to resume; rustls would set up a store for 256 of them.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Starts TLS with `host`, which messages call `name`.
///
/// # Errors
/// When the handshake fails. Nothing but the handshake has been sent then.
pub fn connect(
    config: &Arc<ClientConfig>,
    host: &str,
    mut connection: Connection,
    name: &Shown,
    check: &Check,
) -> Result<Connection> {
    let Ok(host) = ServerName::try_from(unbracketed(host).to_owned()) else {
        let message = shown!("{} can't be the name in a certificate", name);
        return Err(Error::new(Kind::Tls, message));
    };
    let mut tls =
        ClientConnection::new(Arc::clone(config), host).context("TLS could not be started")?;
    while tls.is_handshaking() {
        if let Err(error) = tls.complete_io(&mut connection) {
            // The version is known once the other side has spoken TLS.
            let spoke_tls = tls.protocol_version().is_some();
            return Err(handshake_error(&error, name, spoke_tls));
        }
    }
    if let Some(version) = tls.protocol_version().and_then(|version| version.as_str())
        && let Some(suite) = tls.negotiated_cipher_suite()
    {
        let version = Shown::new(version.replace('_', "."));
        let suite = suite.suite().as_str().unwrap_or("unknown cipher suite");
        check.note(shown!("{}, {}", version, suite));
    }
    Ok(Box::new(StreamOwned::new(tls, connection)))
}

/// The rustls error inside an I/O error, if there is one.
pub fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>()
}

/// What an error during or after the handshake means. `spoke_tls` says whether the other side has spoken TLS before.
pub fn handshake_error(error: &io::Error, name: &Shown, spoke_tls: bool) -> Error {
    let Some(problem) = rustls_error(error) else {
        let reason = Shown::reason(error);
        let message = shown!("the TLS handshake with {} failed: {}", name, reason);
        return Error::new(Kind::Tls, message).with_retryable(true);
    };
    match problem {
        rustls::Error::InvalidCertificate(problem) => certificate_error(problem, name),
        rustls::Error::InvalidMessage(_) if !spoke_tls => {
            let message = shown!("{} does not speak TLS on this port", name);
            let hint =
                "a login page of the network may be in the way, or the port is one for plain http";
            Error::new(Kind::Tls, message).with_hint(hint)
        }
        rustls::Error::PeerIncompatible(_) => nothing_in_common(name),
        rustls::Error::AlertReceived(alert) => alert_error(*alert, name),
        _ => Error::new(Kind::Tls, shown!("{} broke the TLS protocol", name)),
    }
}

/// What an alert of the other side means.
fn alert_error(alert: AlertDescription, name: &Shown) -> Error {
    let message = match alert {
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => {
            return nothing_in_common(name);
        }
        AlertDescription::CertificateRequired => {
            shown!(
                "{} requires a client certificate, which is not supported",
                name
            )
        }
        _ => shown!(
            "{} refused the TLS connection (alert {})",
            name,
            u8::from(alert)
        ),
    };
    Error::new(Kind::Tls, message)
}

fn nothing_in_common(name: &Shown) -> Error {
    let message = shown!(
        "{} has no TLS version, key exchange or cipher in common with this program",
        name
    );
    let hint = "it must offer TLS 1.2 or 1.3, ECDHE (X25519, P-256, P-384), AES-GCM or ChaCha20";
    Error::new(Kind::Tls, message).with_hint(hint)
}

/// What is wrong with a certificate of `name`.
fn certificate_error(problem: &CertificateError, name: &Shown) -> Error {
    const CHECK_CLOCK: &str = "check this machine's clock";
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            bad_certificate(name, "has expired").with_hint(CHECK_CLOCK)
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            bad_certificate(name, "is not valid yet").with_hint(CHECK_CLOCK)
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            bad_certificate(name, "is for another name")
                .with_hint("check --api-url, CLADO_API_URL or, for a proxy, its variable")
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            bad_certificate(name, "is not for a server")
        }
        CertificateError::UnknownIssuer => {
            bad_certificate(name, "is self-signed or from an unknown issuer")
                .with_hint("if you trust it, name its issuer's certificate in SSL_CERT_FILE")
        }
        CertificateError::Revoked => bad_certificate(name, "has been revoked"),
        // The signature on the certificate, or that of the handshake. ring takes RSA keys from 2048 bits.
        CertificateError::BadSignature => bad_certificate(
            name,
            "does not fit a signature, or has an RSA key of less than 2048 bits",
        )
        .with_hint("if the issuer was renewed, name its certificate in SSL_CERT_FILE"),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            bad_certificate(
                name,
                "is signed with an algorithm that is not supported, such as SHA-1",
            )
        }
        CertificateError::Other(other) if is_ca_as_server(other) => {
            bad_certificate(name, "is a CA's (CA:TRUE), not a server's")
                .with_hint("the server needs one with CA:FALSE")
        }
        _ => bad_certificate(
            name,
            "is malformed, breaks a rule for certificates, or is not accepted by this system",
        ),
    }
}

fn bad_certificate(name: &Shown, what: &'static str) -> Error {
    let message = shown!("the certificate of {} {}", name, what);
    Error::new(Kind::Tls, message)
}

fn is_ca_as_server(error: &OtherError) -> bool {
    let error = error.0.downcast_ref::<webpki::Error>();
    matches!(error, Some(webpki::Error::CaUsedAsEndEntity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revoked_certificate_is_named_as_such() {
        // Only the verifiers of Windows and macOS look for a revocation.
        let error = certificate_error(&CertificateError::Revoked, &"localhost".into());
        assert_eq!(
            error.message.to_string(),
            "the certificate of localhost has been revoked"
        );
    }
}

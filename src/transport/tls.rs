//! TLS 1.2 and 1.3 with rustls and ring: the handshake, and what a failed one means.
//!
//! Which certificates are trusted is decided in `trust.rs`, and rustls verifies them.

use std::io;
use std::sync::Arc;

use anyhow::Context;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, StreamOwned};

use super::stream::Connection;
use super::trust;
use crate::deadline::Run;
use crate::endpoint::unbracketed;
use crate::error::{Error, Result, error};
use crate::text::{Shown, shown};

/// The client's side of TLS: no client certificate, no session store, no early data.
///
/// # Errors
/// When the certificates to trust can't be read.
pub fn config(run: &Run) -> Result<Arc<ClientConfig>> {
    // ring, because aws-lc-rs spends 22 ms of each process on gathering entropy.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .context("the TLS versions do not fit the cipher suites")?;
    Ok(Arc::new(
        trust::verify_with(builder, run)?.with_no_client_auth(),
    ))
}

/// Starts TLS with `host`, which messages call `name`.
///
/// # Errors
/// When the handshake fails. Nothing but the handshake has been sent then.
pub fn connect(
    config: &Arc<ClientConfig>,
    host: &str,
    mut socket: Connection,
    name: &Shown,
    run: &Run,
) -> Result<Connection> {
    let server = ServerName::try_from(unbracketed(host).to_owned());
    let server = server.map_err(|_| error!(Tls, "{} can't be the name in a certificate", name))?;
    let mut tls =
        ClientConnection::new(config.clone(), server).context("TLS could not be started")?;
    while tls.is_handshaking() {
        // The version is known once the other side has spoken TLS.
        tls.complete_io(&mut socket)
            .map_err(|io| error(&io, name, tls.protocol_version().is_some()))?;
    }
    let version = tls
        .protocol_version()
        .and_then(|version| version.as_str())
        .unwrap_or_default();
    let suite = tls
        .negotiated_cipher_suite()
        .and_then(|suite| suite.suite().as_str())
        .unwrap_or_default();
    run.note(&shown!(
        "{}, {}",
        Shown::new(version.replace('_', ".")),
        suite
    ));
    Ok(Box::new(StreamOwned::new(tls, socket)))
}

/// The rustls error inside an I/O error, if there is one.
pub fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What an error during or after the handshake means. `spoke_tls` says whether the other side has spoken TLS before.
pub fn error(error: &io::Error, name: &Shown, spoke_tls: bool) -> Error {
    use rustls::Error as E;
    let Some(problem) = rustls_error(error) else {
        let reason = Shown::reason(error);
        return error!(Tls, "the TLS handshake with {} failed: {}", name, reason).retryable(true);
    };
    match problem {
        E::InvalidCertificate(problem) => certificate_error(problem, name),
        E::InvalidMessage(_) if !spoke_tls => {
            let hint =
                "a login page of the network may be in the way, or the port is one for plain http";
            error!(Tls, "{} does not speak TLS on this port", name).hint(Some(hint.into()))
        }
        E::AlertReceived(
            AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure,
        )
        | E::PeerIncompatible(_) => {
            let hint =
                "it must offer TLS 1.2 or 1.3, ECDHE (X25519, P-256, P-384), AES-GCM or ChaCha20";
            let what = "has no TLS version, key exchange or cipher in common with this program";
            error!(Tls, "{} {}", name, what).hint(Some(hint.into()))
        }
        E::AlertReceived(AlertDescription::CertificateRequired) => {
            error!(
                Tls,
                "{} requires a client certificate, which is not supported", name
            )
        }
        E::AlertReceived(alert) => {
            error!(
                Tls,
                "{} refused the TLS connection (alert {})",
                name,
                u16::from(u8::from(*alert))
            )
        }
        _ => error!(Tls, "{} broke the TLS protocol", name),
    }
}

fn certificate_error(problem: &CertificateError, name: &Shown) -> Error {
    use CertificateError as E;
    const CLOCK: Option<&str> = Some("check this machine's clock");
    const URL: Option<&str> = Some("check --api-url, CLADO_API_URL or, for a proxy, its variable");
    const ISSUER: Option<&str> =
        Some("if you trust it, name its issuer's certificate in SSL_CERT_FILE");
    const RENEWED: Option<&str> =
        Some("if the issuer was renewed, name its certificate in SSL_CERT_FILE");
    let (what, hint) = match problem {
        E::Expired | E::ExpiredContext { .. } => ("has expired", CLOCK),
        E::NotValidYet | E::NotValidYetContext { .. } => ("is not valid yet", CLOCK),
        E::NotValidForName | E::NotValidForNameContext { .. } => ("is for another name", URL),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => ("is not for a server", None),
        E::UnknownIssuer => ("is self-signed or from an unknown issuer", ISSUER),
        E::Revoked => ("has been revoked", None),
        // The signature on the certificate, or that of the handshake. ring takes RSA keys from 2048 bits.
        E::BadSignature => (
            "does not fit a signature, or has an RSA key of less than 2048 bits",
            RENEWED,
        ),
        E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => (
            "is signed with an algorithm that is not supported, such as SHA-1",
            None,
        ),
        E::Other(other)
            if matches!(
                other.0.downcast_ref(),
                Some(webpki::Error::CaUsedAsEndEntity)
            ) =>
        {
            (
                "is a CA's (CA:TRUE), not a server's",
                Some("the server needs one with CA:FALSE"),
            )
        }
        _ => (
            "is malformed, breaks a rule for certificates, or is not accepted by this system",
            None,
        ),
    };
    error!(Tls, "the certificate of {} {}", name, what).hint(hint.map(Shown::from))
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

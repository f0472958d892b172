//! TLS 1.2 and 1.3 with rustls and ring: the handshake, and what a failed one means.
//!
//! Which certificates are trusted is decided in `trust.rs`.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, StreamOwned};
use ureq::Error;
use ureq::unversioned::transport::{ConnectionDetails, Connector, Either, Transport, TransportAdapter};

use super::duplex::Duplex;
use super::{Failure, Progress, Stage, TlsProblem, peer, trust};
use crate::endpoint::unbracketed;
use crate::text;

/// TLS over a boxed transport.
type Secured = Duplex<StreamOwned<ClientConnection, TransportAdapter>>;

/// The client's side of TLS: no client certificate, no session store, no early data.
///
/// # Errors
/// When the certificates to trust can't be read.
pub fn config() -> Result<Arc<ClientConfig>, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = trust::verifier(&provider)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .map_err(|error| Failure::NoTrust(error.to_string()))?
        // Not dangerous here: the verifier is the one that rustls would have taken.
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Secures a connection whose URL is https, be it to the service or to an https proxy.
pub struct Tls {
    config: Option<Arc<ClientConfig>>,
    progress: Arc<Progress>,
}

impl Tls {
    /// Without a `config`, https fails.
    pub fn new(config: Option<Arc<ClientConfig>>, progress: &Arc<Progress>) -> Tls {
        Tls { config, progress: progress.clone() }
    }

    fn handshake(
        &self,
        config: &Arc<ClientConfig>,
        details: &ConnectionDetails,
        transport: impl Transport,
    ) -> io::Result<Secured> {
        let host = unbracketed(details.uri.host().unwrap_or_default());
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let mut connection = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        if let (Some(version), Some(suite)) =
            (connection.protocol_version(), connection.negotiated_cipher_suite())
        {
            let version = format!("{version:?}").replace('_', ".");
            self.progress.note(format_args!("{version}, {:?}", suite.suite()));
        }
        let input = details.config.input_buffer_size();
        Ok(Duplex::new(StreamOwned::new(connection, socket), true, input, details.config))
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, Secured>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        // The tunnel runs the chain for the proxy with a configuration that names no proxy.
        let proxy = self.progress.proxy().filter(|_| details.config.proxy().is_none());
        let reached = if details.needs_tls() {
            let config = self.config.as_ref().ok_or(Error::TlsRequired)?;
            if proxy.is_none() {
                self.progress.reach(Stage::Tls);
            }
            let secured = self.handshake(config, details, transport).map_err(|error| Failure::Tls {
                peer: match proxy {
                    Some(proxy) => format!("the proxy {proxy}"),
                    None => peer(details),
                },
                problem: problem(&error),
            })?;
            Either::B(secured)
        } else {
            Either::A(transport)
        };
        if proxy.is_none() {
            self.progress.reach(Stage::Reply);
        }
        Ok(Some(reached))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// What an I/O error during or after the handshake says about TLS.
pub fn problem(error: &io::Error) -> TlsProblem {
    match rustls_error(error) {
        Some(error) => explain(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => TlsProblem::Closed,
        None if error.kind() == io::ErrorKind::InvalidInput => TlsProblem::BadName,
        None => TlsProblem::Io(text::io_reason(error)),
    }
}

/// The rustls error inside an I/O error, if that is what it carries.
pub fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn explain(error: &rustls::Error) -> TlsProblem {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(error) => explain_certificate(error),
        E::InvalidMessage(_) => TlsProblem::NotTls,
        E::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure)
        | E::PeerIncompatible(_) => TlsProblem::Incompatible,
        E::AlertReceived(AlertDescription::CertificateRequired) => TlsProblem::ClientCertificate,
        E::AlertReceived(alert) => TlsProblem::Alert(format!("{alert:?}")),
        other => TlsProblem::Other(text::visible(&other.to_string())),
    }
}

fn explain_certificate(error: &CertificateError) -> TlsProblem {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => TlsProblem::Expired,
        E::NotValidYet | E::NotValidYetContext { .. } => TlsProblem::NotYetValid,
        E::NotValidForName => TlsProblem::WrongName(String::new()),
        E::NotValidForNameContext { presented, .. } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            TlsProblem::WrongName(text::from_server(&names.join(", "), ""))
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => TlsProblem::WrongPurpose,
        E::UnknownIssuer => TlsProblem::UnknownIssuer,
        E::Other(other) if other.0.is::<trust::SelfSigned>() => TlsProblem::SelfSigned,
        E::Other(other) if matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)) => {
            TlsProblem::AuthorityAsServer
        }
        other => TlsProblem::Other(text::visible(&other.to_string())),
    }
}

/// The name inside `DnsName("a.example")` or `IpAddress(::1)`, as webpki writes those of a certificate.
fn bare(name: &str) -> &str {
    let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.unwrap_or(name).trim_matches('"')
}

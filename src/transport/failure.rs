//! What can go wrong between here and the service, in words. The exit code and the JSON are in `error.rs`.

use std::fmt;
use std::io::{self, ErrorKind};

use super::{Progress, Stage, tls};
use crate::text;

/// Why there was no exchange, or only half of one. All of it is exit code 7.
#[derive(Debug)]
pub enum Failure {
    /// A proxy variable holds what can't be understood. Its value may hold a password and is never shown.
    BadProxy {
        /// The name of the variable.
        variable: &'static str,
        /// What is wrong with its value.
        problem: &'static str,
    },
    /// The certificates to trust can't be read.
    NoTrust(String),
    /// A name was not resolved.
    Resolve {
        /// The name.
        host: String,
        /// The resolver's words.
        reason: String,
    },
    /// The request is unencrypted, and this name is not on this machine.
    LeavesMachine {
        /// The name.
        host: String,
    },
    /// No connection to the service.
    Connect {
        /// The service.
        peer: String,
        /// The system's words.
        reason: String,
    },
    /// No connection to the proxy, or none through it.
    Proxy {
        /// The proxy.
        proxy: String,
        /// The system's words, or ours.
        reason: String,
    },
    /// The proxy answered CONNECT with another status than 2xx.
    ProxyRefused {
        /// The proxy.
        proxy: String,
        /// The HTTP status.
        status: u16,
    },
    /// TLS failed.
    Tls {
        /// The service, or the proxy.
        peer: String,
        /// How.
        problem: TlsProblem,
    },
    /// The connection ended before the reply was complete.
    Lost {
        /// The service.
        peer: String,
        /// Whether a part of the reply had come.
        stage: Stage,
        /// The system's words; `None` when the connection was closed in good order.
        reason: Option<String>,
    },
}

/// What is wrong with the other side's TLS.
#[derive(Debug, PartialEq, Eq)]
pub enum TlsProblem {
    /// The certificate's time has passed.
    Expired,
    /// The certificate's time has not come.
    NotYetValid,
    /// The certificate is for other names: these, in one line.
    WrongName(String),
    /// The certificate is not for servers.
    WrongPurpose,
    /// The certificate's issuer is not trusted, or an intermediate certificate is missing.
    UnknownIssuer,
    /// The certificate is its own issuer, and not trusted.
    SelfSigned,
    /// The certificate is an authority's own (CA:TRUE), which rustls accepts from no server.
    AuthorityAsServer,
    /// No protocol version or cipher in common.
    Incompatible,
    /// What was received is not TLS.
    NotTls,
    /// The other side wants a certificate from us.
    ClientCertificate,
    /// The other side refused, with this alert.
    Alert(String),
    /// The host of the URL can't be the name in a certificate.
    BadName,
    /// The connection was closed during the handshake.
    Closed,
    /// The connection broke during the handshake.
    Io(String),
    /// Anything else, in rustls's words.
    Other(String),
}

impl Failure {
    /// Sorts what ureq returned. What the connectors of this folder had to say comes back as they said it; the
    /// rest is told apart by its type and by how far the run had come.
    ///
    /// # Errors
    /// The error itself, when it is none of the connection's.
    pub fn sort(error: ureq::Error, peer: &str, progress: &Progress) -> Result<Failure, ureq::Error> {
        let stage = progress.stage();
        let error = match error {
            ureq::Error::Other(other) => match other.downcast::<Failure>() {
                Ok(failure) => return Ok(*failure),
                Err(other) => return Err(ureq::Error::Other(other)),
            },
            ureq::Error::Io(error) => error,
            // A chunk that never comes; ureq notices only that there is no more to read.
            ureq::Error::BodyStalled => {
                return Ok(Failure::Lost { peer: peer.to_owned(), stage, reason: None });
            }
            other => return Err(other),
        };
        Ok(match stage {
            Stage::Key | Stage::Trust | Stage::Resolve | Stage::Connect | Stage::Proxy => {
                Failure::at_proxy(&error, progress)
            }
            // A server that misses a client certificate says so after its side of the handshake.
            Stage::Tls | Stage::Reply | Stage::Body if tls::rustls_error(&error).is_some() => {
                Failure::Tls { peer: peer.to_owned(), problem: tls::problem(&error) }
            }
            Stage::Tls | Stage::Reply | Stage::Body => Failure::Lost {
                peer: peer.to_owned(),
                stage,
                reason: (error.kind() != ErrorKind::UnexpectedEof).then(|| text::io_reason(&error)),
            },
        })
    }

    /// What an I/O error on the way to the proxy, or in talking to it, says.
    pub fn at_proxy(error: &io::Error, progress: &Progress) -> Failure {
        let proxy = progress.proxy().unwrap_or_default().to_owned();
        // An https proxy that misses a client certificate says so after its side of the handshake.
        if tls::rustls_error(error).is_some() {
            return Failure::Tls { peer: format!("the proxy {proxy}"), problem: tls::problem(error) };
        }
        let reason = match error.kind() {
            ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
            // What ureq calls an answer that is none of SOCKS.
            ErrorKind::InvalidData => "it did not answer in SOCKS".to_owned(),
            _ => text::io_reason(error),
        };
        Failure::Proxy { proxy, reason }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Failure::BadProxy { .. } => "a proxy is given as http://host:port".to_owned(),
            Failure::LeavesMachine { .. } => "use https, or name the host in NO_PROXY".to_owned(),
            Failure::ProxyRefused { status: 407, .. } => {
                "put user name and password into the proxy's URL: http://user:password@host:port".to_owned()
            }
            Failure::Tls { problem, .. } => return problem.hint().map(str::to_owned),
            _ => return None,
        })
    }
}

impl TlsProblem {
    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            TlsProblem::Expired | TlsProblem::NotYetValid => "if it is not, this machine's clock is wrong",
            TlsProblem::UnknownIssuer => {
                "if you trust the issuer, a company proxy's for example, name its certificate in SSL_CERT_FILE"
            }
            TlsProblem::SelfSigned => "if you trust the certificate, name it in SSL_CERT_FILE",
            TlsProblem::AuthorityAsServer => "the server needs a certificate with CA:FALSE",
            TlsProblem::Incompatible => {
                "it must offer TLS 1.2 or 1.3, ECDHE with X25519, P-256 or P-384, and AES-GCM or ChaCha20"
            }
            TlsProblem::NotTls => {
                "a login page of the network may be in the way, or the port is one for plain http"
            }
            _ => return None,
        })
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for ureq::Error {
    fn from(failure: Failure) -> ureq::Error {
        ureq::Error::Other(Box::new(failure))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::BadProxy { variable, problem } => {
                write!(f, "{variable} names no usable proxy: {problem}")
            }
            Failure::NoTrust(what) => f.write_str(what),
            Failure::Resolve { host, reason } => write!(f, "could not resolve {host}: {reason}"),
            Failure::LeavesMachine { host } => {
                write!(f, "{host} is not this machine, and the key is not sent there over plain http")
            }
            Failure::Connect { peer, reason } => write!(f, "could not connect to {peer}: {reason}"),
            Failure::Proxy { proxy, reason } => write!(f, "the proxy {proxy} made no connection: {reason}"),
            Failure::ProxyRefused { proxy, status: 407 } => {
                write!(f, "the proxy {proxy} wants a user name and password (HTTP 407)")
            }
            Failure::ProxyRefused { proxy, status } => {
                write!(f, "the proxy {proxy} refused the connection (HTTP {status})")
            }
            Failure::Tls { peer, problem } => match problem {
                TlsProblem::Expired => write!(f, "the certificate of {peer} has expired"),
                TlsProblem::NotYetValid => write!(f, "the certificate of {peer} is not valid yet"),
                TlsProblem::WrongName(names) if names.is_empty() => {
                    write!(f, "the certificate of {peer} is for another name")
                }
                TlsProblem::WrongName(names) => {
                    write!(f, "the certificate of {peer} is for another name: {names}")
                }
                TlsProblem::WrongPurpose => write!(f, "the certificate of {peer} is not for a server"),
                TlsProblem::UnknownIssuer => write!(f, "the certificate of {peer} is from an unknown issuer"),
                TlsProblem::SelfSigned => write!(f, "the certificate of {peer} is self-signed"),
                TlsProblem::AuthorityAsServer => {
                    write!(f, "the certificate of {peer} is an authority's (CA:TRUE), not a server's")
                }
                TlsProblem::Incompatible => {
                    write!(f, "{peer} has no TLS version, key exchange or cipher in common with us")
                }
                TlsProblem::NotTls => write!(f, "{peer} does not speak TLS on this port"),
                TlsProblem::ClientCertificate => write!(f, "{peer} demands a client certificate"),
                TlsProblem::Alert(alert) => write!(f, "{peer} refused the TLS handshake: {alert}"),
                TlsProblem::BadName => write!(f, "{peer} can't be the name in a certificate"),
                TlsProblem::Closed => write!(f, "{peer} closed the connection during the TLS handshake"),
                TlsProblem::Io(reason) => write!(f, "the TLS handshake with {peer} failed: {reason}"),
                TlsProblem::Other(reason) => write!(f, "no TLS with {peer}: {reason}"),
            },
            Failure::Lost { peer, stage: Stage::Body, reason: None } => {
                write!(f, "{peer} closed the connection before its reply was complete")
            }
            Failure::Lost { peer, reason: None, .. } => {
                write!(f, "{peer} closed the connection without a reply")
            }
            Failure::Lost { peer, reason: Some(reason), .. } => {
                write!(f, "the connection to {peer} was lost: {reason}")
            }
        }
    }
}

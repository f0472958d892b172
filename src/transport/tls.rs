//! TLS 1.2 and 1.3 with rustls and ring: the handshake, and what a failed one means.
//!
//! Which certificates are trusted is decided in `trust.rs`, and rustls verifies them.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use jiff::Timestamp;
use memchr::memmem;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, OtherError,
    SignatureScheme, StreamOwned,
};

use super::stream::Connection;
use super::trust::Trust;
use crate::config::Config;
use crate::deadline::Check;
use crate::endpoint::unbracketed;
use crate::error::{Error, Kind, Result};
use crate::proxy::{Proxy, Route};
use crate::text::{Shown, shown};

/// The client's side of TLS.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    trust: Trust,
}

impl Tls {
    /// Loads the certificates to trust. No client certificate, no session store, no early data.
    ///
    /// # Errors
    /// When there are no certificates to trust.
    pub fn new(check: &Check) -> Result<Tls> {
        let trust = Trust::load(check)?;
        let config = client_config(&trust)?;
        Ok(Tls { config, trust })
    }

    /// The same with the certificates of all directories; `None` if that adds none.
    ///
    /// # Errors
    /// None that are expected.
    pub fn with_directories(&self, check: &Check) -> Result<Option<Tls>> {
        let Some(trust) = self.trust.with_directories(check) else {
            return Ok(None);
        };
        let config = client_config(&trust)?;
        Ok(Some(Tls { config, trust }))
    }

    /// Starts TLS with `party`.
    ///
    /// # Errors
    /// When the handshake fails. No request has been sent then.
    pub fn connect(
        &self,
        mut connection: Connection,
        party: &Party,
        check: &Check,
    ) -> Result<Connection> {
        let Ok(host) = ServerName::try_from(unbracketed(&party.host).to_owned()) else {
            let message = shown!("{} can't be the name in a certificate", party.name);
            return Err(Error::new(Kind::Tls, message));
        };
        let no_certificate = Arc::new(NoClientCertificate::default());
        let mut config = ClientConfig::clone(&self.config);
        config.client_auth_cert_resolver = no_certificate.clone();
        let mut tls =
            ClientConnection::new(Arc::new(config), host).context("TLS could not be started")?;
        while tls.is_handshaking() {
            if let Err(error) = tls.complete_io(&mut connection) {
                // The version is known once the other side has spoken TLS.
                let spoke_tls = tls.protocol_version().is_some();
                note_version(&tls, check);
                no_certificate.note(party, check);
                let error = no_certificate.explain(error);
                return Err(handshake_error(&error, party, spoke_tls, &check.config));
            }
        }
        note_version(&tls, check);
        no_certificate.note(party, check);
        let sent = tls.peer_certificates().map_or(0, <[_]>::len);
        check.note(shown!(
            "the certificate of {} is valid; certificates sent: {}",
            party.name,
            sent
        ));
        Ok(Box::new(TlsConnection {
            stream: StreamOwned::new(tls, connection),
            no_certificate,
        }))
    }
}

fn client_config(trust: &Trust) -> Result<Arc<ClientConfig>> {
    // ring, because aws-lc-rs spends 22 ms of each process on gathering entropy.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .context("the TLS versions do not fit the cipher suites")?;
    let builder = match trust {
        Trust::Roots { roots, .. } => builder.with_root_certificates(Arc::clone(roots)),
        #[cfg(any(windows, target_vendor = "apple"))]
        Trust::System => {
            use rustls_platform_verifier::BuilderVerifierExt;
            builder
                .with_platform_verifier()
                .context("the system's verifier could not be used")?
        }
    };
    let mut config = builder.with_no_client_auth();
    // One connection in a process has no session to resume; rustls would set up a store for 256 of them.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Tells for `--verbose` which version and cipher suite the server has chosen, if it has got that far.
fn note_version(tls: &ClientConnection, check: &Check) {
    if let Some(version) = tls.protocol_version().and_then(|version| version.as_str())
        && let Some(suite) = tls.negotiated_cipher_suite()
    {
        let version = Shown::new(version.replace('_', "."));
        let suite = suite.suite().as_str().unwrap_or("unknown cipher suite");
        check.note(shown!("{}, {}", version, suite));
    }
}

/// Answers that there is no client certificate, and remembers that it was asked for one.
#[derive(Debug, Default)]
struct NoClientCertificate {
    was_asked: AtomicBool,
}

impl NoClientCertificate {
    /// Tells for `--verbose` that a client certificate was asked for.
    fn note(&self, party: &Party, check: &Check) {
        if self.was_asked.load(Ordering::Relaxed) {
            check.note(shown!(
                "{} asks for a client certificate; there is none",
                party.name
            ));
        }
    }

    /// Turns an alert of a server that has asked for a client certificate into the one that says so. Servers that
    /// require one end the connection with half a dozen different alerts.
    fn explain(&self, error: io::Error) -> io::Error {
        let is_alert = matches!(rustls_error(&error), Some(rustls::Error::AlertReceived(_)));
        if is_alert && self.was_asked.load(Ordering::Relaxed) {
            let alert = AlertDescription::CertificateRequired;
            return io::Error::new(error.kind(), rustls::Error::AlertReceived(alert));
        }
        error
    }
}

impl ResolvesClientCert for NoClientCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// A connection through TLS.
struct TlsConnection {
    stream: StreamOwned<ClientConnection, Connection>,
    no_certificate: Arc<NoClientCertificate>,
}

impl Read for TlsConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // With TLS 1.3, a server that requires a client certificate says so after the handshake.
        let result = self.stream.read(buffer);
        result.map_err(|error| self.no_certificate.explain(error))
    }
}

impl Write for TlsConnection {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let result = self.stream.write(buffer);
        result.map_err(|error| self.no_certificate.explain(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.stream.flush();
        result.map_err(|error| self.no_certificate.explain(error))
    }
}

/// Who is at the other end of a connection, as messages need it.
pub struct Party {
    /// The host, which the certificate has to be for.
    pub host: String,
    /// How messages name it.
    pub name: Shown,
    /// The flag or variable that names it; `None` for the default server.
    setting: Option<Shown>,
    /// Whether a login page of the network may answer in its place, as happens to servers on other machines.
    may_be_login_page: bool,
    /// What may help where it does not speak TLS.
    pub not_tls_hint: Shown,
    /// The proxy in between, as an addition to a sentence.
    through: Option<Shown>,
}

impl Party {
    /// The server.
    pub fn server(config: &Config) -> Party {
        let through = match &config.route {
            Route::Through(proxy) => Some(shown!(" (through {})", proxy.name_without_brackets())),
            Route::Direct(_) => None,
        };
        Party {
            host: config.endpoint.host().to_owned(),
            name: config.server_name.clone(),
            setting: config.url_setting.map(Shown::from),
            may_be_login_page: !config.endpoint.is_loopback(),
            not_tls_hint:
                "a login page of the network may be in the way, or the port is one for plain http"
                    .into(),
            through,
        }
    }

    /// The proxy.
    pub fn proxy(proxy: &Proxy) -> Party {
        Party {
            host: proxy.host.clone(),
            name: proxy.name.clone(),
            setting: Some(proxy.variable.clone()),
            may_be_login_page: false,
            not_tls_hint: shown!(
                "most proxies are reached in plain http: write http://host:port in {}",
                proxy.variable
            ),
            through: None,
        }
    }

    /// The step of the TLS handshake, as what a timeout says.
    pub fn handshake_step(&self) -> Shown {
        self.with_proxy(shown!("{} did not complete the TLS handshake", self.name))
    }

    /// The error of this party in TLS. `what` is a sentence that names it.
    fn error(&self, what: Shown) -> Error {
        Error::new(Kind::Tls, self.with_proxy(what))
    }

    /// Adds the proxy in between to a sentence.
    fn with_proxy(&self, what: Shown) -> Shown {
        match &self.through {
            Some(through) => shown!("{}{}", what, through),
            None => what,
        }
    }

    /// The error for its certificate. `what` is the end of a sentence about it.
    fn certificate_error(&self, what: impl Into<Shown>) -> Error {
        self.error(shown!("the certificate of {} {}", self.name, what.into()))
    }
}

/// The rustls error inside an I/O error, if there is one.
pub fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>()
}

/// What an error during or after the handshake means. `spoke_tls` says whether the other side has spoken TLS before.
pub fn handshake_error(
    error: &io::Error,
    party: &Party,
    spoke_tls: bool,
    config: &Config,
) -> Error {
    let name = &party.name;
    let Some(problem) = rustls_error(error) else {
        let reason = Shown::reason(error);
        let what = shown!("the TLS handshake with {} failed: {}", name, reason);
        return party.error(what).with_retryable(true);
    };
    match problem {
        rustls::Error::InvalidCertificate(problem) => certificate_error(problem, party, config),
        rustls::Error::InvalidMessage(_) if !spoke_tls => party
            .error(shown!("{} does not speak TLS on this port", name))
            .with_hint(party.not_tls_hint.clone()),
        rustls::Error::PeerIncompatible(_) => nothing_in_common(party),
        rustls::Error::AlertReceived(alert) => alert_error(*alert, party),
        // The verifiers of Windows and Apple systems use the first for what fails in themselves.
        rustls::Error::General(_)
        | rustls::Error::FailedToGetCurrentTime
        | rustls::Error::FailedToGetRandomBytes => party.error(shown!(
            "this machine could not verify the certificate of {}",
            name
        )),
        _ => party.error(shown!("{} broke the TLS protocol", name)),
    }
}

/// What an alert of the other side means (RFC 8446, section 6.2).
fn alert_error(alert: AlertDescription, party: &Party) -> Error {
    let name = &party.name;
    let number = u8::from(alert);
    let meaning = match alert {
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => {
            return nothing_in_common(party);
        }
        AlertDescription::CertificateRequired => {
            let what = shown!(
                "{} requires a client certificate, which is not supported",
                name
            );
            return party.error(what);
        }
        AlertDescription::UnrecognisedName => {
            let host = Shown::new(&party.host);
            let hint = party
                .setting
                .as_ref()
                .map(|setting| shown!("check {}", setting));
            let what = shown!("{} does not serve the name {} (alert 112)", name, host);
            return party.error(what).with_hint_if(hint);
        }
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::UnsupportedCertificate => "unsupported certificate",
        AlertDescription::CertificateUnknown => "certificate unknown",
        AlertDescription::AccessDenied => "access denied",
        AlertDescription::IllegalParameter => "illegal parameter",
        AlertDescription::DecodeError => "decode error",
        AlertDescription::DecryptError => "decrypt error",
        AlertDescription::UnexpectedMessage => "unexpected message",
        AlertDescription::BadRecordMac => "bad record MAC",
        AlertDescription::InsufficientSecurity => "insufficient security",
        AlertDescription::InternalError => "internal error",
        AlertDescription::NoApplicationProtocol => "no application protocol",
        _ => {
            return party.error(shown!(
                "{} refused the TLS connection (alert {})",
                name,
                number
            ));
        }
    };
    party.error(shown!(
        "{} refused the TLS connection: {} (alert {})",
        name,
        meaning,
        number
    ))
}

fn nothing_in_common(party: &Party) -> Error {
    let what = shown!(
        "{} has no TLS version, key exchange or cipher in common with this program",
        party.name
    );
    party.error(what).with_hint(
        "it must offer TLS 1.2 or 1.3, ECDHE (X25519, P-256, P-384), AES-GCM or ChaCha20, and a key of RSA, P-256, P-384 or Ed25519",
    )
}

/// What is wrong with a certificate of `party`.
fn certificate_error(problem: &CertificateError, party: &Party, config: &Config) -> Error {
    const SET_CLOCK: &str = "if that is wrong, set this machine's clock";
    match problem {
        CertificateError::ExpiredContext { time, not_after } => party
            .certificate_error(shown!("expired on {}", beside_clock(not_after, time)))
            .with_hint(SET_CLOCK),
        CertificateError::NotValidYetContext { time, not_before } => party
            .certificate_error(shown!(
                "is not valid yet, but from {}",
                beside_clock(not_before, time)
            ))
            .with_hint(SET_CLOCK),
        CertificateError::Expired => party
            .certificate_error("has expired")
            .with_hint("check this machine's clock"),
        CertificateError::NotValidYet => party
            .certificate_error("is not valid yet")
            .with_hint("check this machine's clock"),
        CertificateError::NotValidForName => party
            .certificate_error("is for another name")
            .with_hint(wrong_name_hint(party)),
        CertificateError::NotValidForNameContext { presented, .. } => party
            .certificate_error(is_for(presented))
            .with_hint(wrong_name_hint(party)),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            party.certificate_error("is not for a server")
        }
        CertificateError::UnknownIssuer => {
            let mut error = party
                .certificate_error("is self-signed or from an unknown issuer")
                .with_hint(unknown_issuer_hint(config));
            error.more_certificates_may_help = true;
            error
        }
        CertificateError::Revoked => party.certificate_error("has been revoked"),
        // The signature on the certificate, or that of the handshake. ring takes RSA keys from 2048 bits.
        CertificateError::BadSignature => {
            let mut error = party
                .certificate_error(
                    "does not fit a signature, or has an RSA key of less than 2048 bits",
                )
                .with_hint("if the issuer was renewed, its new certificate has to be trusted");
            // A store may have the old certificate in its file and the new one in a directory.
            error.more_certificates_may_help = true;
            error
        }
        CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id,
            ..
        } => party.certificate_error(signed_with(&SIGNATURES, signature_algorithm_id)),
        CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            public_key_algorithm_id,
            ..
        } => party.certificate_error(signed_with(&KEYS, public_key_algorithm_id)),
        CertificateError::Other(other) if is_ca_as_server(other) => party
            .certificate_error("is a CA's (CA:TRUE), not a server's")
            .with_hint("the server needs one with CA:FALSE"),
        _ => party.certificate_error(
            "is malformed, breaks a rule for certificates, or is not accepted by this system",
        ),
    }
}

/// A time beside that of this machine's clock, as the end of a sentence: dates in UTC, with the time of day where they
/// are the same day.
fn beside_clock(time: &UnixTime, now: &UnixTime) -> Shown {
    const DAY: &str = "%Y-%m-%d";
    const MINUTE: &str = "%Y-%m-%d %H:%M UTC";
    let is_same_day = format_time(time, DAY) == format_time(now, DAY);
    let format = if is_same_day { MINUTE } else { DAY };
    shown!(
        "{}; this machine's clock says {}",
        format_time(time, format),
        format_time(now, format)
    )
}

fn format_time(time: &UnixTime, format: &str) -> Shown {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match Timestamp::from_second(seconds) {
        Ok(time) => Shown::new(time.strftime(format).to_string()),
        Err(_) => "a date beyond the year 9999".into(),
    }
}

/// The names that a certificate is for, as the end of a sentence. rustls writes them as `DnsName("host")` and
/// `IpAddress(127.0.0.1)`.
fn is_for(names: &[String]) -> Shown {
    const SHOWN: usize = 3;
    let mut list = String::new();
    for name in names.iter().take(SHOWN) {
        let name = name.split_once('(').map_or(name.as_str(), |(_, name)| name);
        let name = name.trim_end_matches(')').trim_matches('"');
        if !list.is_empty() {
            list += ", ";
        }
        // rustls writes "::1" as "0::1".
        match name.parse::<IpAddr>() {
            Ok(address) => list += &address.to_string(),
            Err(_) => list += name,
        }
    }
    if list.is_empty() {
        return "is for no host: it has no subjectAltName".into();
    }
    let list = Shown::short(list);
    match names.len().saturating_sub(SHOWN) {
        0 => shown!("is for {}", list),
        1 => shown!("is for {} and 1 other", list),
        others => shown!("is for {} and {} others", list, others),
    }
}

fn wrong_name_hint(party: &Party) -> Shown {
    match &party.setting {
        Some(setting) if party.may_be_login_page => shown!(
            "check {}, and whether a login page of the network is in the way",
            setting
        ),
        Some(setting) => shown!("check {}", setting),
        None => "a login page of the network may be in the way".into(),
    }
}

fn unknown_issuer_hint(config: &Config) -> Shown {
    let trusted = &config.trusted;
    match (&trusted.file, trusted.directories.first()) {
        (Some(_), Some(_)) => {
            "no certificate from SSL_CERT_FILE and SSL_CERT_DIR, which replace the system's, is its issuer's".into()
        }
        (Some(file), None) => shown!(
            "no certificate in {} (from SSL_CERT_FILE, which replaces the system's) is its issuer's",
            Shown::new(file.to_string_lossy())
        ),
        (None, Some(_)) => {
            "no certificate from SSL_CERT_DIR, which replaces the system's, is its issuer's".into()
        }
        (None, None) => "if you trust it, name its issuer's certificate in SSL_CERT_FILE".into(),
    }
}

/// Signatures that ring can't verify, by the identifiers that certificates have for them (DER, without tag and length).
const SIGNATURES: [(&[u8], &str); 9] = [
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04", "MD5"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", "SHA-1"),
    (b"\x2a\x86\x48\xce\x3d\x04\x01", "SHA-1"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0e", "SHA-224"),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x01", "SHA-224"),
    // rustls does not give the key here.
    (
        b"\x2a\x86\x48\xce\x3d\x04\x03\x04",
        "ECDSA and SHA-512 (usual for P-521 keys)",
    ),
    (b"\x2b\x65\x71", "Ed448"),
    (
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a",
        "a form of RSASSA-PSS",
    ),
    (b"\x2a\x86\x48\xce\x38\x04", "DSA"),
];

/// The same for keys, where the kind of signature is one that ring can verify with other keys.
const KEYS: [(&[u8], &str); 3] = [
    (b"\x2b\x81\x04\x00\x23", "a P-521 key"),
    (b"\x2b\x81\x04\x00\x0a", "a secp256k1 key"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a", "an RSASSA-PSS key"),
];

/// What a certificate is signed with, as the end of a sentence. `identifier` has the one of `algorithms` in it, and
/// perhaps parameters.
fn signed_with(algorithms: &[(&[u8], &'static str)], identifier: &[u8]) -> Shown {
    for (algorithm, name) in algorithms {
        if memmem::find(identifier, algorithm).is_some() {
            return shown!("is signed with {}, which is not supported", *name);
        }
    }
    "is signed with an algorithm that is not supported".into()
}

fn is_ca_as_server(error: &OtherError) -> bool {
    let error = error.0.downcast_ref::<webpki::Error>();
    matches!(error, Some(webpki::Error::CaUsedAsEndEntity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_names_of_a_certificate_are_listed_up_to_three() {
        let names = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            is_for(&names).to_string()
        };
        assert_eq!(names(&["DnsName(\"a.example\")"]), "is for a.example");
        assert_eq!(
            names(&["DnsName(\"*.a.example\")", "IpAddress(0::1)"]),
            "is for *.a.example, ::1"
        );
        let five = ["DnsName(\"a\")"; 5];
        assert_eq!(names(&five), "is for a, a, a and 2 others");
        assert_eq!(names(&five[..4]), "is for a, a, a and 1 other");
        assert_eq!(names(&[]), "is for no host: it has no subjectAltName");
    }

    #[test]
    fn the_date_of_any_time_can_be_shown() {
        let shown = |seconds, now| {
            let time = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            beside_clock(&time(seconds), &time(now)).to_string()
        };
        assert_eq!(
            shown(0, 1_706_745_599),
            "1970-01-01; this machine's clock says 2024-01-31"
        );
        assert_eq!(
            shown(1_706_745_599, 1_706_745_600),
            "2024-01-31; this machine's clock says 2024-02-01"
        );
        assert_eq!(
            shown(1_706_742_000, 1_706_745_599),
            "2024-01-31 23:00 UTC; this machine's clock says 2024-01-31 23:59 UTC"
        );
        assert_eq!(
            shown(u64::MAX, 0),
            "a date beyond the year 9999; this machine's clock says 1970-01-01"
        );
    }
}

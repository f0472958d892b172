//! Which certificates are trusted: the operating system's store, or what SSL_CERT_FILE and SSL_CERT_DIR name.
//!
//! Verification itself is webpki's. This file finds the certificates, and reads a directory of them only for
//! an issuer that the bundle beside it does not hold: the two nearly always have the same content.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use super::Failure;
use crate::text;

const FILE_VARIABLE: &str = "SSL_CERT_FILE";
const DIR_VARIABLE: &str = "SSL_CERT_DIR";

/// The verifier of server certificates.
///
/// # Errors
/// When a file that a variable names is missing or holds no certificate, or when there is no store at all.
pub fn verifier(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Failure> {
    let named = |variable| env::var_os(variable).filter(|value| !value.is_empty());
    let file = named(FILE_VARIABLE).map(PathBuf::from);
    let directories: Vec<PathBuf> =
        named(DIR_VARIABLE).map(|list| env::split_paths(&list).collect()).unwrap_or_default();
    let directories: Vec<PathBuf> =
        directories.into_iter().filter(|path| !path.as_os_str().is_empty()).collect();

    for directory in &directories {
        fs::read_dir(directory).map_err(|error| unreadable(DIR_VARIABLE, directory, &error))?;
    }
    if let Some(file) = file {
        let roots = read_bundle(&file).map_err(|error| unreadable(FILE_VARIABLE, &file, &error))?;
        if roots.is_empty() {
            let file = text::visible(&file.to_string_lossy());
            return Err(Failure::NoTrust(format!(
                "{FILE_VARIABLE} names {file}, which holds no PEM certificate"
            )));
        }
        return Ok(Arc::new(Verifier::new(roots, directories, provider)?));
    }
    if !directories.is_empty() {
        let roots = read_directories(&directories);
        if roots.is_empty() {
            let list =
                directories.iter().map(|path| text::visible(&path.to_string_lossy())).collect::<Vec<_>>();
            let list = list.join(", ");
            return Err(Failure::NoTrust(format!(
                "{DIR_VARIABLE} names {list}, which holds no PEM certificate"
            )));
        }
        return Ok(Arc::new(Verifier::new(roots, Vec::new(), provider)?));
    }
    system(provider)
}

fn unreadable(variable: &str, path: &Path, error: &std::io::Error) -> Failure {
    let path = text::visible(&path.to_string_lossy());
    Failure::NoTrust(format!("{variable} names {path}, which can't be read: {}", text::io_reason(error)))
}

/// The store of Windows or of an Apple system, by the system's own verifier.
#[cfg(any(windows, target_vendor = "apple"))]
fn system(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Failure> {
    let verifier = rustls_platform_verifier::Verifier::new(provider.clone());
    Ok(Arc::new(verifier.map_err(|error| Failure::NoTrust(text::visible(&error.to_string())))?))
}

/// The bundle and the directories where OpenSSL looks for them on this system.
#[cfg(not(any(windows, target_vendor = "apple")))]
fn system(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Failure> {
    let found = openssl_probe::probe();
    let bundle = found.cert_file.and_then(|file| read_bundle(&file).ok()).filter(|roots| !roots.is_empty());
    let (roots, directories) = match bundle {
        Some(roots) => (roots, found.cert_dir),
        None => (read_directories(&found.cert_dir), Vec::new()),
    };
    if roots.is_empty() {
        let what = format!(
            "this system has no certificates to trust; install them, or name a file in {FILE_VARIABLE}"
        );
        return Err(Failure::NoTrust(what));
    }
    Ok(Arc::new(Verifier::new(roots, directories, provider)?))
}

/// Reads the certificates of a PEM file; a damaged one among them is skipped.
fn read_bundle(path: &Path) -> std::io::Result<RootCertStore> {
    let pem = fs::read(path)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    Ok(roots)
}

fn read_directories(paths: &[PathBuf]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for path in paths {
        roots.add_parsable_certificates(rustls_native_certs::load_certs_from_paths(None, Some(path)).certs);
    }
    roots
}

/// webpki's verifier, with the directories to look into when the issuer is unknown.
#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    directories: Vec<PathBuf>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(
        roots: RootCertStore,
        directories: Vec<PathBuf>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Verifier, Failure> {
        let webpki = webpki(roots, provider).map_err(|error| Failure::NoTrust(error.to_string()))?;
        Ok(Verifier { webpki, directories, provider: provider.clone() })
    }
}

fn webpki(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, rustls::client::VerifierBuilderError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let check = |webpki: &WebPkiServerVerifier| {
            webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        // A signature that does not fit is that of another issuer of the same name, as when a company renews
        // its authority; webpki gives this reason in place of the other.
        let unknown = |result: &Result<_, Error>| {
            use CertificateError::{BadSignature, UnknownIssuer};
            matches!(result, Err(Error::InvalidCertificate(BadSignature | UnknownIssuer)))
        };
        let mut result = check(&self.webpki);
        if unknown(&result)
            && !self.directories.is_empty()
            && let Ok(webpki) = webpki(read_directories(&self.directories), &self.provider)
        {
            result = check(&webpki);
        }
        if unknown(&result) {
            let reason = match is_self_signed(end_entity) {
                true => CertificateError::Other(OtherError(Arc::new(SelfSigned))),
                false => CertificateError::UnknownIssuer,
            };
            return Err(Error::InvalidCertificate(reason));
        }
        result
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    webpki::EndEntityCert::try_from(certificate)
        .is_ok_and(|certificate| certificate.issuer() == certificate.subject())
}

/// Says that an unknown issuer is the certificate itself, which webpki does not tell apart.
#[derive(Debug)]
pub struct SelfSigned;

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("self-signed")
    }
}

impl std::error::Error for SelfSigned {}

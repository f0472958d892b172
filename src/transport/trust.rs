//! Which certificates are trusted: the operating system's store, or what SSL_CERT_FILE and SSL_CERT_DIR name.
//!
//! Verification itself is webpki's. This file finds the certificates and picks those that can matter: the ones
//! whose name is that of an issuer in the chain. A directory is read only for an issuer that the bundle beside it
//! does not hold: the two nearly always have the same content.

use std::env;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use memchr::memchr;
use memchr::memmem::Finder;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use super::Failure;
use crate::text;

const FILE_VARIABLE: &str = "SSL_CERT_FILE";
const DIR_VARIABLE: &str = "SSL_CERT_DIR";

/// The verifier of server certificates.
///
/// # Errors
/// When the file that a variable names is missing or holds no certificate, when none of the directories does, or
/// when there is no store at all.
pub fn verifier(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Failure> {
    let named = |variable| env::var_os(variable).filter(|value| !value.is_empty());
    let mut directories: Vec<PathBuf> =
        named(DIR_VARIABLE).map(|list| env::split_paths(&list).collect()).unwrap_or_default();
    directories.retain(|path| !path.as_os_str().is_empty());

    if let Some(file) = named(FILE_VARIABLE).map(PathBuf::from) {
        return match read_bundle(&file) {
            Ok(certificates) if is_of_use(&certificates) => {
                Ok(Arc::new(Verifier { certificates, directories, provider: provider.clone() }))
            }
            result => Err(unusable(FILE_VARIABLE, &[file], result.err())),
        };
    }
    if directories.is_empty() {
        return system(provider);
    }
    let certificates = read_directories(&directories);
    if !is_of_use(&certificates) {
        let error = directories.iter().find_map(|directory| fs::read_dir(directory).err());
        return Err(unusable(DIR_VARIABLE, &directories, error));
    }
    Ok(Arc::new(Verifier { certificates, directories: Vec::new(), provider: provider.clone() }))
}

fn unusable(variable: &str, paths: &[PathBuf], error: Option<io::Error>) -> Failure {
    let paths: Vec<_> = paths.iter().map(|path| text::visible(&path.to_string_lossy())).collect();
    let reason = match error {
        Some(error) => format!("can't be read: {}", text::io_reason(&error)),
        None => "holds no PEM certificate".to_owned(),
    };
    Failure::NoTrust(format!("{variable} names {}, which {reason}", paths.join(", ")))
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
    let bundle = found.cert_file.and_then(|file| read_bundle(&file).ok());
    let (certificates, directories) = match bundle.filter(|certificates| is_of_use(certificates)) {
        Some(certificates) => (certificates, found.cert_dir),
        None => (read_directories(&found.cert_dir), Vec::new()),
    };
    if !is_of_use(&certificates) {
        let what = format!(
            "this system has no certificates to trust; install them, or name a file in {FILE_VARIABLE}"
        );
        return Err(Failure::NoTrust(what));
    }
    Ok(Arc::new(Verifier { certificates, directories, provider: provider.clone() }))
}

/// Whether there is a certificate that can be trusted; stops at the first.
fn is_of_use(certificates: &[CertificateDer<'static>]) -> bool {
    certificates.iter().any(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok())
}

/// Reads a bundle; what a system has is a fiftieth of the most that is read.
fn read_bundle(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    read_certificates(BufReader::with_capacity(16 << 10, File::open(path)?.take(10 << 20)))
}

fn read_directories(paths: &[PathBuf]) -> Vec<CertificateDer<'static>> {
    let read = |path: &PathBuf| rustls_native_certs::load_certs_from_paths(None, Some(path)).certs;
    paths.iter().flat_map(read).collect()
}

/// Takes the certificates from a PEM text, and leaves damaged ones, blocks of other kinds and what stands between.
///
/// rustls's own PEM reader decodes in constant time, for the sake of private keys. Certificates are public,
/// and a system has 150 of them: read that way, they were two thirds of all instructions of a run.
fn read_certificates(mut pem: impl BufRead) -> io::Result<Vec<CertificateDer<'static>>> {
    let decoder = decoder();
    let mut certificates = Vec::new();
    let (mut inside, mut base64, mut line) = (false, Vec::new(), Vec::new());
    // Piece by piece: most of what a large buffer costs is its pages. And `read_until` searches byte by byte.
    loop {
        let piece = pem.fill_buf()?;
        let end = memchr(b'\n', piece);
        line.extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
        let (used, at_end) = (end.map_or(piece.len(), |end| end + 1), piece.is_empty());
        pem.consume(used);
        if end.is_none() && !at_end {
            continue;
        }
        let text = line.trim_ascii();
        if text.starts_with(b"-----") {
            if inside && text == b"-----END CERTIFICATE-----" {
                certificates.extend(decoder.decode(&base64).map(CertificateDer::from));
            }
            inside = text == b"-----BEGIN CERTIFICATE-----";
            base64.clear();
        } else if inside {
            base64.extend_from_slice(text);
        }
        line.clear();
        if at_end {
            return Ok(certificates);
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn decoder() -> impl base64::Engine {
    base64::engine::Simd::standard(base64::engine::general_purpose::PAD)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn decoder() -> impl base64::Engine {
    base64::engine::general_purpose::STANDARD
}

/// webpki's verifier, with the directories to look into when the issuer is unknown.
#[derive(Debug)]
struct Verifier {
    certificates: Vec<CertificateDer<'static>>,
    directories: Vec<PathBuf>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// webpki's verifier for a chain with these issuers.
    ///
    /// It takes an authority for an issuer when the names are the same, byte for byte. So those without one of
    /// the names play no part, and need not be parsed, which is most of what a trust store costs. When that
    /// leaves none, it gets them all, to find the same fault that it would have found.
    fn webpki(
        &self,
        certificates: &[CertificateDer<'static>],
        issuers: &[Vec<u8>],
    ) -> Result<Arc<WebPkiServerVerifier>, Error> {
        let names: Vec<_> = issuers.iter().map(Finder::new).collect();
        let matching =
            |certificate: &&CertificateDer| names.iter().any(|name| name.find(certificate).is_some());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().filter(matching).cloned());
        if roots.is_empty() {
            roots.add_parsable_certificates(certificates.iter().cloned());
        }
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|_| Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }
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
        let chain = [end_entity].into_iter().chain(intermediates);
        let issuers: Vec<_> = chain.filter_map(|certificate| Some(names(certificate)?.0)).collect();
        let check = |certificates: &[CertificateDer<'static>]| {
            self.webpki(certificates, &issuers)?.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            )
        };
        // A signature that does not fit is that of another issuer of the same name, as when a company renews
        // its authority; webpki gives this reason in place of the other.
        let unknown = |result: &Result<_, Error>| {
            use CertificateError::{BadSignature, UnknownIssuer};
            matches!(result, Err(Error::InvalidCertificate(BadSignature | UnknownIssuer)))
        };
        let mut result = check(&self.certificates);
        if unknown(&result) && !self.directories.is_empty() {
            result = check(&read_directories(&self.directories));
        }
        if unknown(&result) {
            let self_signed = names(end_entity).is_some_and(|(issuer, subject)| issuer == subject);
            return Err(Error::InvalidCertificate(match self_signed {
                true => CertificateError::Other(OtherError(Arc::new(SelfSigned))),
                false => CertificateError::UnknownIssuer,
            }));
        }
        result
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The names of a certificate's issuer and of its subject, in DER.
fn names(certificate: &CertificateDer<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    Some((certificate.issuer().to_owned(), certificate.subject().to_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> String {
        rcgen::generate_simple_self_signed(vec!["search.example".to_owned()]).unwrap().cert.pem()
    }

    /// How many certificates of a bundle can be trusted.
    fn usable(pem: &[u8]) -> usize {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(read_certificates(pem).unwrap()).0
    }

    #[test]
    fn a_bundle_is_read_whatever_stands_between_its_certificates() {
        let (first, second) = (certificate(), certificate());
        let texts = [
            format!("{first}{second}"),
            format!("{first}{second}").replace('\n', "\r\n"),
            format!("{first}{second}").replace("-----\n", "-----  \n"),
            format!("{first}{second}").trim_end().to_owned(),
            format!("# One authority\n{first}\nand - another -\n----\n{second}\n\nthe end"),
            format!("{first}-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n{second}"),
        ];
        for text in texts {
            assert_eq!(usable(text.as_bytes()), 2, "{text}");
        }
    }

    #[test]
    fn a_damaged_certificate_is_skipped_and_the_next_is_read() {
        let good = certificate();
        let (begin, end) = ("-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n");
        let half = &good[..good.len() / 2];
        for damaged in [
            format!("{begin}{end}"),
            format!("{begin}no base64!\n{end}"),
            format!("{begin}bm8gY2VydGlmaWNhdGU=\n{end}"),
            format!("{half}\n"),
            format!("{half}\n{end}"),
            begin.to_owned(),
            end.to_owned(),
        ] {
            assert_eq!(usable(format!("{damaged}{good}").as_bytes()), 1, "{damaged}");
            assert_eq!(usable(format!("{good}{damaged}").as_bytes()), 1, "{damaged}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_not_trusted() {
        let good = certificate();
        let unfinished = good.split_once("-----END").unwrap().0;
        for text in [
            "",
            "\n",
            "no PEM",
            unfinished,
            &good.replace("CERTIFICATE", "PRIVATE KEY"),
            &good.replace("-----BEGIN", "# -----BEGIN"),
            &good.replace('\n', ""),
        ] {
            assert_eq!(usable(text.as_bytes()), 0, "{text}");
        }
    }
}

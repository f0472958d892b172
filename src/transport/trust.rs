//! Which certificates are trusted: the operating system's store, or what SSL_CERT_FILE and SSL_CERT_DIR name.
//!
//! This file finds and loads them; rustls's standard verifier does the rest (on Windows and Apple systems the system's
//! own, through rustls-platform-verifier).

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use base64::Engine;
use memchr::memchr_iter;
use rustls::client::WantsClientCert;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use crate::deadline::Run;
use crate::error::{Error, Result, error};
use crate::text::{Shown, shown};

/// The most that is read of a file; a system's bundle has a fiftieth of it.
const MAX_FILE: u64 = 10 << 20;

type Unverified = ConfigBuilder<ClientConfig, WantsVerifier>;
type Verified = ConfigBuilder<ClientConfig, WantsClientCert>;

/// Sets the certificates to trust.
///
/// # Errors
/// When a variable names a file or directories without a usable certificate, or when the system has none.
pub fn verify_with(builder: Unverified, run: &Run) -> Result<Verified> {
    let mut roots = RootCertStore::empty();
    let mut problem = None;
    for (variable, path) in &run.config.certificates {
        let name = shown!("{} (from {})", Shown::new(path.to_string_lossy()), *variable);
        run.step(&shown!("could not read the certificates in {}", name));
        let is_file = *variable == "SSL_CERT_FILE";
        let found = if is_file { read_file(path) } else { read_directory(path) };
        let error = match found.map(|found| roots.add_parsable_certificates(found).0) {
            Ok(1..) => continue,
            Ok(0) => error!(Usage, "could not use {}: there is no PEM certificate in it", name),
            Err(error) => error!(Usage, "could not read {}: {}", name, Shown::reason(&error)),
        };
        if is_file {
            return Err(error);
        }
        problem = Some(error);
    }
    // A directory may be missing or empty where there are other certificates.
    match problem.filter(|_| roots.is_empty()) {
        Some(problem) => Err(problem),
        None if run.config.certificates.is_empty() => {
            run.step(&"could not read the system's certificates".into());
            system(builder)
        }
        None => Ok(builder.with_root_certificates(roots)),
    }
}

/// The store of Windows or of an Apple system, through the system's own verifier.
#[cfg(any(windows, target_vendor = "apple"))]
fn system(builder: Unverified) -> Result<Verified> {
    use rustls_platform_verifier::BuilderVerifierExt;
    builder.with_platform_verifier().map_err(|_| no_certificates())
}

/// The bundle where OpenSSL looks for it on this system, else its directories.
#[cfg(not(any(windows, target_vendor = "apple")))]
fn system(builder: Unverified) -> Result<Verified> {
    let found = openssl_probe::probe();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.cert_file.iter().flat_map(|path| read_file(path)).flatten());
    let directories = found.cert_dir.iter().flat_map(|path| read_directory(path));
    if roots.is_empty() {
        roots.add_parsable_certificates(directories.flatten());
    }
    if roots.is_empty() { Err(no_certificates()) } else { Ok(builder.with_root_certificates(roots)) }
}

fn no_certificates() -> Error {
    let hint = "install them (package ca-certificates), or name a file in SSL_CERT_FILE";
    error!(Tls, "this system has no certificates to trust").hint(Some(hint.into()))
}

/// The certificates in the files of a directory. Files with other content add none.
fn read_directory(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let files = fs::read_dir(path)?.flatten().map(|entry| entry.path());
    // Opening a named pipe would wait for a writer.
    Ok(files.filter(|path| path.is_file()).flat_map(|path| read_file(&path)).flatten().collect())
}

fn read_file(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let file = File::open(path)?;
    let mut pem = Vec::with_capacity(file.metadata()?.len().min(MAX_FILE) as usize);
    file.take(MAX_FILE).read_to_end(&mut pem)?;
    Ok(certificates(&pem))
}

/// The certificates in a PEM text. Other blocks, damaged ones and the text between are skipped.
///
/// rustls's own reader takes 12 million instructions for a system's bundle, and this one less than 2.
pub fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    let decoder = base64::engine::Simd::standard(base64::engine::general_purpose::PAD);
    let pem = pem.strip_prefix(b"\xef\xbb\xbf").unwrap_or(pem);
    let (mut found, mut start) = (Vec::new(), 0);
    // The label of the block that has begun, and its content.
    let (mut label, mut base64): (&[u8], _) = (b"", Vec::new());
    for end in memchr_iter(b'\n', pem).chain([pem.len()]) {
        let line = pem[start..end].trim_ascii();
        start = end + 1;
        if let Some(begun) = line.strip_prefix(b"-----BEGIN ") {
            label = begun;
            base64.clear();
        } else if let Some(ended) = line.strip_prefix(b"-----END ") {
            if ended == label && matches!(label, b"CERTIFICATE-----" | b"X509 CERTIFICATE-----") {
                found.extend(decoder.decode(&base64).map(CertificateDer::from));
            }
            label = b"";
        } else if !label.is_empty() {
            base64.extend_from_slice(line);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> String {
        rcgen::generate_simple_self_signed(vec!["search.example".to_owned()]).unwrap().cert.pem()
    }

    /// How many certificates of a bundle can be trusted.
    fn usable(pem: &[u8]) -> usize {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(pem)).0
    }

    #[test]
    fn a_bundle_is_read_with_any_text_between_its_certificates() {
        let (first, second) = (certificate(), certificate());
        let texts = [
            format!("{first}{second}"),
            format!("{first}{second}").replace('\n', "\r\n"),
            format!("{first}{second}").replace("-----\n", "-----  \n"),
            format!("{first}{second}").trim_end().to_owned(),
            format!("# One authority\n{first}\nand - another -\n----\n{second}\n\nthe end"),
            format!("\u{feff}{first}{second}"),
            format!("{first}{second}").replace(" CERTIFICATE", " X509 CERTIFICATE"),
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
    fn other_text_is_not_a_certificate() {
        let good = certificate();
        let unfinished = good.split_once("-----END").unwrap().0;
        for text in [
            "",
            "\n",
            "no PEM",
            unfinished,
            &good.replace("CERTIFICATE", "PRIVATE KEY"),
            &good.replace("BEGIN CERTIFICATE", "BEGIN X509 CERTIFICATE"),
            &good.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
            &good.replace("-----BEGIN", "# -----BEGIN"),
            &good.replace('\n', ""),
        ] {
            assert_eq!(usable(text.as_bytes()), 0, "{text}");
        }
    }
}

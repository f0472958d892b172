//! Which certificates are trusted: the operating system's store, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
//!
//! This file finds and loads them; rustls's standard verifier does the rest (on Windows and Apple systems the system's
//! own, through rustls-platform-verifier).
//!
//! A store is a file, directories, or both, which often hold the same certificates. So the directories are read only
//! when the file has none, or when it does not know the issuer of a certificate; see [`Trust::with_directories`].

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::PAD;
use rustls::RootCertStore;

use crate::deadline::Check;
use crate::error::{Error, Kind, Result};
use crate::text::{Shown, shown};

/// The largest file that is read; a system's bundle has a fiftieth of it.
const MAX_FILE: u64 = 10 << 20;

/// How much of a file is read at once. In a bundle, that is some twenty certificates.
const READ_BUFFER: usize = 32 << 10;

/// The certificates to trust.
#[derive(Clone)]
pub enum Trust {
    /// Those that were read.
    Roots {
        /// The certificates.
        roots: Arc<RootCertStore>,
        /// The directories of the store that were not read yet.
        unread: Vec<PathBuf>,
    },
    /// Those of Windows or of an Apple system, through the system's own verifier.
    #[cfg(any(windows, target_vendor = "apple"))]
    System,
}

impl Trust {
    /// Loads the certificates that the variables name, else those of the system.
    ///
    /// # Errors
    /// When a variable names a file or directories without a usable certificate, and when the system has none.
    pub fn load(check: &Check) -> Result<Trust> {
        let trusted = &check.config.trusted;
        if trusted.file.is_none() && trusted.directories.is_empty() {
            check.step("could not read the system's certificates".into());
            return load_system(check);
        }
        let mut roots = RootCertStore::empty();
        if let Some(file) = &trusted.file {
            let name = name_of(file, Some("SSL_CERT_FILE"));
            check.step(shown!("could not read the certificates in {}", name));
            match add_file(file, &mut roots) {
                Ok(added) => note_added(check, added, &name),
                Err(unusable) => {
                    let hint = file_hint(&unusable);
                    let error = unusable.into_error(Kind::Usage, Some("SSL_CERT_FILE"));
                    return Err(error.with_hint_if(hint));
                }
            }
            return Ok(Trust::Roots {
                roots: Arc::new(roots),
                unread: trusted.directories.clone(),
            });
        }
        let mut first_error = None;
        let mut seen = HashSet::new();
        for directory in &trusted.directories {
            let name = name_of(directory, Some("SSL_CERT_DIR"));
            check.step(shown!("could not read the certificates in {}", name));
            match add_directory(directory, &mut roots, &mut seen) {
                Ok(added) => note_added(check, added, &name),
                Err(unusable) => {
                    let hint = directory_hint(&unusable);
                    let error = unusable.into_error(Kind::Usage, Some("SSL_CERT_DIR"));
                    first_error.get_or_insert(error.with_hint_if(hint));
                }
            }
        }
        // A directory may be missing or empty where there are other certificates.
        match first_error {
            Some(error) if roots.is_empty() => Err(error),
            _ => Ok(Trust::Roots {
                roots: Arc::new(roots),
                unread: Vec::new(),
            }),
        }
    }

    /// The same certificates and those of the directories that were not read yet; `None` if that adds none.
    pub fn with_directories(&self, check: &Check) -> Option<Trust> {
        let (roots, unread) = match self {
            Trust::Roots { roots, unread } => (roots, unread),
            #[cfg(any(windows, target_vendor = "apple"))]
            Trust::System => return None,
        };
        // Where variables name the store, directories are left unread only beside a file.
        let file = &check.config.trusted.file;
        let variable = file.as_ref().map(|_| "SSL_CERT_DIR");
        let mut roots = RootCertStore::clone(roots);
        let before = roots.len();
        let mut seen = HashSet::new();
        for directory in unread {
            let name = name_of(directory, variable);
            check.step(shown!("could not read the certificates in {}", name));
            // Without a usable directory, the issuer stays unknown.
            if let Ok(added) = add_directory(directory, &mut roots, &mut seen) {
                note_added(check, added, &name);
            }
        }
        if roots.len() == before {
            return None;
        }
        Some(Trust::Roots {
            roots: Arc::new(roots),
            unread: Vec::new(),
        })
    }
}

/// The store of Windows or of an Apple system.
#[cfg(any(windows, target_vendor = "apple"))]
fn load_system(check: &Check) -> Result<Trust> {
    check.note("certificates: the system's, through its own verifier".into());
    Ok(Trust::System)
}

/// The bundle where OpenSSL looks for it on this system, else its directories.
#[cfg(not(any(windows, target_vendor = "apple")))]
fn load_system(check: &Check) -> Result<Trust> {
    let found = openssl_probe::probe();
    let mut roots = RootCertStore::empty();
    let mut first_unusable = None;
    if let Some(bundle) = &found.cert_file {
        match add_file(bundle, &mut roots) {
            Ok(added) => {
                note_added(check, added, &name_of(bundle, None));
                return Ok(Trust::Roots {
                    roots: Arc::new(roots),
                    unread: found.cert_dir,
                });
            }
            Err(unusable) => {
                first_unusable.get_or_insert(unusable);
            }
        }
    }
    let mut seen = HashSet::new();
    for directory in &found.cert_dir {
        match add_directory(directory, &mut roots, &mut seen) {
            Ok(added) => note_added(check, added, &name_of(directory, None)),
            Err(unusable) => {
                first_unusable.get_or_insert(unusable);
            }
        }
    }
    if !roots.is_empty() {
        return Ok(Trust::Roots {
            roots: Arc::new(roots),
            unread: Vec::new(),
        });
    }
    match first_unusable {
        Some(unusable) if !matches!(unusable.problem, Problem::NoCertificate) => {
            Err(unusable.into_error(Kind::Tls, None))
        }
        _ => Err(no_certificates()),
    }
}

/// How messages name a file or a directory of certificates.
fn name_of(path: &Path, variable: Option<&'static str>) -> Shown {
    let path = Shown::new(path.to_string_lossy());
    match variable {
        Some(variable) => shown!("{} (from {})", path, variable),
        None => path,
    }
}

fn note_added(check: &Check, added: usize, name: &Shown) {
    check.note(shown!("certificates: {} in {}", added, name));
}

/// A file or a directory that gives no certificates.
struct Unusable {
    path: PathBuf,
    problem: Problem,
}

enum Problem {
    Unreadable(io::Error),
    /// It has no certificate in PEM.
    NoCertificate,
    TooLarge,
}

impl Unusable {
    fn new(path: &Path, problem: Problem) -> Unusable {
        let path = path.to_owned();
        Unusable { path, problem }
    }

    fn unreadable(path: &Path, error: io::Error) -> Unusable {
        Unusable::new(path, Problem::Unreadable(error))
    }

    fn into_error(self, kind: Kind, variable: Option<&'static str>) -> Error {
        let name = name_of(&self.path, variable);
        let message = match self.problem {
            Problem::Unreadable(error) => {
                shown!("could not read {}: {}", name, Shown::reason(&error))
            }
            Problem::NoCertificate => {
                shown!("could not use {}: there is no PEM certificate in it", name)
            }
            Problem::TooLarge => {
                shown!(
                    "could not use {}: it is larger than {} MiB",
                    name,
                    MAX_FILE >> 20
                )
            }
        };
        Error::new(kind, message)
    }
}

/// What may help where `SSL_CERT_FILE` can't be used.
fn file_hint(unusable: &Unusable) -> Option<Shown> {
    if unusable.path.is_dir() {
        return Some("SSL_CERT_FILE takes a file; for a directory there is SSL_CERT_DIR".into());
    }
    if matches!(unusable.problem, Problem::NoCertificate) && is_der(&unusable.path) {
        return Some(
            "it is in DER; `openssl x509 -inform DER -in FILE -out FILE.pem` makes PEM of it"
                .into(),
        );
    }
    None
}

/// What may help where a directory in `SSL_CERT_DIR` can't be used.
fn directory_hint(unusable: &Unusable) -> Option<Shown> {
    match &unusable.problem {
        Problem::Unreadable(error) if error.kind() == ErrorKind::NotADirectory => {
            Some("SSL_CERT_DIR takes directories; for a file there is SSL_CERT_FILE".into())
        }
        _ => None,
    }
}

/// Whether a file starts as a certificate in DER does: a sequence whose length has two bytes.
fn is_der(path: &Path) -> bool {
    let mut start = [0; 2];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == [0x30, 0x82]
}

#[cfg(not(any(windows, target_vendor = "apple")))]
fn no_certificates() -> Error {
    let message = "this system has no certificates to trust";
    let hint = "install them (package ca-certificates), or name a file in SSL_CERT_FILE";
    Error::new(Kind::Tls, message.into()).with_hint(hint)
}

/// Adds the certificates in the files of a directory, and returns their number, which is at least 1. Files with other
/// content or that can't be read add none. `seen` has the files that were read before, under any name: a directory made
/// by `openssl rehash` has a link to each of its files.
fn add_directory(
    directory: &Path,
    roots: &mut RootCertStore,
    seen: &mut HashSet<PathBuf>,
) -> Result<usize, Unusable> {
    let entries =
        fs::read_dir(directory).map_err(|error| Unusable::unreadable(directory, error))?;
    let before = roots.len();
    let mut first_unusable = None;
    for entry in entries.flatten() {
        let path = entry.path();
        // Opening a named pipe would wait for a writer.
        if !path.is_file() {
            continue;
        }
        let target = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        if !seen.insert(target) {
            continue;
        }
        if let Err(unusable) = add_file(&path, roots)
            && !matches!(unusable.problem, Problem::NoCertificate)
        {
            first_unusable.get_or_insert(unusable);
        }
    }
    if roots.len() > before {
        return Ok(roots.len() - before);
    }
    Err(first_unusable.unwrap_or_else(|| Unusable::new(directory, Problem::NoCertificate)))
}

/// Adds the certificates in a file, and returns their number, which is at least 1.
fn add_file(path: &Path, roots: &mut RootCertStore) -> Result<usize, Unusable> {
    let unreadable = |error| Unusable::unreadable(path, error);
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() > MAX_FILE {
        return Err(Unusable::new(path, Problem::TooLarge));
    }
    // What is not a regular file has no length.
    let mut reader = BufReader::with_capacity(READ_BUFFER, file.take(MAX_FILE + 1));
    let added = add_pem(&mut reader, roots).map_err(unreadable)?;
    if reader.get_ref().limit() == 0 {
        return Err(Unusable::new(path, Problem::TooLarge));
    }
    if added == 0 {
        return Err(Unusable::new(path, Problem::NoCertificate));
    }
    Ok(added)
}

/// Adds the certificates in a PEM text, and returns their number. Other blocks, damaged ones and the text between are
/// skipped.
///
/// It reads line by line, so that a bundle is never in memory as a whole. CONTRIBUTING says what the reader of
/// rustls-pki-types costs.
///
/// # Errors
/// Those of the reader.
pub fn add_pem(mut pem: impl BufRead, roots: &mut RootCertStore) -> io::Result<usize> {
    const LABELS: [&[u8]; 2] = [b"CERTIFICATE-----", b"X509 CERTIFICATE-----"];
    let decoder = base64::engine::Simd::standard(PAD);
    let before = roots.len();
    // What stands behind `-----BEGIN ` of the block that has begun, and has to stand behind `-----END ` too.
    let mut label: Option<&[u8]> = None;
    let mut encoded = Vec::new();
    let mut line = Vec::new();
    while pem.read_until(b'\n', &mut line)? > 0 {
        let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
        let text = text.trim_ascii();
        if let Some(begun) = text.strip_prefix(b"-----BEGIN ") {
            label = LABELS.into_iter().find(|label| *label == begun);
            encoded.clear();
        } else if let Some(ended) = text.strip_prefix(b"-----END ") {
            if label == Some(ended)
                && let Ok(der) = decoder.decode(&encoded)
            {
                // What is not a certificate is skipped.
                let _ = roots.add(der.into());
            }
            label = None;
        } else if label.is_some() {
            encoded.extend_from_slice(text);
        }
        line.clear();
    }
    Ok(roots.len() - before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> String {
        rcgen::generate_simple_self_signed(vec!["search.example".to_owned()])
            .unwrap()
            .cert
            .pem()
    }

    /// How many certificates of a bundle can be trusted.
    fn usable(pem: &[u8]) -> usize {
        add_pem(pem, &mut RootCertStore::empty()).unwrap()
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
            format!(
                "{first}-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n{second}"
            ),
        ];
        let mut roots = RootCertStore::empty();
        for text in texts {
            assert_eq!(add_pem(text.as_bytes(), &mut roots).unwrap(), 2, "{text}");
        }
    }

    #[test]
    fn a_damaged_certificate_is_skipped_and_the_next_is_read() {
        let good = certificate();
        let (begin, end) = (
            "-----BEGIN CERTIFICATE-----\n",
            "-----END CERTIFICATE-----\n",
        );
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
            assert_eq!(
                usable(format!("{damaged}{good}").as_bytes()),
                1,
                "{damaged}"
            );
            assert_eq!(
                usable(format!("{good}{damaged}").as_bytes()),
                1,
                "{damaged}"
            );
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

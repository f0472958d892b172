//! Bundles: every certificate is in the text as base64, rustls's own reader reads it too, and rustls does not panic on
//! it.

#![no_main]

use base64::prelude::{BASE64_STANDARD, Engine};
use clado_credits_fuzz::transport::trust::certificates;
use libfuzzer_sys::fuzz_target;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

fuzz_target!(|pem: &[u8]| {
    let found = certificates(pem);
    let text: Vec<u8> = pem.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let text = String::from_utf8_lossy(&text);
    assert!(found.len() <= text.matches("-----BEGIN").count());
    for certificate in &found {
        let base64 = BASE64_STANDARD.encode(certificate);
        assert!(text.contains(&base64));
        let block = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        assert_eq!(certificates(block.as_bytes()), [certificate.clone()]);
        assert_eq!(&CertificateDer::from_pem_slice(block.as_bytes()).expect("a certificate"), certificate);
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found);
});

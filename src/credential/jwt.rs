//! A signed assertion (JWT, RS256), as Google's service accounts present it.

use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use crate::base::json;

/// Signs claims with a private key in PEM (PKCS #8).
///
/// # Errors
/// What is wrong with the key, without showing it.
pub(super) fn sign(pem: &str, key_id: Option<&str>, claims: &[u8]) -> Result<String, String> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| format!("the private key is no PEM: {error}"))?;
    let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|error| format!("the private key is refused: {error}"))?;
    let mut head = Vec::with_capacity(96);
    json::object(&mut head, |o| {
        o.string("alg", "RS256");
        o.string("typ", "JWT");
        if let Some(id) = key_id {
            o.string("kid", id);
        }
    });
    let mut text = String::with_capacity(1024);
    base64url(&head, &mut text);
    text.push('.');
    base64url(claims, &mut text);
    let mut signature = vec![0; key.public().modulus_len()];
    let signed = key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature);
    signed.map_err(|_| "the private key cannot sign".to_owned())?;
    text.push('.');
    base64url(&signature, &mut text);
    Ok(text)
}

/// Base64 with the URL's alphabet and without padding (RFC 7515).
fn base64url(bytes: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digits = [18, 12, 6, 0].map(|shift| char::from(ALPHABET[(group >> shift & 63) as usize]));
        out.extend(digits.iter().take(chunk.len() + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_that_of_rfc_4648() {
        let encoded = |bytes: &[u8]| {
            let mut out = String::new();
            base64url(bytes, &mut out);
            out
        };
        let cases: [(&[u8], &str); 6] =
            [(b"", ""), (b"f", "Zg"), (b"fo", "Zm8"), (b"foo", "Zm9v"), (b"foobar", "Zm9vYmFy"), (b"\xfb\xff\xfe", "-__-")];
        for (bytes, expected) in cases {
            assert_eq!(encoded(bytes), expected);
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused_without_being_shown() {
        for pem in ["", "secret", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"] {
            let why = sign(pem, None, b"{}").unwrap_err();
            assert!(!why.contains("secret") && !why.contains("c2Vj"), "{why}");
        }
    }
}

//! JSON Web Tokens, as far as a DC/OS login needs them: one that is signed with RS256 to log in,
//! and the expiry time of the one that comes back.

use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

/// `{"typ":"JWT","alg":"RS256"}`.
const HEADER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9";

/// An RSA private key that signs tokens.
pub(super) struct SigningKey(RsaKeyPair);

/// Why a text can't be used as an RSA private key. Says nothing of the text, which is secret.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// Not PEM, or PEM of something that is not a private key.
    #[error("it holds no private key as PEM")]
    NoPrivateKey,
    /// A private key of an elliptic curve in its own format (SEC1).
    #[error("it is not an RSA key")]
    NotRsa,
    /// Not RSA, damaged, or shorter than 2048 bits or longer than 8192.
    #[error("it is not an RSA key of 2048 to 8192 bits")]
    Rejected(#[source] KeyRejected),
}

impl SigningKey {
    /// Reads a private key in PKCS#1 (`RSA PRIVATE KEY`) or PKCS#8 (`PRIVATE KEY`).
    pub(super) fn from_pem(pem: &str) -> Result<Self, KeyError> {
        // The parser's own error may quote a line of the key.
        let key =
            PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::NoPrivateKey)?;
        let pair = match &key {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err(KeyError::NotRsa),
        };
        pair.map(Self).map_err(KeyError::Rejected)
    }

    /// Makes a signed token of these claims.
    pub(super) fn sign_token(&self, claims: &Value) -> Result<String, Unspecified> {
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        let mut token = format!("{HEADER}.{claims}");
        let mut signature = vec![0; self.0.public_modulus_len()];
        let random = SystemRandom::new();
        self.0.sign(&RSA_PKCS1_SHA256, &random, token.as_bytes(), &mut signature)?;
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

/// Reads when a token expires, in seconds since 1970. The signature is not verified.
pub(super) fn read_expiry(token: &str) -> Option<u64> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Value>(&claims).ok()?.get("exp")?.as_u64()
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use base64::prelude::BASE64_STANDARD;
    use serde_json::json;

    use super::*;

    fn pem(label: &str, der: &[u8]) -> String {
        let text = BASE64_STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    }

    fn decode(part: &str) -> Vec<u8> {
        BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()
    }

    #[test]
    fn a_token_has_its_claims_and_a_signature_that_the_public_key_verifies() {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        // In PKCS#8 with RSA 2048 the PKCS#1 key follows 26 bytes of algorithm and lengths.
        let (pkcs1, pkcs8) = (&pkcs8.as_ref()[26..], pkcs8.as_ref());
        for pem in [pem("PRIVATE KEY", pkcs8), pem("RSA PRIVATE KEY", pkcs1)] {
            let key = SigningKey::from_pem(&pem).unwrap();
            let token = key.sign_token(&json!({"uid": "vipd", "exp": 1_700_000_060})).unwrap();
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let public =
                UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
            public.verify(signed.as_bytes(), &decode(signature)).unwrap();

            let (header, claims) = signed.split_once('.').unwrap();
            assert_eq!(decode(header), br#"{"typ":"JWT","alg":"RS256"}"#);
            let claims: Value = serde_json::from_slice(&decode(claims)).unwrap();
            assert_eq!(claims, json!({"uid": "vipd", "exp": 1_700_000_060}));
            assert_eq!(read_expiry(&token), Some(1_700_000_060));
        }
    }

    #[test]
    fn a_key_of_another_kind_is_refused_without_being_shown() {
        let secret = "c2VjcmV0IGtleSBvZiBub2JvZHk";
        let cases = [
            (String::new(), "no private key"),
            (secret.to_owned(), "no private key"),
            (format!("-----BEGIN RSA PRIVATE KEY-----\n{secret}"), "no private key"),
            (format!("-----BEGIN {secret}"), "no private key"),
            (pem("PUBLIC KEY", secret.as_bytes()), "no private key"),
            (pem("EC PRIVATE KEY", secret.as_bytes()), "not an RSA key"),
            (pem("PRIVATE KEY", secret.as_bytes()), "not an RSA key of 2048"),
            (pem("RSA PRIVATE KEY", secret.as_bytes()), "not an RSA key of 2048"),
        ];
        for (text, expected) in cases {
            let Err(error) = SigningKey::from_pem(&text) else { panic!("{text}") };
            assert!(error.to_string().contains(expected), "{error}");
            let shown = format!("{error:?} {:?}", error.source());
            assert!(!shown.contains(secret) && !shown.contains(&BASE64_STANDARD.encode(secret)));
        }
    }

    #[test]
    fn a_token_without_a_readable_expiry_has_none() {
        let token = |claims: &str| format!("x.{}.x", BASE64_URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(read_expiry(&token(r#"{"exp":7}"#)), Some(7));
        for claims in ["", "7", "{}", r#"{"exp":null}"#, r#"{"exp":"7"}"#, r#"{"exp":-7}"#] {
            assert_eq!(read_expiry(&token(claims)), None, "{claims}");
        }
        for text in ["", "x", "..", "a.b.c", "5f3759df-0000-4000-8000-000000000000"] {
            assert_eq!(read_expiry(text), None, "{text}");
        }
    }
}

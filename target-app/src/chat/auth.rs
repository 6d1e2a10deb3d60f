//! Bearer tokens that carry their own proof, so that any instance accepts what another one has issued, and the
//! hashing of passwords.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use super::Chat;
use crate::http::error::ApiError;
use crate::http::ledger::now_ms;

/// Users of load tests: known without a look-up, so that the start of a test does not load the database.
const LOAD_TEST_PREFIX: &str = "load-test-user-";

pub fn is_load_test_user(name: &str) -> bool {
    name.starts_with(LOAD_TEST_PREFIX)
}

#[derive(Deserialize, Serialize)]
struct Claims {
    name: String,
    expires_ms: u64,
}

#[derive(Clone)]
pub struct Tokens {
    key: Hmac<Sha256>,
    ttl_ms: u64,
}

impl Tokens {
    pub fn new(secret: &str, ttl: std::time::Duration) -> anyhow::Result<Self> {
        anyhow::ensure!(secret.len() >= 16, "the token secret is shorter than 16 bytes");
        Ok(Self { key: Hmac::new_from_slice(secret.as_bytes())?, ttl_ms: ttl.as_millis() as u64 })
    }

    /// `<claims>.<signature>`, both base64url.
    pub fn issue(&self, name: &str) -> Result<String, serde_json::Error> {
        let claims = Claims { name: name.to_owned(), expires_ms: now_ms().saturating_add(self.ttl_ms) };
        let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims)?);
        let signature = self.key.clone().chain_update(&claims).finalize().into_bytes();
        Ok(format!("{claims}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The name of the user to whom the token was issued, if it is genuine and has not expired.
    pub fn verify(&self, token: &str) -> Option<String> {
        let (claims, signature) = token.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.key.clone().chain_update(claims).verify_slice(&signature).ok()?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        (claims.expires_ms > now_ms()).then_some(claims.name)
    }
}

/// The user who sends a request, from its `Authorization: Bearer` header.
pub struct Caller(pub String);

impl FromRequestParts<Chat> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, chat: &Chat) -> Result<Self, ApiError> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(|| ApiError::unauthorized("send a token: Authorization: Bearer <token>"))?;
        chat.tokens
            .verify(token)
            .map(Self)
            .ok_or_else(|| ApiError::unauthorized("the token is not valid, or has expired"))
    }
}

/// `<salt>$<HMAC of the password>`. A single round, on purpose: the accounts are test data, and a slow hash would
/// make logins the bottleneck of every load test.
pub fn hash_password(password: &str) -> anyhow::Result<String> {
    let salt = Uuid::new_v4().simple().to_string();
    let digest = salted(password, &salt)?.finalize().into_bytes();
    Ok(format!("{salt}${}", URL_SAFE_NO_PAD.encode(digest)))
}

pub fn password_matches(password: &str, hash: &str) -> bool {
    let Some((salt, digest)) = hash.split_once('$') else { return false };
    let (Ok(digest), Ok(mac)) = (URL_SAFE_NO_PAD.decode(digest), salted(password, salt)) else {
        return false;
    };
    mac.verify_slice(&digest).is_ok()
}

fn salted(password: &str, salt: &str) -> anyhow::Result<Hmac<Sha256>> {
    Ok(Hmac::<Sha256>::new_from_slice(salt.as_bytes())?.chain_update(password))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECRET: &str = "0123456789abcdef";

    #[test]
    fn another_instance_with_the_same_secret_accepts_a_token() {
        let token = Tokens::new(SECRET, Duration::from_secs(60)).unwrap().issue("ann").unwrap();
        assert_eq!(
            Tokens::new(SECRET, Duration::from_secs(60)).unwrap().verify(&token).as_deref(),
            Some("ann")
        );
    }

    #[test]
    fn refuses_expired_forged_and_broken_tokens() {
        let tokens = Tokens::new(SECRET, Duration::from_secs(60)).unwrap();
        let expired = Tokens::new(SECRET, Duration::ZERO).unwrap().issue("ann").unwrap();
        assert_eq!(tokens.verify(&expired), None);

        let forged =
            Tokens::new("another secret, as long", Duration::from_secs(60)).unwrap().issue("ann").unwrap();
        assert_eq!(tokens.verify(&forged), None);

        let genuine = tokens.issue("ann").unwrap();
        let (_, signature) = genuine.split_once('.').unwrap();
        let claims = URL_SAFE_NO_PAD.encode(r#"{"name":"eve","expires_ms":99999999999999}"#);
        assert_eq!(tokens.verify(&format!("{claims}.{signature}")), None);

        for broken in ["", ".", "a.b", "no dot"] {
            assert_eq!(tokens.verify(broken), None);
        }
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(Tokens::new("short", Duration::from_secs(60)).is_err());
    }

    #[test]
    fn a_password_matches_its_own_hash_alone() {
        let hash = hash_password("secret").unwrap();
        assert!(password_matches("secret", &hash));
        assert!(!password_matches("Secret", &hash));
        assert!(!password_matches("secret", "no hash"));
        assert_ne!(hash, hash_password("secret").unwrap(), "the salt is not random");
    }
}

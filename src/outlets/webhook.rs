//! Posts notices to an address, signed with a secret of the site if it names one.

use std::fmt::Write as _;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::CONTENT_TYPE;
use reqwest::{StatusCode, Url};
use sha2::Sha256;

use super::client;
use super::notice::Notice;
use super::post::Refusal;
use crate::engine::secrets::SecretSources;

/// Who signs: the time, then what the secret makes of the time and the body.
const SIGNATURE: &str = "X-Bascule-Signature";

/// An address that hears notices.
#[derive(Debug, Clone)]
pub(super) struct Webhook {
    pub(super) url: Url,
    /// The name of the secret.
    pub(super) secret: Option<String>,
    pub(super) sources: Arc<SecretSources>,
}

impl Webhook {
    /// Tries once; `unix` is the time by the wall clock, in seconds.
    pub(super) async fn tell(&self, notice: &Notice, body: Vec<u8>, unix: i64) -> Result<(), Refusal> {
        let mut request = client()
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .header("Idempotency-Key", format!("{}/{}", notice.id, notice.repeat))
            .header("X-Bascule-Notice", &notice.id);
        if let Some(name) = &self.secret {
            // Asked for each time and never kept: a secret that was changed counts at once.
            let secret = self.sources.get(name).await.map_err(|error| Refusal::once(error.to_string()))?;
            request = request.header(SIGNATURE, signature(&secret, unix, &body));
        }
        let answer = request.body(body).send().await.map_err(|error| {
            // An address may hold a password.
            Refusal::once(error.without_url().to_string())
        })?;
        let status = answer.status();
        let why = || format!("the answer is {status}");
        match status {
            ok if ok.is_success() => Ok(()),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(Refusal::once(why())),
            wrong if wrong.is_client_error() => Err(Refusal::for_good(why())),
            _ => Err(Refusal::once(why())),
        }
    }
}

/// `t=…,v1=…`: whoever knows the secret can tell that the body is ours, and how old it is.
fn signature(secret: &str, unix: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key may have any length");
    mac.update(format!("{unix}.").as_bytes());
    mac.update(body);
    let mut text = format!("t={unix},v1=");
    for byte in mac.finalize().into_bytes() {
        write!(text, "{byte:02x}").expect("a string takes what is written");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::signature;

    #[test]
    fn the_signature_is_what_openssl_makes_of_it() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac s3cret
        let made = "t=1700000000,v1=1698a50bc74d1ff1db85c4e0a5297c2ad9fdba245d5737cdb789e4cc6e098940";
        assert_eq!(signature("s3cret", 1_700_000_000, b"{\"a\":1}"), made);
    }
}

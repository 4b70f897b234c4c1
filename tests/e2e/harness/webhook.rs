//! What providers send to the inbound listener.

use anyhow::Result;
use aws_lc_rs::hmac;

use super::http;
use super::replica::Replica;

/// The HMAC-SHA-256 of `message` in hexadecimal digits.
pub fn tag(secret: &str, message: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, message.as_bytes());
    tag.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Sends `body` as GitHub does that tells of a withdrawn authorization, with the tag of `signed`, and gives the status of
/// the answer.
pub async fn github(replica: &Replica, secret: &str, body: &str, signed: &str) -> Result<u16> {
    let answer = http::client()
        .post(replica.inbound_url("/github"))
        .header("content-type", "application/json")
        .header("x-github-event", "github_app_authorization")
        .header("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
        .header(
            "x-hub-signature-256",
            format!("sha256={}", tag(secret, signed)),
        )
        .body(body.to_owned())
        .send();
    Ok(answer.await?.status().as_u16())
}

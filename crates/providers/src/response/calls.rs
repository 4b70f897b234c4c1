//! Answers of endpoints other than the token endpoint.

use std::time::Duration;

use evergrant_core::clock::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::body::Body;
use super::skew::Skew;
use super::tokens::account;
use super::{Context, Refusal, expiry};
use crate::client::{Answer, BodyFault};

/// What a device polls with, and what its user enters.
pub(crate) struct DeviceAnswer {
    pub(crate) device_code: SecretString,
    pub(crate) user_code: String,
    pub(crate) verification_uri: String,
    pub(crate) verification_uri_complete: Option<String>,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) interval: Option<Duration>,
}

/// The codes of RFC 8628 section 3.2.
pub(crate) fn device(context: Context<'_>, answer: &Answer) -> Result<DeviceAnswer, Refusal> {
    let (value, body) = object(context, answer)?;
    // One large provider has always called it "url".
    let text = |names: &[&str], fits: fn(&str) -> bool| {
        let mut texts = names.iter().filter_map(|name| value.get(name)?.as_str());
        texts.find(|text| fits(text)).map(str::to_owned)
    };
    let time = |name: &str| value.get(name).and_then(expiry::duration);
    let lacking = |wanted| Context { wanted, ..context }.refused(answer, &body);
    let device_code = text(&["device_code"], |text| !text.is_empty());
    let user_code = text(&["user_code"], is_code);
    let verification_uri = text(&["verification_uri", "verification_url"], is_address);
    Ok(DeviceAnswer {
        device_code: device_code.ok_or_else(|| lacking("a device_code"))?.into(),
        user_code: user_code.ok_or_else(|| lacking("a usable user_code"))?,
        verification_uri: verification_uri.ok_or_else(|| lacking("a usable verification_uri"))?,
        verification_uri_complete: text(
            &["verification_uri_complete", "verification_url_complete"],
            is_address,
        ),
        expires_in: time("expires_in"),
        interval: time("interval"),
    })
}

/// What a person can read off a screen and type.
fn is_code(text: &str) -> bool {
    let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    (1..=64).contains(&text.len()) && text.bytes().all(visible)
}

/// What a person can open in a browser. It is shown, so it holds nothing that a terminal could take for a command.
fn is_address(text: &str) -> bool {
    let url = Url::parse(text);
    text.bytes().all(|byte| byte.is_ascii_graphic())
        && url.is_ok_and(|url| ["https", "http"].contains(&url.scheme()))
}

/// When the token ends that was asked about (RFC 7662 section 2.2). `None` if it is not active, or the answer does
/// not say.
pub(crate) fn introspected(
    context: Context<'_>,
    answer: &Answer,
) -> Result<Option<Timestamp>, Refusal> {
    let (value, _) = object(context, answer)?;
    let facts = &context.entry.introspect;
    let active = facts.active.find(&value).next() != Some(&Value::Bool(false));
    let mut ends = facts.expires_at.find(&value);
    let skew = Skew::of(context.entry, answer, context.now);
    let end = ends
        .find_map(|value| expiry::instant(value, skew.theirs(context.sent_at)))
        .map(|end| skew.ours(end));
    Ok(end.filter(|_| active))
}

/// What names the account of the token that was sent.
pub(crate) fn named(context: Context<'_>, answer: &Answer) -> Result<String, Refusal> {
    let (value, body) = object(context, answer)?;
    account(&context.facts.account, &value).ok_or_else(|| context.refused(answer, &body))
}

/// Whether it was done: a status of `success`, or any of 200 to 299 if that is empty. A body is not needed, and ignored
/// where there is one (RFC 7009 section 2.2), but a success with a page of HTML or with something compressed, which was
/// not asked for, is of a sign-in page or a proxy and not of such an endpoint.
pub(crate) fn done(context: Context<'_>, answer: &Answer, success: &[u16]) -> Result<(), Refusal> {
    let body = context.body(answer)?;
    let is_2xx = (200..300).contains(&answer.status);
    if is_2xx && answer.is_packed && !matches!(body, Body::Empty | Body::Value(_)) {
        return Err(context.broken(answer, &BodyFault::Packed));
    }
    let status = match success {
        [] => is_2xx,
        listed => listed.contains(&answer.status),
    };
    let failure = matches!(&body, Body::Value(value) if context.is_failure(value));
    if status && !failure && !(is_2xx && body == Body::Page) {
        Ok(())
    } else {
        Err(context.refused(answer, &body))
    }
}

fn object(context: Context<'_>, answer: &Answer) -> Result<(Value, Body), Refusal> {
    let body = context.readable(answer)?;
    let success = (200..300).contains(&answer.status);
    match &body {
        Body::Value(value) if success && !context.is_failure(value) => Ok((value.clone(), body)),
        _ => Err(context.refused(answer, &body)),
    }
}

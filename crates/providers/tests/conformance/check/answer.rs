//! Holds what an answer was taken for against a row.

use evergrant_core::clock::Timestamp;
use evergrant_core::provider::{CallError, Issued, Revocation, Verdict};
use evergrant_providers::DeviceAuthorization;
use secrecy::ExposeSecret;

use super::Mistakes;
use crate::facts::{self, Answer, Device};
use crate::perform::{Brought, NOW};

/// What an answer is taken for, in the words of a row.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Issued(facts::Issued),
    Device(Device),
    Waiting(String),
    Revoked,
    Refused { verdict: String, code: String },
}

/// The answer is taken for what it is.
pub fn check_answer(row: &Answer, outcome: Result<Brought, CallError>, mistakes: &mut Mistakes) {
    let (kind, body) = row.body();
    let what = format!("on HTTP {} {kind} {body}", row.status);
    let Some(documented) = documented(row) else {
        return mistakes.note(format!("{what}: the row must have one meaning"));
    };
    if let (Some(seconds), Err(error)) = (row.retry_after, &outcome) {
        let wait = error.retry_after.map(|wait| wait.as_secs());
        mistakes.equal(&format!("{what} the wait"), &wait, &Some(seconds));
    }
    match (taken(outcome), &documented) {
        (Ok(mut is), documented) => {
            leave_out_what_is_not_documented(&mut is, documented);
            mistakes.equal(&what, &is, documented);
        }
        (Err(odd), _) => mistakes.note(format!("{what}: {odd}")),
    }
}

/// What the row says, if that is one thing.
fn documented(row: &Answer) -> Option<Taken> {
    let issued = row.issued.as_ref().map(|issued| {
        let token_type = issued.token_type.clone().or(Some("Bearer".to_owned()));
        Taken::Issued(facts::Issued {
            token_type,
            ..issued.clone()
        })
    });
    let refused = row.verdict.as_ref().map(|verdict| Taken::Refused {
        verdict: verdict.clone(),
        code: row.code.clone().unwrap_or_default(),
    });
    let meanings = [
        issued,
        row.device.clone().map(Taken::Device),
        row.waiting.clone().map(Taken::Waiting),
        row.revoked.then_some(Taken::Revoked),
        refused,
    ];
    let mut meanings = meanings.into_iter().flatten();
    meanings.next().filter(|_| meanings.next().is_none())
}

fn taken(outcome: Result<Brought, CallError>) -> Result<Taken, String> {
    Ok(match outcome {
        Ok(Brought::Tokens { issued, account }) => Taken::Issued(stated(issued, account)),
        Ok(Brought::Codes(codes)) => Taken::Device(device(codes)),
        Ok(Brought::Waiting(word)) => Taken::Waiting(word.to_owned()),
        Ok(Brought::Revocation(Revocation::Revoked)) => Taken::Revoked,
        Ok(Brought::Revocation(other)) => return Err(format!("{other:?}")),
        Err(error) => Taken::Refused {
            verdict: word(error.verdict).to_owned(),
            code: error.code,
        },
    })
}

/// Not every provider documents these.
fn leave_out_what_is_not_documented(is: &mut Taken, documented: &Taken) {
    if let (Taken::Issued(is), Taken::Issued(documented)) = (is, documented) {
        is.scopes = is.scopes.take().filter(|_| documented.scopes.is_some());
        let end = documented.refresh_expires_in;
        is.refresh_expires_in = is.refresh_expires_in.filter(|_| end.is_some());
        is.account = is.account.take().filter(|_| documented.account.is_some());
    }
}

/// What was brought, as a row would have it.
pub fn stated(issued: Issued, account: Option<String>) -> facts::Issued {
    let seconds = |at: Timestamp| at.since(NOW).as_secs();
    facts::Issued {
        access_token: issued.access_token.expose().to_owned(),
        refresh_token: issued.refresh_token.map(|token| token.expose().to_owned()),
        expires_in: issued.expires_at.map(seconds),
        refresh_expires_in: issued.refresh_expires_at.map(seconds),
        token_type: Some(issued.token_type),
        scopes: issued.scopes,
        account,
        metadata: issued.metadata,
    }
}

fn device(codes: DeviceAuthorization) -> Device {
    Device {
        device_code: codes.device_code.expose_secret().to_owned(),
        user_code: codes.user_code,
        verification_uri: codes.verification_uri,
        verification_uri_complete: codes.verification_uri_complete,
        expires_in: codes.expires_in.as_secs(),
        interval: codes.interval.as_secs(),
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Grant(_) => "grant",
        Verdict::Client => "client",
        Verdict::Request => "request",
        Verdict::Transient => "transient",
        Verdict::RateLimit => "rate_limit",
        Verdict::Protocol => "protocol",
    }
}

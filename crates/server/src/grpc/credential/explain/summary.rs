//! The one sentence that says how a credential stands, and what is to be done.

use std::time::Duration;

use evergrant_core::attempts::{AttemptOutcome, AttemptRecord};
use evergrant_core::clock::Timestamp;
use evergrant_core::explain::{Diagnosis, Explanation};
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::{Invalidation, InvalidationReason, PassingFailure};
use jiff::Unit;

/// The sentence, in lower case and without a full stop.
pub(super) fn of(explained: &Explanation) -> String {
    let grant = &explained.grant;
    let client = &grant.client;
    match &explained.diagnosis {
        Diagnosis::Dead(death) => dead(explained, death),
        Diagnosis::Held { refusal, next_at } => format!(
            "held since {}: the provider refuses it{}, but it refuses so many grants of client {client} that this \
             is not believed; {}an operator must look at the client and release its brake",
            time(refusal.at),
            code(&refusal.provider_error),
            match next_at {
                Some(at) => format!("it is tried again at {}, and ", time(*at)),
                None => String::new(),
            }
        ),
        Diagnosis::Refreshing { replica, until } => format!(
            "being refreshed by {}, which has until {}",
            match replica {
                Some(replica) => format!("replica {replica}"),
                None => "a replica that does not tell its name".to_owned(),
            },
            time(*until)
        ),
        Diagnosis::NotRenewable { ends_at: None } => {
            "works, and no refresh comes: nobody knows when its token ends, and there is nothing to renew it with"
                .to_owned()
        }
        Diagnosis::NotRenewable { ends_at: Some(end) } if *end > explained.now => format!(
            "works until its token ends at {}, and no refresh comes: there is no refresh token, so the user must \
             connect again before",
            time(*end)
        ),
        Diagnosis::NotRenewable { ends_at: Some(end) } => format!(
            "of no use since its token ended at {}: there is no refresh token, and the user must connect again",
            time(*end)
        ),
        Diagnosis::UnknownClient(unknown) => format!(
            "not refreshed: {unknown}; put it back into the configuration of every replica"
        ),
        Diagnosis::ClientRejected(refusal) => format!(
            "not refreshed: the provider rejects client {client}{}, so an operator must mend its id or secret; \
             the next probe is due in {}, and goes out by itself",
            code(&refusal.code),
            rounded(refusal.retry_after)
        ),
        Diagnosis::CoolingDown {
            failure,
            failed,
            until,
        } => match failure {
            Some(failure) if failure.reason == FailureReason::ClientRejected => {
                refused_alone(explained, &failure.message, *failed, *until)
            }
            failure => cooling(failure.as_ref(), *failed, *until),
        },
        Diagnosis::Throttled { until } => format!(
            "not refreshed before {}: the provider asked for client {client} to be left alone until then",
            time(*until)
        ),
        Diagnosis::TooYoung { until } => format!(
            "not refreshed before {}: its provider renews no token that is so young",
            time(*until)
        ),
        Diagnosis::Overdue { since } => format!(
            "due since {}, and not refreshed yet: the budget of client {client} may be used up, or no replica works \
             in the background",
            time(*since)
        ),
        Diagnosis::Works { due_at } => format!(
            "works: generation {} was obtained at {}{}, and is renewed at about {}",
            grant.generation,
            time(grant.issued_at),
            expiry(grant.expires_at),
            time(*due_at)
        ),
        Diagnosis::OnRequest if !grant.has_token() => {
            "has no token yet: one is minted when somebody asks for it".to_owned()
        }
        Diagnosis::OnRequest => format!(
            "works: generation {} was obtained at {}{}, and is renewed when somebody asks for a token",
            grant.generation,
            time(grant.issued_at),
            expiry(grant.expires_at)
        ),
    }
}

fn dead(explained: &Explanation, death: &Invalidation) -> String {
    let why = match death.reason {
        InvalidationReason::Killed => format!("an operator killed it, {:?}", death.message),
        _ if death.reported => reported(death),
        InvalidationReason::GrantRevoked => {
            format!("the provider refused it{}", code(&death.provider_error))
        }
        InvalidationReason::NotRefreshable => {
            "its access token is no longer good and there is no refresh token".to_owned()
        }
        InvalidationReason::RefreshTokenExpired => format!(
            "its refresh token reached its end{}",
            code(&death.provider_error)
        ),
        InvalidationReason::AccessDenied => format!(
            "the user or an administrator withdrew access at the provider{}",
            code(&death.provider_error)
        ),
        InvalidationReason::RotationLost => format!(
            "its rotated refresh token was spent, and the successor is lost or was taken by someone else{}",
            code(&death.provider_error)
        ),
        InvalidationReason::Reported => reported(death),
    };
    let attempt = fatal(explained).map_or_else(String::new, |attempt| {
        format!(
            " on the attempt of {} by replica {}",
            time(attempt.began_at),
            attempt.replica
        )
    });
    let remedy = if explained.grant.grant_type.is_minted() {
        "its owner must reconnect it with means that work"
    } else {
        "the user must connect again"
    };
    format!("dead since {}: {why}{attempt}; {remedy}", time(death.at))
}

fn reported(death: &Invalidation) -> String {
    let by = if death.provider_error.is_empty() {
        "it was reported dead".to_owned()
    } else {
        format!(
            "the provider reported it dead{}",
            code(&death.provider_error)
        )
    };
    match death.message.as_str() {
        "" => by,
        message => format!("{by}, {message:?}"),
    }
}

/// The attempt that the grant died of, if the latest did.
fn fatal(explained: &Explanation) -> Option<&AttemptRecord> {
    let latest = explained.attempts.first()?;
    let is_of_generation = latest.base == explained.grant.generation;
    (is_of_generation && latest.outcome == AttemptOutcome::Invalidated).then_some(latest)
}

fn cooling(failure: Option<&PassingFailure>, failed: u32, until: Timestamp) -> String {
    let why = match failure {
        Some(PassingFailure { reason, message }) if message.is_empty() => reason.to_string(),
        Some(failure) => failure.message.clone(),
        None => "its refresh failed".to_owned(),
    };
    let times = times(failed);
    format!(
        "not refreshed before {}: it failed {times}, the last time because {why}",
        time(until)
    )
}

/// The provider rejects the client, and what this grant brings is the reason.
fn refused_alone(explained: &Explanation, message: &str, failed: u32, until: Timestamp) -> String {
    let grant = &explained.grant;
    let latest = explained.attempts.first();
    let is_about_scopes = !grant.requested_scopes.is_empty()
        && latest
            .and_then(|attempt| attempt.error.as_ref())
            .is_some_and(|error| error.code == "invalid_scope");
    let remedy = if is_about_scopes {
        "whoever asks must ask for scopes that the client may have"
    } else if grant.grant_type.is_minted() {
        "an administrator of its account at the provider must allow the application, or, if it brings a client of its \
         own, its owner must mend that"
    } else {
        "an administrator of its account at the provider must allow the application there"
    };
    let why = match message {
        "" => String::new(),
        words => format!(", the last time because {words}"),
    };
    let (client, until, times) = (&grant.client, time(until), times(failed));
    format!(
        "not refreshed before {until}: the provider refuses client {client} for this credential alone, {times}{why}; \
         {remedy}, and it is tried again by itself"
    )
}

fn times(failed: u32) -> String {
    match failed {
        0 | 1 => "once".to_owned(),
        times => format!("{times} times in a row"),
    }
}

fn code(code: &str) -> String {
    match code {
        "" => String::new(),
        code => format!(" ({code})"),
    }
}

fn expiry(expires_at: Option<Timestamp>) -> String {
    expires_at.map_or_else(String::new, |end| format!(", expires at {}", time(end)))
}

fn rounded(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64().ceil())
}

/// RFC 3339, to the second.
pub(super) fn time(stamp: Timestamp) -> String {
    let time = jiff::Timestamp::from_millisecond(stamp.as_millis());
    let time = time.and_then(|time| time.round(Unit::Second));
    time.map_or_else(|_| stamp.as_millis().to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests;

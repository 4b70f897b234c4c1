//! What else may matter to who asks why a credential is as it is, a sentence each.

use evergrant_core::ageing::EndOf;
use evergrant_core::explain::{Diagnosis, Explanation};

use super::summary::time;

pub(super) fn of(explained: &Explanation) -> Vec<String> {
    let notes = [
        doubt(explained),
        abandoned(explained),
        escrowed(explained),
        failing(explained),
        ending(explained),
        braked(explained),
        rejected(explained),
        budget(explained),
        unknown("who leads", explained.lock.as_ref().err()),
        unknown(
            "whether tokens wait in escrow",
            explained.escrow.as_ref().err(),
        ),
        paused(explained),
    ];
    notes.into_iter().flatten().collect()
}

fn doubt(explained: &Explanation) -> Option<String> {
    explained.grant.in_doubt.then(|| {
        "the stored refresh token may be spent by a call whose answer nobody has; the next attempt makes sure before \
         it believes a refusal"
            .to_owned()
    })
}

/// A lease that ran out: its attempt never told its end.
fn abandoned(explained: &Explanation) -> Option<String> {
    let lease = explained.grant.lease.as_ref()?;
    lease.left.is_zero().then(|| {
        let whose = lease.owner.replica().unwrap_or("a replica without a name");
        format!("an attempt of {whose} never told its end: the replica was killed, or cut off from the database")
    })
}

fn escrowed(explained: &Explanation) -> Option<String> {
    let at = explained.escrow.as_ref().ok().copied().flatten()?;
    let at = time(at);
    Some(format!(
        "tokens that were obtained at {at} wait in escrow; the next attempt stores them and calls nobody"
    ))
}

/// It may work now, and have failed before.
fn failing(explained: &Explanation) -> Option<String> {
    let failed = explained.grant.attempts.failed;
    let is_told = matches!(
        explained.diagnosis,
        Diagnosis::CoolingDown { .. } | Diagnosis::Held { .. } | Diagnosis::Dead(_)
    );
    let failure = explained.passing_failure()?;
    (failed > 0 && !is_told).then(|| {
        let why = &failure.message;
        format!("{failed} refreshes in a row failed for a passing reason, the last because {why}")
    })
}

fn ending(explained: &Explanation) -> Option<String> {
    let end = explained.grant.dates.end?;
    let what = match end.of {
        EndOf::AccessToken => "the access token, which cannot be renewed,",
        EndOf::RefreshToken => "the refresh token, whose end was fixed at the consent,",
        EndOf::Grant => "the consent, however often it is refreshed,",
    };
    let at = time(end.at);
    Some(format!(
        "{what} ends at {at}; the user must connect again before"
    ))
}

fn braked(explained: &Explanation) -> Option<String> {
    let standing = explained.client.as_ref()?;
    let brake = standing.brake.as_ref()?;
    let (client, since, held) = (&brake.client, time(brake.since), standing.held);
    Some(format!(
        "the brake of client {client} is engaged since {since}: its refusals are held, {held} of them now"
    ))
}

fn rejected(explained: &Explanation) -> Option<String> {
    let health = explained.client.as_ref()?.health.as_ref()?;
    health.rejected.then(|| {
        let (client, since, code) = (&health.client, time(health.since), &health.provider_error);
        format!("the provider rejects client {client} since {since} ({code})")
    })
}

fn budget(explained: &Explanation) -> Option<String> {
    let usage = explained.budget;
    let is_full = usage.in_use >= usage.concurrent || usage.waiting > 0;
    let most = usage
        .per_minute
        .map(|most| usize::try_from(most).unwrap_or(usize::MAX));
    let is_used_up = most.is_some_and(|most| usage.used_last_minute >= most);
    (is_full || is_used_up).then(|| {
        let (in_use, concurrent, waiting) = (usage.in_use, usage.concurrent, usage.waiting);
        let calls = most.map_or_else(String::new, |most| {
            format!(", {} of {most} calls in the last minute", usage.used_last_minute)
        });
        format!(
            "the budget of the client is used up on this replica: {in_use} of {concurrent} refreshes run and \
             {waiting} wait{calls}"
        )
    })
}

fn unknown(what: &str, error: Option<&String>) -> Option<String> {
    error.map(|error| format!("nobody can tell {what}: {error}"))
}

fn paused(explained: &Explanation) -> Option<String> {
    let paused = explained.integrations.iter();
    let paused = paused
        .filter(|integration| integration.facts.paused)
        .count();
    (paused > 0).then(|| format!("{paused} integrations that need it are paused by their owner"))
}

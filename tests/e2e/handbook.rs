//! Every name that the service tells has a section in `docs/handbook.md`: each error is made to happen, and its section
//! is held against it.

mod callers;
mod page;
mod providers;
mod requests;
mod stores;
mod streams;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use evergrant_proto::FILE_DESCRIPTOR_SET;
use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Status;
use tonic_types::StatusExt as _;

use self::page::{Part, Section, sections};
use crate::observability::alert_names;

/// Stages that are up at the same time.
const AT_ONCE: usize = 6;
const WITHIN: Duration = Duration::from_secs(240);

/// Makes the error of that reason happen, on a stage of its own. `None`: nobody knows how.
fn made(reason: &str) -> Option<LocalBoxFuture<'static, Result<Status>>> {
    Some(match reason {
        "INVALID_REQUEST" => requests::invalid_request().boxed_local(),
        "UNAUTHENTICATED" => requests::unauthenticated().boxed_local(),
        "PERMISSION_DENIED" => requests::permission_denied().boxed_local(),
        "CALLER_RATE_LIMITED" => callers::caller_rate_limited().boxed_local(),
        "ISSUER_UNAVAILABLE" => callers::issuer_unavailable().boxed_local(),
        "CREDENTIAL_NOT_FOUND" => requests::credential_not_found().boxed_local(),
        "CREDENTIAL_EXISTS" => requests::credential_exists().boxed_local(),
        "CREDENTIAL_INVALIDATED" => requests::credential_invalidated().boxed_local(),
        "GENERATION_CONFLICT" => requests::generation_conflict().boxed_local(),
        "ETAG_MISMATCH" => requests::etag_mismatch().boxed_local(),
        "ACCOUNT_MISMATCH" => requests::account_mismatch().boxed_local(),
        "UNKNOWN_PROVIDER" => requests::unknown_provider().boxed_local(),
        "UNKNOWN_CLIENT" => requests::unknown_client().boxed_local(),
        "INTEGRATION_NOT_FOUND" => requests::integration_not_found().boxed_local(),
        "INTEGRATION_EXISTS" => requests::integration_exists().boxed_local(),
        "AUTHORIZATION_STATE_INVALID" => requests::authorization_state_invalid().boxed_local(),
        "AUTHORIZATION_REFUSED" => requests::authorization_refused().boxed_local(),
        "KILL_NOT_FOUND" => requests::kill_not_found().boxed_local(),
        "CLIENT_REJECTED" => providers::client_rejected().boxed_local(),
        "PROVIDER_UNAVAILABLE" => providers::provider_unavailable().boxed_local(),
        "PROVIDER_RATE_LIMITED" => providers::provider_rate_limited().boxed_local(),
        "PROVIDER_PROTOCOL_ERROR" => providers::provider_protocol_error().boxed_local(),
        "REFRESH_COOLING_DOWN" => providers::refresh_cooling_down().boxed_local(),
        "REFRESH_IN_PROGRESS" => providers::refresh_in_progress().boxed_local(),
        "GRANT_UNUSABLE" => providers::grant_unusable().boxed_local(),
        "SUBJECT_INVALID" => providers::subject_invalid().boxed_local(),
        "SCOPE_SET_LIMIT" => providers::scope_set_limit().boxed_local(),
        "CLIENT_BRAKED" => providers::client_braked().boxed_local(),
        "INTERNAL" => stores::internal().boxed_local(),
        "STORE_UNAVAILABLE" => stores::store_unavailable().boxed_local(),
        "STARTING" => stores::starting().boxed_local(),
        "KEY_UNAVAILABLE" => stores::key_unavailable().boxed_local(),
        "SHUTTING_DOWN" => streams::shutting_down().boxed_local(),
        "CURSOR_EXPIRED" => streams::cursor_expired().boxed_local(),
        "CURSOR_EPOCH_MISMATCH" => streams::cursor_epoch_mismatch().boxed_local(),
        "FILTER_CHANGED" => streams::filter_changed().boxed_local(),
        "SLOW_CONSUMER" => streams::slow_consumer().boxed_local(),
        "STREAM_LIMIT" => streams::stream_limit().boxed_local(),
        "STREAM_ROTATED" => streams::stream_rotated().boxed_local(),
        "EVENT_LOG_UNREACHABLE" => streams::event_log_unreachable().boxed_local(),
        _ => return None,
    })
}

#[tokio::test]
async fn every_error_happens_and_has_its_section() -> Result<()> {
    let sections = sections()?;
    let reasons = names_of("ErrorReason")?;
    // From the end, since those that take minutes are there.
    let makers = stream::iter(reasons.iter().rev()).map(async |reason| {
        let made = made(reason).with_context(|| format!("nobody knows how {reason} happens"))?;
        let told = tokio::time::timeout(WITHIN, made).await;
        let told = told.with_context(|| format!("{reason} does not happen"))?;
        let status = told.with_context(|| reason.clone())?;
        let info = status.get_details_error_info();
        let info = info.with_context(|| format!("{reason}: nothing says why: {status:?}"))?;
        ensure!(
            info.reason == *reason,
            "{} in place of {reason}",
            info.reason
        );
        ensure!(
            info.domain == "evergrant.v1",
            "{reason} is of {}",
            info.domain
        );
        Ok((reason.clone(), code_name(&status)))
    });
    let told: Vec<(String, String)> = makers.buffer_unordered(AT_ONCE).try_collect().await?;
    for (reason, code) in told {
        let section = sections
            .iter()
            .find(|section| section.is(Part::Errors, &reason));
        let section = section.with_context(|| format!("{reason} has no section"))?;
        let begins = format!("`{code}`. **Means.**");
        ensure!(
            section.text.starts_with(&begins),
            "{reason} comes with {code}"
        );
    }
    Ok(())
}

#[test]
fn every_name_has_one_section_and_no_section_is_about_nothing() -> Result<()> {
    let sections = sections()?;
    for (part, names) in [
        (Part::Errors, names_of("ErrorReason")?),
        (Part::Invalidations, names_of("InvalidationReason")?),
        (Part::Alerts, alert_names()?),
    ] {
        let of_part = sections.iter().filter(|section| section.part == part);
        let titles: Vec<_> = of_part.map(|section| section.title.clone()).collect();
        let distinct: BTreeSet<_> = titles.iter().cloned().collect();
        ensure!(
            distinct.len() == titles.len(),
            "{part:?} has a section twice"
        );
        assert_eq!(distinct, names, "{part:?}");
    }
    Ok(())
}

#[test]
fn every_section_says_what_it_means_whose_it_is_and_what_to_do() -> Result<()> {
    for Section { title, text, .. } in sections()? {
        let (_, rest) = text
            .split_once("**Means.** ")
            .with_context(|| title.clone())?;
        let (means, rest) = rest
            .split_once("**Whose.** ")
            .with_context(|| title.clone())?;
        let (whose, todo) = rest.split_once("**Do.**").with_context(|| title.clone())?;
        let whose = whose.to_lowercase();
        let people = [
            "caller", "user", "operator", "provider", "us", "ours", "reason",
        ];
        let words: Vec<_> = whose.split(|c: char| !c.is_alphabetic()).collect();
        ensure!(
            people.iter().any(|who| words.contains(who)),
            "{title}: {whose}"
        );
        ensure!(
            means.len() > 20 && todo.len() > 20,
            "{title} says too little"
        );
    }
    Ok(())
}

#[test]
fn every_link_within_the_handbook_leads_somewhere() -> Result<()> {
    let page = page::text()?;
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchors: BTreeSet<_> = headings.map(page::anchor).collect();
    for link in page.split("](#").skip(1) {
        let (link, _) = link.split_once(')').context("a link ends")?;
        ensure!(anchors.contains(link), "#{link} leads nowhere");
    }
    Ok(())
}

/// The values of an enum of the contract, without their prefix and without the unspecified one.
fn names_of(wanted: &str) -> Result<BTreeSet<String>> {
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET)?;
    let mut enums = files.file.iter().flat_map(|file| &file.enum_type);
    let found = enums.find(|found| found.name() == wanted);
    let found = found.with_context(|| format!("{wanted} is in no contract"))?;
    let values = found.value.iter().filter(|value| value.number() != 0);
    let prefix = match wanted {
        "ErrorReason" => "ERROR_REASON_",
        _ => "INVALIDATION_REASON_",
    };
    let names = values.map(|value| {
        let name = value.name().strip_prefix(prefix);
        name.map(str::to_owned).context("it has no prefix")
    });
    names.collect()
}

/// The name of a status code as the contract writes it.
fn code_name(status: &Status) -> String {
    let mut name = String::new();
    for c in format!("{:?}", status.code()).chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

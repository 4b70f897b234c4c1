//! `evergrant token`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use clap::{Args, Subcommand};
use evergrant_proto::v1::get_token_request::Rejected;
use evergrant_proto::v1::token_service_client::TokenServiceClient;
use evergrant_proto::v1::{GetTokenRequest, GetTokenResponse, Header, RefreshFailure};
use serde::Serialize;

use super::connection::{Connection, parse_duration};
use super::exit::Failure;
use super::material::read_secret;
use super::output::{Out, Output, Printable, Table};
use super::wire::{duration_from_wire, duration_to_wire, on_one_line, rfc3339, sorted};
use crate::config::duration;

/// What a token may have lost since the server compared.
const ON_THE_WAY: Duration = Duration::from_secs(1);

/// Arguments of `evergrant token`.
#[derive(Debug, Args)]
pub struct Token {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Get an access token that is valid now
    ///
    /// Without --reveal a fingerprint is shown in place of the token, so that it does not end up in a terminal's
    /// history or a log.
    #[command(after_help = "\
Examples:
  evergrant token get slack-7
  evergrant token get slack-7 --min-validity 10m
  curl -H \"Authorization: Bearer $(evergrant token get slack-7 --reveal -o json | jq -r .access_token)\" …")]
    Get(Get),
}

#[derive(Debug, Args)]
struct Get {
    /// The credential
    credential: String,
    /// How long the token must still be valid. More than the provider's tokens ever last is no reason to refresh one: the
    /// token that lasts longest is printed, and standard error warns that it lasts for less
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    min_validity: Option<Duration>,
    /// A scope that the token is to have, where tokens are minted: exactly those that are named. May be given several
    /// times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Generation of a token that the provider's API refused
    #[arg(long, value_name = "N", conflicts_with = "rejected_token")]
    rejected_generation: Option<u64>,
    /// File with a token that the provider's API refused, or - for standard input; only its SHA-256 is sent
    #[arg(long, value_name = "FILE|-")]
    rejected_token: Option<PathBuf>,
    /// Show the token itself
    #[arg(long)]
    reveal: bool,
}

impl Token {
    /// Does what was asked.
    pub async fn run(self, out: Out<'_>, notes: Out<'_>) -> Result<(), Failure> {
        let Verb::Get(get) = self.verb;
        let (reveal, wanted) = (get.reveal, get.min_validity);
        let request = get.request(self.connection.tenant.clone())?;
        let mut client = TokenServiceClient::new(self.connection.connect().await?);
        let answer = client.get_token(request).await?.into_inner();
        let warning = wanted.and_then(|wanted| too_short(wanted, &answer));
        self.output.print(out, &TokenView::new(answer, reveal))?;
        if let Some(warning) = warning {
            writeln!(
                notes,
                "evergrant: {}",
                warning.replace(char::is_control, " ")
            )?;
        }
        Ok(())
    }
}

/// The server answers with what can be had, and leaves it to the caller to see whether that will do.
fn too_short(wanted: Duration, answer: &GetTokenResponse) -> Option<String> {
    let left = duration_from_wire(answer.expires_in)?;
    if left + ON_THE_WAY >= wanted {
        return None;
    }
    let why = match &answer.refresh_failure {
        Some(RefreshFailure {
            reason, message, ..
        }) => format!("it could not be renewed, {reason}: {message}"),
        None => "no longer one can be had now".to_owned(),
    };
    let left = duration::display(Duration::from_secs(left.as_secs()));
    let wanted = duration::display(wanted);
    Some(format!(
        "warning: the token is valid for {left} only, not for the {wanted} of --min-validity: {why}"
    ))
}

impl Get {
    fn request(self, tenant_id: String) -> Result<GetTokenRequest, Failure> {
        let rejected = match (self.rejected_generation, &self.rejected_token) {
            (Some(generation), _) => Some(Rejected::RejectedGeneration(generation)),
            (None, Some(path)) => {
                let token = read_secret("--rejected-token", path)?;
                let digest = digest(&SHA256, token.trim().as_bytes());
                let digest = bytes::Bytes::copy_from_slice(digest.as_ref());
                Some(Rejected::RejectedTokenSha256(digest))
            }
            (None, None) => None,
        };
        Ok(GetTokenRequest {
            tenant_id,
            credential_id: self.credential,
            min_validity: self.min_validity.map(duration_to_wire),
            scopes: self.scopes,
            rejected,
        })
    }
}

/// A token, named as in `token_service.proto`. What holds the token itself is there only if it is revealed.
#[derive(Serialize)]
struct TokenView {
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    /// The first 16 hexadecimal digits of the token's SHA-256.
    fingerprint: String,
    token_type: String,
    expires_at: Option<String>,
    expires_in: Option<String>,
    generation: u64,
    scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<HeaderView>,
    metadata: BTreeMap<String, String>,
    refreshed: bool,
    refresh_failure: Option<RefreshFailureView>,
}

#[derive(Serialize)]
struct HeaderView {
    name: String,
    value: String,
}

#[derive(Serialize)]
struct RefreshFailureView {
    reason: String,
    message: String,
    next_attempt_at: Option<String>,
}

impl TokenView {
    fn new(answer: GetTokenResponse, reveal: bool) -> Self {
        let GetTokenResponse {
            access_token,
            token_type,
            expires_at,
            expires_in,
            generation,
            scopes,
            header,
            metadata,
            refreshed,
            refresh_failure,
        } = answer;
        let fingerprint = fingerprint(&access_token);
        Self {
            access_token: reveal.then_some(access_token),
            fingerprint,
            token_type,
            expires_at: rfc3339(expires_at),
            expires_in: duration_from_wire(expires_in)
                .map(|left| duration::display(Duration::from_secs(left.as_secs()))),
            generation,
            scopes,
            header: header
                .filter(|_| reveal)
                .map(|Header { name, value }| HeaderView { name, value }),
            metadata: sorted(metadata),
            refreshed,
            refresh_failure: refresh_failure.map(|failure| {
                let RefreshFailure {
                    reason,
                    message,
                    next_attempt_at,
                } = failure;
                RefreshFailureView {
                    reason,
                    message,
                    next_attempt_at: rfc3339(next_attempt_at),
                }
            }),
        }
    }
}

fn fingerprint(token: &str) -> String {
    let digest = digest(&SHA256, token.as_bytes());
    let head = digest.as_ref().iter().take(8);
    head.fold("sha256:".to_owned(), |text, byte| {
        format!("{text}{byte:02x}")
    })
}

impl Printable for TokenView {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.field(
            "token",
            self.access_token.as_ref().unwrap_or(&self.fingerprint),
        );
        table.field("type", &self.token_type);
        let expires = match (&self.expires_at, &self.expires_in) {
            (Some(at), Some(left)) => format!("{at} (in {left})"),
            (Some(at), None) => at.clone(),
            (None, _) => "unknown".into(),
        };
        table.field("expires", expires);
        table.field("generation", self.generation.to_string());
        table.field("scopes", self.scopes.join(" "));
        table.field("metadata", on_one_line(&self.metadata));
        table.field("refreshed", if self.refreshed { "yes" } else { "no" });
        if let Some(failure) = &self.refresh_failure {
            table.field(
                "not renewed",
                format!("{}: {}", failure.reason, failure.message),
            );
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> GetTokenResponse {
        GetTokenResponse {
            access_token: "abc".into(),
            token_type: "Bearer".into(),
            expires_at: Some(prost_types::Timestamp {
                seconds: 60,
                nanos: 0,
            }),
            expires_in: Some(prost_types::Duration {
                seconds: 90,
                nanos: 5,
            }),
            generation: 7,
            header: Some(Header {
                name: "Authorization".into(),
                value: "Bearer abc".into(),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_token_that_lasts_for_less_than_was_asked_is_warned_of() {
        let lasts = |seconds| too_short(Duration::from_secs(seconds), &answer());
        assert_eq!(lasts(91), None, "a moment on the way");
        assert_eq!(
            lasts(600).unwrap(),
            "warning: the token is valid for 90s only, not for the 10m of --min-validity: no longer one can be had now"
        );
        let failed = GetTokenResponse {
            refresh_failure: Some(RefreshFailure {
                reason: "PROVIDER_UNAVAILABLE".into(),
                message: "acme did not answer".into(),
                next_attempt_at: None,
            }),
            ..answer()
        };
        let told = too_short(Duration::from_secs(600), &failed).unwrap();
        assert!(
            told.ends_with("it could not be renewed, PROVIDER_UNAVAILABLE: acme did not answer"),
            "{told}"
        );
        let unknown = GetTokenResponse {
            expires_in: None,
            ..answer()
        };
        assert_eq!(too_short(Duration::from_secs(600), &unknown), None);
    }

    #[test]
    fn a_token_is_a_fingerprint_unless_it_is_revealed() {
        let hidden = TokenView::new(answer(), false);
        assert_eq!(
            hidden.table().to_string(),
            "token       sha256:ba7816bf8f01cfea\n\
             type        Bearer\n\
             expires     1970-01-01T00:01:00Z (in 90s)\n\
             generation  7\n\
             refreshed   no\n"
        );
        let json = serde_json::to_string(&hidden).unwrap();
        assert!(!json.contains("abc"), "{json}");

        let shown = TokenView::new(answer(), true);
        assert!(shown.table().to_string().starts_with("token       abc\n"));
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(json["access_token"], "abc");
        assert_eq!(json["header"]["value"], "Bearer abc");
    }
}

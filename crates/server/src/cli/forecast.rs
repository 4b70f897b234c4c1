//! `evergrant forecast`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use evergrant_proto::v1::credential_service_client::CredentialServiceClient;
use evergrant_proto::v1::{CredentialEnd, CredentialEndKind, ForecastCredentialsRequest};
use serde::Serialize;

use super::connection::{Connection, Service, parse_duration};
use super::exit::Failure;
use super::output::{Out, Output, Printable, Table};
use super::wire::{duration_to_wire, name_of, parse_limit, rfc3339, short, sorted};

const PAGE_SIZE: usize = 1_000;
/// On the wire: all tenants that the caller may read.
const ALL_TENANTS: &str = "*";

/// Arguments of `evergrant forecast`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evergrant forecast                              # of all tenants that the caller may read
  evergrant forecast --within 30d --tenant acme
  evergrant forecast -o json | jq '.ends[] | select(.renews_at == null) | .credential_id'

What is renewed needs nothing of anybody. Whatever else ends, its user must connect again before.")]
pub struct Forecast {
    /// Only what ends within this time
    #[arg(long, default_value = "90d", value_parser = parse_duration, value_name = "DURATION")]
    within: Duration,
    /// Only of this provider
    #[arg(long, default_value = "", hide_default_value = true)]
    provider: String,
    /// At most this many
    #[arg(long, value_parser = parse_limit, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// What ends when, soonest first.
#[derive(Debug, Serialize)]
struct ForecastView {
    ends: Vec<EndView>,
}

/// An end, named as in `credential_service.proto`.
#[derive(Debug, Serialize)]
struct EndView {
    tenant_id: String,
    credential_id: String,
    provider: String,
    generation: u64,
    kind: String,
    ends_at: Option<String>,
    renews_at: Option<String>,
    labels: BTreeMap<String, String>,
}

impl Forecast {
    /// Does what was asked.
    pub async fn run(self, out: Out<'_>) -> Result<(), Failure> {
        let client = CredentialServiceClient::new(self.connection.connect().await?);
        let output = self.output;
        let ends = self.ends(client).await?;
        Ok(output.print(out, &ForecastView { ends })?)
    }

    async fn ends(
        self,
        mut client: CredentialServiceClient<Service>,
    ) -> Result<Vec<EndView>, Failure> {
        let limit = self.limit.unwrap_or(usize::MAX);
        let mut request = self.request(limit);
        let mut ends = Vec::new();
        loop {
            let page = client.forecast_credentials(request.clone()).await?;
            let page = page.into_inner();
            ends.extend(page.ends.into_iter().map(EndView::from));
            if page.next_page_token.is_empty() || ends.len() >= limit {
                ends.truncate(limit);
                return Ok(ends);
            }
            request.page_token = page.next_page_token;
        }
    }

    fn request(self, limit: usize) -> ForecastCredentialsRequest {
        let tenant_id = match self.connection.tenant.as_str() {
            "" => ALL_TENANTS.to_owned(),
            one => one.to_owned(),
        };
        ForecastCredentialsRequest {
            tenant_id,
            within: Some(duration_to_wire(self.within)),
            provider: self.provider,
            page_size: i32::try_from(limit.clamp(1, PAGE_SIZE)).expect("a page is at most 1,000"),
            page_token: String::new(),
        }
    }
}

impl From<CredentialEnd> for EndView {
    fn from(end: CredentialEnd) -> Self {
        let CredentialEnd {
            tenant_id,
            credential_id,
            provider,
            generation,
            kind,
            ends_at,
            renews_at,
            labels,
        } = end;
        Self {
            tenant_id,
            credential_id,
            provider,
            generation,
            kind: name_of(kind, CredentialEndKind::as_str_name),
            ends_at: rfc3339(ends_at),
            renews_at: rfc3339(renews_at),
            labels: sorted(labels),
        }
    }
}

impl EndView {
    /// What is going to be done about it, and by whom.
    fn remedy(&self) -> String {
        match &self.renews_at {
            Some(at) => format!("renewed at {at}"),
            None => "its user must connect again".to_owned(),
        }
    }
}

impl Printable for ForecastView {
    fn table(&self) -> Table {
        let mut table =
            Table::with_header(&["ENDS", "TENANT", "CREDENTIAL", "PROVIDER", "WHAT", "THEN"]);
        for end in &self.ends {
            let what = short(&end.kind, "CREDENTIAL_END_KIND_").replace('_', " ");
            table.row([
                end.ends_at.clone().unwrap_or_default(),
                end.tenant_id.clone(),
                end.credential_id.clone(),
                end.provider.clone(),
                what,
                end.remedy(),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        forecast: Forecast,
    }

    fn forecast(arguments: &[&str]) -> Forecast {
        let arguments = ["forecast"].iter().chain(arguments);
        Program::parse_from(arguments).forecast
    }

    fn end(credential: &str, kind: CredentialEndKind, renews: Option<i64>) -> EndView {
        let at = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
        CredentialEnd {
            tenant_id: "acme".into(),
            credential_id: credential.into(),
            provider: "slack".into(),
            generation: 3,
            kind: kind.into(),
            ends_at: Some(at(86_400)),
            renews_at: renews.map(at),
            labels: [("team".into(), "blue".into())].into(),
        }
        .into()
    }

    fn two() -> ForecastView {
        ForecastView {
            ends: vec![
                end("a", CredentialEndKind::Grant, None),
                end("b", CredentialEndKind::UnusedRefreshToken, Some(60)),
            ],
        }
    }

    #[test]
    fn it_says_what_ends_and_who_must_do_what() {
        let expected = "\
ENDS                  TENANT  CREDENTIAL  PROVIDER  WHAT                  THEN
1970-01-02T00:00:00Z  acme    a           slack     grant                 its user must connect again
1970-01-02T00:00:00Z  acme    b           slack     unused refresh token  renewed at 1970-01-01T00:01:00Z
";
        assert_eq!(two().table().to_string(), expected);
    }

    #[test]
    fn json_has_the_names_of_the_proto_files() {
        let json = serde_json::to_value(two()).unwrap();
        assert_eq!(json["ends"][0]["credential_id"], "a");
        assert_eq!(json["ends"][0]["kind"], "CREDENTIAL_END_KIND_GRANT");
        assert_eq!(json["ends"][0]["renews_at"], serde_json::Value::Null);
        assert_eq!(json["ends"][0]["labels"]["team"], "blue");
        assert_eq!(json["ends"][1]["renews_at"], "1970-01-01T00:01:00Z");
    }

    #[test]
    fn it_asks_for_90_days_of_all_tenants_unless_it_is_told_otherwise() {
        let request = forecast(&[]).request(usize::MAX);
        assert_eq!(request.tenant_id, "*");
        assert_eq!(request.within.unwrap().seconds, 90 * 86_400);
        assert_eq!(request.page_size, 1_000);
        let narrow = ["--within", "7d", "--provider", "slack", "--tenant", "acme"];
        let request = forecast(&narrow).request(5);
        assert_eq!(request.tenant_id, "acme");
        assert_eq!(request.within.unwrap().seconds, 7 * 86_400);
        assert_eq!((request.provider.as_str(), request.page_size), ("slack", 5));
    }
}

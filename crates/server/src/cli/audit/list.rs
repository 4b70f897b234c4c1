//! `evergrant audit list`.

use std::time::Duration;

use clap::Args;
use evergrant_proto::v1::audit_service_client::AuditServiceClient;
use evergrant_proto::v1::{AuditOrder, AuditRecord, ListAuditRecordsRequest};
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::connection::{Connection, Service};
use crate::cli::exit::Failure;
use crate::cli::output::{Format, Out, Output, Printable, Table};
use crate::cli::wire::{rfc3339, to_wire};
use crate::config::duration;

const PAGE_SIZE: usize = 1_000;
/// How often it is asked for new records.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// On the wire: all tenants that the caller may read.
const ALL_TENANTS: &str = "*";

/// Arguments of `evergrant audit list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evergrant audit list --since 1h --outcome REFUSED
  evergrant audit list --tenant acme --credential slack-7
  evergrant audit list --caller billing --action GetToken --since 2026-11-01T00:00:00Z -o json
  evergrant audit list --follow")]
pub struct List {
    /// Only of this credential
    #[arg(long, default_value = "", hide_default_value = true)]
    credential: String,
    /// Only of this caller; also anonymous, unknown, evergrant
    #[arg(long, default_value = "", hide_default_value = true)]
    caller: String,
    /// Only of this action, such as GetToken or CredentialInvalidated
    #[arg(long, default_value = "", hide_default_value = true)]
    action: String,
    /// OK, a reason such as CREDENTIAL_NOT_FOUND, or REFUSED for all but OK
    #[arg(long, default_value = "", hide_default_value = true)]
    outcome: String,
    /// Only from this time on: in RFC 3339, or how long ago, such as 1h
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only what began before this time
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    before: Option<Timestamp>,
    /// At most this many; those before the first, with --follow
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
    /// The oldest first, not the newest
    #[arg(long, conflicts_with = "follow")]
    oldest_first: bool,
    /// Go on with records as they come, one a line
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Records, in the order that was asked for.
#[derive(Debug, Serialize)]
struct RecordList {
    records: Vec<RecordView>,
}

/// A record, named as in `audit_service.proto`.
#[derive(Debug, Serialize)]
struct RecordView {
    number: u64,
    at: Option<String>,
    until: Option<String>,
    count: u64,
    caller: String,
    peer: String,
    action: String,
    tenant_id: String,
    credential_id: String,
    integration_id: String,
    provider: String,
    client: String,
    generation: u64,
    outcome: String,
    detail: String,
    mac: String,
}

impl List {
    pub(super) async fn run(self, out: Out<'_>) -> Result<(), Failure> {
        let client = AuditServiceClient::new(self.connection.connect().await?);
        if self.follow {
            return self.follow(client, out).await;
        }
        let order = match self.oldest_first {
            true => AuditOrder::OldestFirst,
            false => AuditOrder::NewestFirst,
        };
        let mut client = client;
        let records = self.records(&mut client, order, 0, self.limit).await?;
        Ok(self.output.print(out, &RecordList { records })?)
    }

    async fn follow(
        self,
        mut client: AuditServiceClient<Service>,
        out: Out<'_>,
    ) -> Result<(), Failure> {
        let newest = AuditOrder::NewestFirst;
        let mut records = self.records(&mut client, newest, 0, self.limit).await?;
        records.reverse();
        let mut last = 0;
        loop {
            for record in &records {
                self.print_line(out, record)?;
                last = record.number;
            }
            tokio::time::sleep(FOLLOW_EVERY).await;
            let oldest = AuditOrder::OldestFirst;
            records = self.records(&mut client, oldest, last, PAGE_SIZE).await?;
        }
    }

    fn print_line(&self, out: Out<'_>, record: &RecordView) -> Result<(), Failure> {
        match self.output.format {
            Format::Table => {
                let mut line = Table::default();
                line.row(record.cells());
                write!(out, "{line}")?;
            }
            Format::Json => {
                serde_json::to_writer(&mut *out, record).map_err(std::io::Error::from)?;
                writeln!(out)?;
            }
        }
        Ok(out.flush()?)
    }

    async fn records(
        &self,
        client: &mut AuditServiceClient<Service>,
        order: AuditOrder,
        after: u64,
        limit: usize,
    ) -> Result<Vec<RecordView>, Failure> {
        let mut request = self.request(order, after, limit);
        let mut records = Vec::new();
        loop {
            let page = client.list_audit_records(request.clone()).await?;
            let page = page.into_inner();
            records.extend(page.records.into_iter().map(RecordView::from));
            if page.next_page_token.is_empty() || records.len() >= limit {
                records.truncate(limit);
                return Ok(records);
            }
            request.page_token = page.next_page_token;
        }
    }

    fn request(&self, order: AuditOrder, after: u64, limit: usize) -> ListAuditRecordsRequest {
        let tenant_id = match self.connection.tenant.as_str() {
            "" => ALL_TENANTS,
            one => one,
        };
        ListAuditRecordsRequest {
            tenant_id: tenant_id.to_owned(),
            credential_id: self.credential.clone(),
            caller: self.caller.clone(),
            action: self.action.clone(),
            outcome: self.outcome.clone(),
            since: self.since.map(to_wire),
            before: self.before.map(to_wire),
            after_number: after,
            order: order.into(),
            page_size: i32::try_from(limit.clamp(1, PAGE_SIZE)).expect("a page is at most 1,000"),
            page_token: String::new(),
        }
    }
}

impl From<AuditRecord> for RecordView {
    fn from(record: AuditRecord) -> Self {
        let AuditRecord {
            number,
            at,
            until,
            count,
            caller,
            peer,
            action,
            tenant_id,
            credential_id,
            integration_id,
            provider,
            client,
            generation,
            outcome,
            detail,
            mac,
        } = record;
        Self {
            number,
            at: rfc3339(at),
            until: rfc3339(until),
            count,
            caller,
            peer,
            action,
            tenant_id,
            credential_id,
            integration_id,
            provider,
            client,
            generation,
            outcome,
            detail,
            mac: mac.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

const HEADER: [&str; 9] = [
    "NUMBER", "AT", "CALLER", "FROM", "ACTION", "OF", "GEN", "OUTCOME", "COUNT",
];

impl RecordView {
    fn cells(&self) -> [String; HEADER.len()] {
        let generation = match self.generation {
            0 => String::new(),
            number => number.to_string(),
        };
        let outcome = match self.detail.as_str() {
            "" => self.outcome.clone(),
            detail => format!("{} ({detail})", self.outcome),
        };
        [
            self.number.to_string(),
            self.at.clone().unwrap_or_default(),
            self.caller.clone(),
            self.peer.clone(),
            self.action.clone(),
            self.subject(),
            generation,
            outcome,
            self.count.to_string(),
        ]
    }

    fn subject(&self) -> String {
        let name = [&self.credential_id, &self.integration_id, &self.client];
        let name = name.into_iter().find(|name| !name.is_empty());
        let owner = match self.tenant_id.as_str() {
            "" => self.provider.as_str(),
            tenant => tenant,
        };
        match name {
            Some(name) => format!("{owner}/{name}"),
            None => owner.to_owned(),
        }
    }
}

impl Printable for RecordList {
    fn table(&self) -> Table {
        let mut table = Table::with_header(&HEADER);
        for record in &self.records {
            table.row(record.cells());
        }
        table
    }
}

/// A time, or how long ago.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let wrong = || "write a time such as 2026-11-01T00:00:00Z, or how long ago, such as 1h";
    let ago = duration::parse(text).ok_or_else(wrong)?;
    let now = evergrant_core::clock::Clock::now(&crate::clock::SystemClock);
    let then = now.minus(ago).as_millis();
    Timestamp::from_millisecond(then).map_err(|_| wrong().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        list: List,
    }

    fn list(arguments: &[&str]) -> List {
        let arguments = ["list"].iter().chain(arguments);
        Program::parse_from(arguments).list
    }

    fn record(number: u64) -> RecordView {
        AuditRecord {
            number,
            at: Some(prost_types::Timestamp {
                seconds: 86_400,
                nanos: 0,
            }),
            until: None,
            count: 3,
            caller: "billing".into(),
            peer: "192.0.2.1".into(),
            action: "GetToken".into(),
            tenant_id: "acme".into(),
            credential_id: "slack-7".into(),
            generation: 4,
            outcome: "OK".into(),
            mac: vec![0, 255].into(),
            ..AuditRecord::default()
        }
        .into()
    }

    #[test]
    fn a_table_says_who_did_what_to_what() {
        let mut refused = record(8);
        refused.caller = "evergrant".into();
        refused.peer = String::new();
        refused.action = "ClientBraked".into();
        refused.tenant_id = String::new();
        refused.credential_id = String::new();
        refused.provider = "slack".into();
        refused.client = "main".into();
        refused.generation = 0;
        refused.detail = "invalid_grant".into();
        let records = vec![record(7), refused];
        let expected = "\
NUMBER  AT                    CALLER     FROM       ACTION        OF            GEN  OUTCOME             COUNT
7       1970-01-02T00:00:00Z  billing    192.0.2.1  GetToken      acme/slack-7  4    OK                  3
8       1970-01-02T00:00:00Z  evergrant             ClientBraked  slack/main         OK (invalid_grant)  3
";
        assert_eq!(RecordList { records }.table().to_string(), expected);
    }

    #[test]
    fn json_has_the_names_of_the_proto_files() {
        let json = serde_json::to_value(record(7)).unwrap();
        assert_eq!(json["credential_id"], "slack-7");
        assert_eq!(json["at"], "1970-01-02T00:00:00Z");
        assert_eq!(json["mac"], "00ff");
    }

    #[test]
    fn it_asks_for_all_tenants_unless_one_is_named() {
        let newest = AuditOrder::NewestFirst;
        let request = list(&[]).request(newest, 0, 100);
        assert_eq!((request.tenant_id.as_str(), request.page_size), ("*", 100));
        let narrow = [
            "--tenant",
            "acme",
            "--caller",
            "billing",
            "--since",
            "1970-01-02T00:00:00Z",
        ];
        let request = list(&narrow).request(newest, 9, 5_000);
        assert_eq!(
            (request.tenant_id.as_str(), request.page_size),
            ("acme", 1_000)
        );
        assert_eq!(
            (request.caller.as_str(), request.after_number),
            ("billing", 9)
        );
        assert_eq!(request.since.unwrap().seconds, 86_400);
    }

    #[test]
    fn a_time_is_one_or_how_long_ago() {
        assert!(parse_time("1h").unwrap() < parse_time("1m").unwrap());
        assert!(parse_time("yesterday").is_err());
    }
}

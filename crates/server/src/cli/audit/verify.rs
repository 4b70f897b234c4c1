//! `evergrant audit verify`: reads the whole trail in the database.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::Instant;

use crate::audit::chain::{Link, Mac};
use crate::audit::verify::{Findings, verify};
use crate::cli::exit::Failure;
use crate::cli::keys::{ring, store_failure};
use crate::cli::output::{Out, Output, Printable, Table};
use crate::cli::settings::ConfigFile;
use crate::config::Config;
use crate::config::audit::AuditMode;
use crate::store::{AuditLog, OpenedTrail};

/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// Arguments of `evergrant audit verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
It reads the store itself, beside replicas that serve, and needs the sealing keys. It exits with 1 if anything was
altered, removed, added or cut off, and says where it begins; also if nothing is on record at all. What lies below the
floor is no part of the trail, and goes when it is pruned next.

Whoever can write the database, and kept a copy of its rows, can put the trail back to where it stood then. Only a later
head that is kept elsewhere shows that: each replica logs one when it begins, every hour, and when it ends.

Examples:
  evergrant audit verify --config /etc/evergrant.toml
  evergrant audit verify --expect-head 52010:9f2c…")]
pub struct Verify {
    /// A head that was seen earlier and is not pruned yet: it must be in the trail
    #[arg(long, value_parser = parse_head, value_name = "NUMBER:MAC")]
    expect_head: Option<Link>,
    /// Verify only what is behind this head, once what is before was looked into
    #[arg(long, value_parser = parse_head, value_name = "NUMBER:MAC")]
    behind: Option<Link>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    config: ConfigFile,
}

impl Verify {
    pub(super) async fn run(self, out: Out<'_>, notes: Out<'_>) -> Result<(), Failure> {
        let config = self.config.load()?;
        let sealer = ring(&config).await?.ok();
        let opened = AuditLog::open(&config.store.url, sealer.as_ref()).await;
        let log = match opened.map_err(store_failure)? {
            OpenedTrail::Begun(log) => log,
            OpenedTrail::Headless { first, last } => {
                return self.tell(&Report::headless(first, last), out);
            }
            OpenedTrail::None => return Err(nothing(&config)),
        };
        let mut told = Instant::now();
        let (behind, expected) = (self.behind, self.expect_head);
        let findings = verify(&log, behind, expected, |read, head| {
            if told.elapsed() >= TOLD_EVERY {
                told = Instant::now();
                // Whoever does not want to know does not stop it.
                let _untold = writeln!(notes, "record {read} of {head}");
            }
        });
        let findings = findings.await;
        log.close().await;
        let findings = findings.map_err(store_failure)?;
        if findings.is_empty() {
            return Err(nothing(&config));
        }
        self.tell(&Report::of(&findings), out)
    }

    fn tell(&self, report: &Report, out: Out<'_>) -> Result<(), Failure> {
        self.output.print(out, report)?;
        report.judge()
    }
}

/// Nothing to verify is not whole: the trail may be off, elsewhere, or gone.
fn nothing(config: &Config) -> Failure {
    let why = match config.audit.mode {
        AuditMode::Off => "audit.mode is \"off\"",
        AuditMode::Available | AuditMode::Strict => {
            "have replicas served with this store.url, and audit.mode not \"off\"?"
        }
    };
    Failure::Other(format!(
        "nothing is on record in this database, so nothing was verified: {why}"
    ))
}

#[derive(Debug, Serialize)]
struct Report {
    whole: bool,
    /// Records that were read.
    records: u64,
    /// The last record before the first that is kept.
    floor: u64,
    /// The last record and its code, as `--expect-head` takes it.
    head: String,
    /// Records that found no room when they were to be written.
    lost: u64,
    faults: Vec<FaultReport>,
}

#[derive(Debug, Serialize)]
struct FaultReport {
    number: u64,
    fault: String,
}

impl Report {
    fn of(findings: &Findings) -> Self {
        let Findings {
            floor,
            head,
            read,
            faults,
            lost,
        } = findings;
        let faults: Vec<_> = faults
            .iter()
            .map(|fault| FaultReport {
                number: fault.number(),
                fault: fault.to_string(),
            })
            .collect();
        Self {
            whole: faults.is_empty(),
            records: *read,
            floor: *floor,
            head: format!("{}:{}", head.number, head.mac),
            lost: *lost,
            faults,
        }
    }

    /// Of a trail of which only records are left.
    fn headless(first: u64, last: u64) -> Self {
        let fault = format!(
            "its head was removed: nothing shows that records {first} to {last} are what was written"
        );
        Self {
            whole: false,
            records: 0,
            floor: 0,
            head: String::new(),
            lost: 0,
            faults: vec![FaultReport {
                number: first,
                fault,
            }],
        }
    }

    /// The first fault, as the one line of a failure.
    fn judge(&self) -> Result<(), Failure> {
        match self.faults.iter().min_by_key(|fault| fault.number) {
            None => Ok(()),
            Some(first) => Err(Failure::Other(format!(
                "the audit trail is not whole: {}",
                first.fault
            ))),
        }
    }
}

impl Printable for Report {
    fn table(&self) -> Table {
        let mut table = Table::default();
        let (first, last) = (self.floor + 1, self.floor + self.records);
        let records = match self.records {
            0 => "none".to_owned(),
            count if self.whole => format!("{first} to {last}, {count} in all"),
            count => format!("{count}"),
        };
        table.field("records", records);
        table.field("head", self.head.as_str());
        if self.lost > 0 {
            let lost = format!(
                "{}, for want of room when they were to be written",
                self.lost
            );
            table.field("lost", lost);
        }
        let faults = self.faults.iter().map(|fault| fault.fault.as_str());
        faults.for_each(|fault| table.field("fault", fault));
        table
    }
}

fn parse_head(text: &str) -> Result<Link, String> {
    let parts = text.split_once(':');
    let head = parts.and_then(|(number, mac)| {
        Some(Link {
            number: number.parse().ok()?,
            mac: Mac::parse(mac)?,
        })
    });
    head.ok_or_else(|| "write NUMBER:MAC, as a log line or an earlier run tells it".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::verify::Fault;

    fn findings(faults: Vec<Fault>) -> Findings {
        Findings {
            floor: 10,
            head: Link {
                number: 15,
                mac: Mac([171; 32]),
            },
            read: 5,
            faults,
            lost: 0,
        }
    }

    #[test]
    fn records_without_a_head_are_not_whole() {
        let Err(Failure::Other(why)) = Report::headless(3, 9).judge() else {
            panic!("it is not whole")
        };
        let begins = "the audit trail is not whole: its head was removed";
        assert!(why.starts_with(begins) && why.contains("3 to 9"), "{why}");
    }

    #[test]
    fn a_head_reads_back_as_it_is_told() {
        let report = Report::of(&findings(Vec::new()));
        let head = parse_head(&report.head).unwrap();
        assert_eq!((head.number, head.mac), (15, Mac([171; 32])));
        for wrong in ["", "15", "15:ab", "x:ab", &report.head[..60]] {
            assert!(parse_head(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_first_fault_is_the_failure_and_all_are_listed() {
        let report = Report::of(&findings(Vec::new()));
        assert!(report.judge().is_ok());
        let line = "records  11 to 15, 5 in all\n";
        assert!(report.table().to_string().starts_with(line));

        let faults = vec![Fault::HeadAltered(15), Fault::Altered(12)];
        let report = Report::of(&findings(faults));
        let Err(Failure::Other(why)) = report.judge() else {
            panic!("it is not whole")
        };
        assert!(
            why.starts_with("the audit trail is not whole: record 12 was altered"),
            "{why}"
        );
        assert_eq!(report.table().to_string().matches("fault").count(), 2);
    }
}

//! `[audit]`: what of disclosures, changes and refusals is kept, where, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use super::defaults;
use super::error::ConfigError;
use super::print::Printer;
use super::section::{Key, Section};
use super::writable::{check_file, check_folder};
use crate::audit::lines::Target;

const DAY: Duration = Duration::from_hours(24);

/// The audit trail.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Whether there is one, and what goes first where it cannot be written.
    pub mode: AuditMode,
    /// How long a record is kept; at least 24 h.
    pub retention: Duration,
    /// How long a record waits for others before it is written; 10 ms to 1 min.
    pub flush: Duration,
    /// Records that wait at most, on one replica.
    pub queue: u32,
    /// Where records are also written as JSON lines, if anywhere.
    pub lines: Option<Target>,
    lines_key: Key,
}

/// Whether there is a trail, and what goes first where it cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditMode {
    /// There is none.
    Off,
    /// Requests are served, and records that find no room are counted.
    Available,
    /// Nothing is disclosed or changed that is not on record.
    Strict,
}

impl AuditMode {
    const ALL: [Self; 3] = [Self::Off, Self::Available, Self::Strict];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Available => "available",
            Self::Strict => "strict",
        }
    }
}

impl Audit {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let form = "must be \"off\", \"available\" or \"strict\"";
        let (_, mode) = section.parsed("mode", defaults::AUDIT_MODE, form, |text| {
            let mut modes = AuditMode::ALL.into_iter();
            modes.find(|mode| mode.as_str() == text)
        })?;
        let lines_key = section.key_of("lines");
        let flush = Duration::from_millis(10)..=Duration::from_mins(1);
        let audit = Self {
            mode,
            retention: section.bounded(
                "retention",
                defaults::AUDIT_RETENTION,
                &(DAY..=3_650 * DAY),
            )?,
            flush: section.bounded("flush", defaults::AUDIT_FLUSH, &flush)?,
            queue: section.count("queue", defaults::AUDIT_QUEUE, 1_000..=10_000_000)?,
            lines: section
                .text("lines")?
                .and_then(|(_, text)| target(text.as_str())),
            lines_key,
        };
        section.finish()?;
        Ok(audit)
    }

    /// That the file of the lines, or one in its folder, can be written. A trail that is off has none.
    pub(super) fn check_lines(&self) -> Result<(), ConfigError> {
        match &self.lines {
            Some(Target::File(path)) if self.mode != AuditMode::Off => {
                match check_file(&self.lines_key, path)? {
                    true => Ok(()),
                    false => check_folder(&self.lines_key, path),
                }
            }
            _ => Ok(()),
        }
    }

    pub(super) fn print(&self, out: &mut Printer) {
        let Self {
            mode,
            retention,
            flush,
            queue,
            lines,
            lines_key: _,
        } = self;
        out.section("[audit]");
        out.text("mode", mode.as_str());
        out.duration("retention", *retention);
        out.duration("flush", *flush);
        out.raw("queue", queue);
        out.text(
            "lines",
            match lines {
                None => "".into(),
                Some(Target::Stdout) => "stdout".into(),
                Some(Target::Stderr) => "stderr".into(),
                Some(Target::File(path)) => path.to_string_lossy(),
            },
        );
    }
}

fn target(text: &str) -> Option<Target> {
    match text {
        "" => None,
        "stdout" => Some(Target::Stdout),
        "stderr" => Some(Target::Stderr),
        path => Some(Target::File(PathBuf::from(path))),
    }
}

//! The audit trail of a replica.

use std::sync::Arc;

use tokio::sync::watch;

use super::error::StartError;
use super::size;
use crate::audit::Audit;
use crate::audit::lines::Lines;
use crate::audit::queue::Queue;
use crate::audit::writer::{Running, Writer};
use crate::clock::SystemClock;
use crate::config::audit::{Audit as Settings, AuditMode};
use crate::store::AuditLog;

/// What is noted, and who writes it.
pub(super) struct Auditing {
    pub(super) audit: Audit,
    /// Runs to the end of the process, after everything that notes; `None` if there is no trail.
    pub(super) writer: Option<Running>,
}

/// Begins to write the trail to `log`, as `settings` say.
pub(super) fn auditing(settings: &Settings, log: &AuditLog) -> Result<Auditing, StartError> {
    if settings.mode == AuditMode::Off {
        return Ok(Auditing {
            audit: Audit::default(),
            writer: None,
        });
    }
    let lines = settings.lines.clone().map(Lines::open).transpose();
    let lines = lines.map_err(StartError::AuditLines)?;
    let queue = Arc::new(Queue::new(size(settings.queue)));
    let (told, stored) = watch::channel(0);
    let writer = Writer {
        queue: queue.clone(),
        log: log.clone(),
        lines,
        flush: settings.flush,
    };
    let is_strict = settings.mode == AuditMode::Strict;
    Ok(Auditing {
        audit: Audit::new(queue, stored, is_strict, Arc::new(SystemClock)),
        writer: Some(writer.start(told)),
    })
}

//! What is read again while a replica serves: its certificates, and who may call.
//!
//! Files are compared by what is in them, every few seconds and at once after SIGHUP, since Kubernetes replaces them by
//! moving a link. What cannot be used changes nothing: the replica goes on with what it has, and says so.

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::StartError;
use crate::config::server::Tls;
use crate::config::{Config, ConfigError, Sources};
use crate::grpc::caller::{CallerRule, Callers};
use crate::grpc::transport::{Acceptor, TlsError};

const EVERY: Duration = Duration::from_secs(5);
/// What changed is read once more after this: a file that is being written may be cut short, and good as far as it goes.
const SETTLED: Duration = Duration::from_millis(250);

/// What serves with what was read.
pub(super) struct Serving {
    pub(super) callers: Callers,
    pub(super) tls: Option<Acceptor>,
    pub(super) inbound_tls: Option<Acceptor>,
}

/// Reads again what may change.
pub(super) struct Reload {
    sources: Sources,
    current: Changeable,
    serving: Serving,
    hangup: Signal,
    /// What was said last of what cannot be used, so that it is said once.
    complaint: Option<String>,
}

/// The part of a configuration that may change while a replica serves.
#[derive(PartialEq, Eq)]
struct Changeable {
    callers: Vec<CallerRule>,
    tls: Option<Tls>,
    inbound_tls: Option<Tls>,
}

/// Why what was read is not put in place.
#[derive(Debug, Error)]
enum Refused {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("callers: {0}")]
    Callers(#[from] evergrant_providers::ClientConfigError),
    #[error("{0}.tls: {1}")]
    Tls(&'static str, TlsError),
    #[error("{0}.tls: cannot be turned on or off without a restart")]
    TlsTurned(&'static str),
    #[error("callers: without any, everyone would be trusted; that takes a restart")]
    NoCallers,
    #[error("the files cannot be read: {0}")]
    Read(#[from] tokio::task::JoinError),
}

impl Changeable {
    fn of(config: &Config) -> Self {
        let inbound = config.inbound.as_ref();
        Self {
            callers: config.callers.clone(),
            tls: config.server.tls.clone(),
            inbound_tls: inbound.and_then(|inbound| inbound.tls.clone()),
        }
    }
}

impl Reload {
    /// `config` is what `serving` serves with. From now on SIGHUP ends the process no more.
    pub(super) fn new(config: &Config, serving: Serving) -> Result<Self, StartError> {
        let hangup = signal(SignalKind::hangup());
        let hangup = hangup.map_err(|error: io::Error| StartError::Task(error.to_string()))?;
        metrics::gauge!("evergrant_reload_failing").set(0.0);
        for outcome in ["applied", "failed"] {
            metrics::counter!("evergrant_reloads_total", "outcome" => outcome).increment(0);
        }
        Ok(Self {
            sources: config.sources.clone(),
            current: Changeable::of(config),
            serving,
            hangup,
            complaint: None,
        })
    }

    /// Reads again until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let is_asked = tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => false,
                _ = self.hangup.recv() => true,
            };
            match stop.run_until_cancelled(self.read()).await {
                Some(read) => self.tell(read, is_asked),
                None => return,
            }
        }
    }

    /// Answers whether anything changed.
    async fn read(&mut self) -> Result<bool, Refused> {
        let mut next = read_again(&self.sources).await?;
        while next != self.current {
            tokio::time::sleep(SETTLED).await;
            let settled = read_again(&self.sources).await?;
            if settled == next {
                self.put_in_place(&next)?;
                self.current = next;
                return Ok(true);
            }
            next = settled;
        }
        Ok(false)
    }

    /// All of it, or nothing.
    fn put_in_place(&self, next: &Changeable) -> Result<(), Refused> {
        let Serving {
            callers,
            tls,
            inbound_tls,
        } = &self.serving;
        if next.callers.is_empty() && !self.current.callers.is_empty() {
            return Err(Refused::NoCallers);
        }
        let tls = replacement("server", tls.as_ref(), next.tls.as_ref())?;
        let inbound = replacement("inbound", inbound_tls.as_ref(), next.inbound_tls.as_ref())?;
        callers.replace(next.callers.clone())?;
        for replace in [tls, inbound].into_iter().flatten() {
            replace();
        }
        Ok(())
    }

    fn tell(&mut self, read: Result<bool, Refused>, is_asked: bool) {
        let complaint = match read {
            Ok(has_changed) => {
                if has_changed {
                    metrics::counter!("evergrant_reloads_total", "outcome" => "applied")
                        .increment(1);
                }
                if has_changed || is_asked {
                    let callers = self.current.callers.len();
                    info!(has_changed, callers, "read certificates and callers again");
                } else if self.complaint.is_some() {
                    info!("the configuration is what is served again");
                }
                None
            }
            Err(why) => Some(why.to_string()),
        };
        metrics::gauge!("evergrant_reload_failing").set(f64::from(u8::from(complaint.is_some())));
        if let Some(why) = &complaint
            && (is_asked || complaint != self.complaint)
        {
            metrics::counter!("evergrant_reloads_total", "outcome" => "failed").increment(1);
            error!(error = why, "certificates and callers stay as they are");
        }
        self.complaint = complaint;
    }
}

async fn read_again(sources: &Sources) -> Result<Changeable, Refused> {
    let sources = sources.clone();
    let config = tokio::task::spawn_blocking(move || sources.read_again()).await??;
    Ok(Changeable::of(&config))
}

fn replacement(
    section: &'static str,
    serving: Option<&Acceptor>,
    next: Option<&Tls>,
) -> Result<Option<impl FnOnce() + use<>>, Refused> {
    match (serving, next) {
        (Some(serving), Some(next)) => {
            let replacement = serving.replacement(next);
            let replacement = replacement.map_err(|error| Refused::Tls(section, error))?;
            Ok(Some(replacement))
        }
        (None, None) => Ok(None),
        _ => Err(Refused::TlsTurned(section)),
    }
}

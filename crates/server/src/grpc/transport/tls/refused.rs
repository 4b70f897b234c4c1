//! Handshakes that failed: counted, and told of at most once a second, since anybody can open connections.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Listener;

/// Between two lines.
const QUIET: Duration = Duration::from_secs(1);

/// Why a handshake failed, as the label `cause` of `evergrant_tls_handshakes_failed_total` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The client shows no certificate, and must.
    NoCertificate,
    /// It shows one that is not accepted.
    Certificate,
    /// It does not speak TLS.
    NotTls,
    /// It broke off: it does not trust the certificate of this server, for example.
    Client,
    /// It took too long.
    Timeout,
    /// Anything else, such as no protocol that both speak.
    Other,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::NoCertificate,
        Self::Certificate,
        Self::NotTls,
        Self::Client,
        Self::Timeout,
        Self::Other,
    ];

    /// The value of the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::Certificate => "certificate",
            Self::NotTls => "not_tls",
            Self::Client => "client",
            Self::Timeout => "timeout",
            Self::Other => "other",
        }
    }
}

/// Tells of the failed handshakes of one listener.
#[derive(Debug)]
pub(super) struct Refusals {
    listener: Listener,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    /// How many failed after that.
    since: u64,
}

impl Refusals {
    pub(super) fn of(listener: Listener) -> Self {
        Self {
            listener,
            told: Mutex::default(),
        }
    }

    /// A handshake with `address` failed. One that was broken off without a word is none: probes do that.
    pub(super) fn failed(&self, address: SocketAddr, error: &io::Error) {
        let found = error.get_ref().and_then(|inner| inner.downcast_ref());
        match found {
            Some(error) => {
                let (cause, why) = cause_of(error);
                self.tell(address, cause, &why);
            }
            None => debug!(%address, %error, "a handshake was broken off"),
        }
    }

    /// A handshake with `address` had not ended when its time was over.
    pub(super) fn timed_out(&self, address: SocketAddr) {
        self.tell(address, Cause::Timeout, "it took too long");
    }

    fn tell(&self, address: SocketAddr, cause: Cause, error: &str) {
        let listener = self.listener.name();
        metrics::counter!(
            "evergrant_tls_handshakes_failed_total",
            "listener" => listener,
            "cause" => cause.as_str()
        )
        .increment(1);
        match self.due() {
            Some(count) => warn!(listener, %address, error, count, "a TLS handshake failed"),
            None => debug!(listener, %address, error, "a TLS handshake failed"),
        }
    }

    /// How many failed since the last line, this one included, if it is time for a line.
    fn due(&self) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.since += 1;
        if told.last.is_some_and(|last| last.elapsed() < QUIET) {
            return None;
        }
        told.last = Some(Instant::now());
        Some(std::mem::take(&mut told.since))
    }
}

fn cause_of(error: &Error) -> (Cause, String) {
    let because = |cause, why: &str| (cause, why.to_owned());
    match error {
        Error::NoCertificatesPresented => {
            because(Cause::NoCertificate, "the client shows no certificate")
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => because(
            Cause::Certificate,
            "the client's certificate is of no authority in client_ca",
        ),
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => because(Cause::Certificate, "the client's certificate has expired"),
        Error::InvalidCertificate(why) => (
            Cause::Certificate,
            format!("the client's certificate is not accepted: {why}"),
        ),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            because(Cause::NotTls, "the client does not speak TLS")
        }
        Error::AlertReceived(AlertDescription::UnknownCA) => because(
            Cause::Client,
            "the client does not know the authority of this server's certificate",
        ),
        Error::AlertReceived(why) => (Cause::Client, format!("the client broke off: {why:?}")),
        other => (Cause::Other, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_failures_are_one_line_a_second_with_their_count() {
        let refusals = Refusals::of(Listener::Grpc);
        assert_eq!(refusals.due(), Some(1));
        for _ in 0..100 {
            assert_eq!(refusals.due(), None);
        }
        tokio::time::advance(QUIET).await;
        assert_eq!(refusals.due(), Some(101));
        tokio::time::advance(QUIET / 2).await;
        assert_eq!(refusals.due(), None);
    }
}

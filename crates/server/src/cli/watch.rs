//! `evergrant watch`: events as they come, over every reconnect, with proof that none is missing.

mod coverage;
mod event_view;
mod reconnect;

use std::time::Duration;

use clap::Args;
use evergrant_proto::v1::event_service_client::EventServiceClient;
use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::{EventType, WatchRequest, WatchResponse};
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use self::coverage::Coverage;
use self::event_view::{EventView, line};
use self::reconnect::{Backoff, Step, step};
use super::connection::{Connection, parse_duration};
use super::exit::Failure;
use super::output::{Format, Out, Output};
use super::status_line::{reason, retry_delay, status_line};
use super::wire::{duration_from_wire, duration_to_wire, full};

/// So many streams in a row, from the first on, that end before a word of an Evergrant: the server is none.
const STRANGE_STREAMS: u32 = 5;

/// A stream that is silent for this many heartbeat intervals is given up.
const SILENT_INTERVALS: u32 = 3;

/// Arguments of `evergrant watch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evergrant watch
  evergrant watch --type credential-invalidated -o json | while read -r event; do …; done
  evergrant watch --skip-snapshot --once          # wait for the next event
  evergrant watch --after \"$cursor\" -o json       # go on after the last message that was acted on

It connects again by itself, and starts over with a snapshot if events after the cursor are no longer kept.
Notes about that go to standard error. If the server leaves out an event, that is an error.")]
pub struct Watch {
    /// Cursor of the last message that was acted on: go on right after it
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "CURSOR"
    )]
    after: String,
    /// Without --after: begin with what happens from now on
    #[arg(long)]
    skip_snapshot: bool,
    /// Only this credential; may be given several times
    #[arg(long = "credential", value_name = "CREDENTIAL")]
    credentials: Vec<String>,
    /// Only this provider; may be given several times
    #[arg(long = "provider", value_name = "PROVIDER")]
    providers: Vec<String>,
    /// Only this kind of event, e.g. credential-invalidated; may be given several times
    #[arg(long = "type", value_parser = event_type, value_name = "TYPE")]
    types: Vec<EventType>,
    /// Longest silence before the server shows that it is there: 1s to 5m
    #[arg(long, default_value = "15s", value_parser = parse_heartbeat, value_name = "DURATION")]
    heartbeat: Duration,
    /// Also print heartbeats, whose cursor is as good as an event's
    #[arg(long)]
    heartbeats: bool,
    /// End after this many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after one event
    #[arg(long, conflicts_with = "count")]
    once: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// How far the watch is.
struct Progress {
    cursor: String,
    skip_snapshot: bool,
    coverage: Coverage,
    events_left: Option<u64>,
    /// Streams that ended so far; `None` once an Evergrant spoke.
    strange: Option<u32>,
}

/// Why a stream is over.
enum End {
    /// All events that were asked for were printed.
    Done,
    /// The server or the transport ended it, after a Closing message if there is a delay.
    Closed {
        status: Status,
        reconnect_after: Option<Duration>,
        lived: Option<Duration>,
    },
}

impl Watch {
    /// Prints events until as many came as were asked for. Notes go to `notes`.
    pub async fn run(self, out: Out<'_>, notes: Out<'_>) -> Result<(), Failure> {
        let mut progress = Progress {
            cursor: self.after.clone(),
            skip_snapshot: self.skip_snapshot,
            coverage: Coverage::default(),
            events_left: if self.once { Some(1) } else { self.count },
            strange: Some(0),
        };
        let mut backoff = Backoff::default();
        // Who cannot be reached at all is told so at once; who was there before is waited for.
        let mut service = Some(self.connection.connect_for_stream().await?);
        loop {
            let connected = match service.take() {
                Some(service) => Ok(service),
                None => self.connection.connect_for_stream().await,
            };
            let end = match connected {
                Ok(service) => {
                    let client = EventServiceClient::new(service);
                    self.stream(client, &mut progress, out).await?
                }
                Err(Failure::Unreachable(why)) => End::Closed {
                    status: Status::unavailable(why),
                    reconnect_after: None,
                    lived: None,
                },
                Err(failure) => return Err(failure),
            };
            let (status, hint, lived) = match end {
                End::Done => return Ok(()),
                End::Closed {
                    status,
                    reconnect_after,
                    lived,
                } => (status, reconnect_after, lived),
            };
            if progress.is_strange(lived, &status) {
                return Err(Failure::Unreachable(format!(
                    "what answers there seems to be no Evergrant: {}",
                    status_line(&status)
                )));
            }
            match step(&status) {
                Step::Reconnect => {}
                Step::Snapshot => progress.start_over(),
                Step::GiveUp => return Err(status.into()),
            }
            let delay = backoff.delay(hint.or_else(|| retry_delay(&status)), lived);
            let what = match step(&status) {
                Step::Snapshot => "events may have been missed, so a snapshot comes next",
                _ => "connecting again",
            };
            writeln!(
                notes,
                "evergrant: {}; {what}",
                status_line(&status).replace(char::is_control, " ")
            )?;
            sleep(delay).await;
        }
    }

    /// One stream from its request to its end.
    async fn stream(
        &self,
        mut client: EventServiceClient<super::connection::Service>,
        progress: &mut Progress,
        out: Out<'_>,
    ) -> Result<End, Failure> {
        if progress.cursor.is_empty() {
            // A snapshot begins wherever the log stands now, not where one that broke off began.
            progress.coverage = Coverage::default();
        }
        let begun = Instant::now();
        let silence = self.heartbeat * SILENT_INTERVALS;
        let mut reconnect_after = None;
        let mut lived = None;
        let mut stream = None;
        let status = loop {
            let next = async {
                if stream.is_none() {
                    let answer = client.watch(self.request(progress)).await?;
                    stream = Some(answer.into_inner());
                }
                let stream = stream.as_mut().expect("it was opened above");
                stream.message().await
            };
            let message = match timeout(silence, next).await {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => break Status::unavailable("the stream ended without a reason"),
                Ok(Err(status)) => break status,
                Err(_) => break Status::unavailable("the server was silent for three heartbeats"),
            };
            lived = Some(begun.elapsed());
            if let Some(Event::Closing(closing)) = &message.event {
                reconnect_after = duration_from_wire(closing.reconnect_after);
            }
            if self.take(message, progress, out)? {
                return Ok(End::Done);
            }
        };
        Ok(End::Closed {
            status,
            reconnect_after,
            lived,
        })
    }

    /// Checks, prints and remembers a message, in this order: what was not printed is asked for again.
    fn take(
        &self,
        message: WatchResponse,
        progress: &mut Progress,
        out: Out<'_>,
    ) -> Result<bool, Failure> {
        progress.coverage.admit(&message)?;
        let cursor = message.cursor.clone();
        let (is_event, is_shown) = match &message.event {
            Some(Event::Heartbeat(_)) => (false, self.heartbeats),
            Some(Event::Closing(_)) | None => (false, false),
            Some(Event::SnapshotEnd(_)) => (false, true),
            Some(_) => (true, true),
        };
        if is_shown {
            let view = EventView::from(message);
            match self.output.format {
                Format::Table => writeln!(out, "{}", line(&view))?,
                Format::Json => {
                    serde_json::to_writer(&mut *out, &view).map_err(std::io::Error::from)?;
                    writeln!(out)?;
                }
            }
            out.flush()?;
        }
        if !cursor.is_empty() {
            progress.cursor = cursor;
        }
        if let (true, Some(left)) = (is_event, &mut progress.events_left) {
            *left -= 1;
        }
        Ok(progress.events_left == Some(0))
    }

    fn request(&self, progress: &Progress) -> WatchRequest {
        WatchRequest {
            tenant_id: self.connection.tenant.clone(),
            after: progress.cursor.clone(),
            skip_snapshot: progress.skip_snapshot && progress.cursor.is_empty(),
            credential_ids: self.credentials.clone(),
            providers: self.providers.clone(),
            types: self.types.iter().map(|kind| (*kind).into()).collect(),
            heartbeat_interval: Some(duration_to_wire(self.heartbeat)),
        }
    }
}

impl Progress {
    /// Takes note of a stream's end. Whether nothing that ever came was an Evergrant's word.
    fn is_strange(&mut self, lived: Option<Duration>, status: &Status) -> bool {
        let spoke = lived.is_some() || reason(status).is_some();
        self.strange = self.strange.filter(|_| !spoke).map(|streams| streams + 1);
        self.strange
            .is_some_and(|streams| streams >= STRANGE_STREAMS)
    }

    /// Forgets the cursor: the next stream begins with a snapshot even if none was asked for at first, since
    /// only a snapshot makes up for what was missed.
    fn start_over(&mut self) {
        self.cursor.clear();
        self.skip_snapshot = false;
    }
}

fn parse_heartbeat(text: &str) -> Result<Duration, String> {
    let range = Duration::from_secs(1)..=Duration::from_mins(5);
    parse_duration(text).and_then(|found| match range.contains(&found) {
        true => Ok(found),
        false => Err("write a duration from 1s to 5m".into()),
    })
}

fn event_type(text: &str) -> Result<EventType, String> {
    EventType::from_str_name(&full(text, "EVENT_TYPE_"))
        .filter(|found| *found != EventType::Unspecified)
        .ok_or_else(|| {
            "write credential-invalidated, credential-restored, credential-deleted, \
             integration-status-changed, reauthorization-due, client-rejected, client-recovered, \
             client-braked or client-released"
                .into()
        })
}

#[cfg(test)]
mod tests;

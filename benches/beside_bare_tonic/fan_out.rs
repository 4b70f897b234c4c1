//! One event to ten thousand streams, beside a broadcast channel.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use evergrant_proto::v1::credential_service_client::CredentialServiceClient;
use evergrant_proto::v1::event_service_client::EventServiceClient;
use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::{
    InvalidateCredentialRequest, ReconnectCredentialRequest, WatchRequest, WatchResponse,
};
use futures_util::future::try_join_all;
use tonic::Streaming;

use crate::figures::ratio;
use crate::server::{CREDENTIAL, Server, material};

const CONNECTIONS: usize = 100;
const STREAMS_A_CONNECTION: usize = 100;
/// Opened before memory is measured.
const WARM_CONNECTIONS: usize = 10;
const ROUNDS: usize = 10;

/// What the rounds of one server add up to.
#[derive(Default)]
struct Sum {
    processor: Duration,
    wall: Duration,
}

/// A server with its open streams.
struct Watched {
    server: Server,
    control: CredentialServiceClient<tonic::transport::Channel>,
    streams: Vec<Streaming<WatchResponse>>,
    memory_a_stream: f64,
    sum: Sum,
}

/// Compares both servers in turn.
pub async fn run() -> Result<()> {
    let evergrant = Server::evergrant()?;
    evergrant.store().await?;
    let mut ours = Watched::open(evergrant).await?;
    let mut theirs = Watched::open(Server::bare()?).await?;
    for round in 0..=ROUNDS {
        for watched in [&mut ours, &mut theirs] {
            let measured = watched.tell().await?;
            // The first round warms both up.
            if round > 0 {
                watched.sum.processor += measured.processor;
                watched.sum.wall += measured.wall;
            }
        }
    }
    let streams = ours.streams.len();
    println!("one event to {streams} streams over {CONNECTIONS} connections, {ROUNDS} times");
    let per_event = |sum: Duration| sum / u32::try_from(ROUNDS * streams).unwrap_or(u32::MAX);
    ratio(
        "server processor time a message",
        per_event(ours.sum.processor),
        per_event(theirs.sum.processor),
    );
    ratio("time until all have it", ours.sum.wall, theirs.sum.wall);
    println!(
        "  {:<34} evergrant {:>8.1} B   bare {:>8.1} B   ratio {:.2}",
        "memory a stream",
        ours.memory_a_stream,
        theirs.memory_a_stream,
        ours.memory_a_stream / theirs.memory_a_stream
    );
    Ok(())
}

impl Watched {
    async fn open(server: Server) -> Result<Self> {
        let channels = server.channels(CONNECTIONS).await?;
        let mut before = 0;
        let mut streams = Vec::with_capacity(CONNECTIONS * STREAMS_A_CONNECTION);
        for (number, channel) in channels.iter().enumerate() {
            // What a server needs once and for all is not the price of a stream.
            if number == WARM_CONNECTIONS {
                before = server.memory()?;
            }
            let client = EventServiceClient::new(channel.clone());
            let opened = (0..STREAMS_A_CONNECTION).map(|_| {
                let mut client = client.clone();
                async move {
                    let mut stream = client.watch(WatchRequest::default()).await?.into_inner();
                    until(&mut stream, |event| matches!(event, Event::SnapshotEnd(_))).await?;
                    anyhow::Ok(stream)
                }
            });
            streams.extend(try_join_all(opened).await?);
        }
        let memory = server.memory()?.saturating_sub(before);
        Ok(Self {
            control: CredentialServiceClient::new(server.channels(1).await?.remove(0)),
            memory_a_stream: memory as f64
                / ((CONNECTIONS - WARM_CONNECTIONS) * STREAMS_A_CONNECTION) as f64,
            server,
            streams,
            sum: Sum::default(),
        })
    }

    /// Lets one event happen, and waits until every stream has it.
    async fn tell(&mut self) -> Result<Sum> {
        let before = self.server.processor_time()?;
        let began = Instant::now();
        let invalidate = InvalidateCredentialRequest {
            credential_id: CREDENTIAL.to_owned(),
            message: "by the benchmark".to_owned(),
            ..InvalidateCredentialRequest::default()
        };
        self.control.invalidate_credential(invalidate).await?;
        let all = self.streams.iter_mut().map(|stream| {
            until(stream, |event| {
                matches!(event, Event::CredentialInvalidated(_))
            })
        });
        try_join_all(all).await?;
        let measured = Sum {
            wall: began.elapsed(),
            processor: self.server.processor_time()?.saturating_sub(before),
        };
        // Not measured: back to life for the next round.
        let reconnect = ReconnectCredentialRequest {
            credential_id: CREDENTIAL.to_owned(),
            material: Some(material()),
            ..ReconnectCredentialRequest::default()
        };
        let answer = self.control.reconnect_credential(reconnect).await?;
        if answer.into_inner().credential.is_some() {
            let all = self.streams.iter_mut().map(|stream| {
                until(stream, |event| {
                    matches!(event, Event::CredentialRestored(_))
                })
            });
            try_join_all(all).await?;
        }
        Ok(measured)
    }
}

async fn until(
    stream: &mut Streaming<WatchResponse>,
    wanted: impl Fn(&Event) -> bool,
) -> Result<()> {
    loop {
        let message = stream.message().await?.context("the stream goes on")?;
        if message.event.as_ref().is_some_and(&wanted) {
            return Ok(());
        }
    }
}

//! A token that is answered from memory, beside an answer that a bare server always has.

use std::time::{Duration, Instant};

use anyhow::Result;
use evergrant_proto::v1::token_service_client::TokenServiceClient;
use evergrant_proto::v1::{GetTokenRequest, GetTokenResponse, Header};
use futures_util::future::try_join_all;
use prost_types::Timestamp;
use tonic::transport::Channel;

use crate::figures::ratio;
use crate::server::{CREDENTIAL, Server, token};

const CONNECTIONS: usize = 8;
const CALLERS_A_CONNECTION: usize = 8;
const REQUESTS_A_ROUND: usize = 64_000;
const ROUNDS: usize = 6;

/// What the rounds of one server add up to.
#[derive(Default)]
struct Sum {
    requests: usize,
    processor: Duration,
    wall: Duration,
    latencies: Vec<Duration>,
}

/// Compares both servers in turn, so that noise of the machine meets both.
pub async fn run() -> Result<()> {
    let evergrant = Server::evergrant()?;
    let bare = Server::bare()?;
    evergrant.store().await?;
    let (mut ours, mut theirs) = (Sum::default(), Sum::default());
    for round in 0..=ROUNDS {
        for (server, sum) in [(&evergrant, &mut ours), (&bare, &mut theirs)] {
            let measured = load(server).await?;
            // The first round warms both up.
            if round > 0 {
                sum.add(measured);
            }
        }
    }
    println!(
        "hot GetToken, {CONNECTIONS} connections, {CALLERS_A_CONNECTION} callers on each, {} requests",
        ours.requests
    );
    ratio(
        "server processor time a request",
        ours.processor_a_request(),
        theirs.processor_a_request(),
    );
    ratio("latency, median", ours.latency(0.5), theirs.latency(0.5));
    ratio(
        "latency, 99th percentile",
        ours.latency(0.99),
        theirs.latency(0.99),
    );
    ratio("time for all", ours.wall, theirs.wall);
    Ok(())
}

/// What both servers answer, but for the rest of the token's life.
pub fn answer() -> GetTokenResponse {
    GetTokenResponse {
        access_token: token(),
        token_type: "Bearer".to_owned(),
        expires_at: Some(Timestamp {
            seconds: 1_900_000_000,
            nanos: 123_000_000,
        }),
        expires_in: Some(prost_types::Duration {
            seconds: 3_599,
            nanos: 876_543_210,
        }),
        generation: 1,
        header: Some(Header {
            name: "Authorization".to_owned(),
            value: format!("Bearer {}", token()),
        }),
        ..GetTokenResponse::default()
    }
}

async fn load(server: &Server) -> Result<Sum> {
    let channels = server.channels(CONNECTIONS).await?;
    let callers = channels
        .iter()
        .flat_map(|channel| std::iter::repeat_n(channel, CALLERS_A_CONNECTION))
        .map(|channel| tokio_task(ask(channel.clone())));
    let before = server.processor_time()?;
    let began = Instant::now();
    let latencies = try_join_all(callers).await?;
    let wall = began.elapsed();
    let processor = server.processor_time()?.saturating_sub(before);
    let latencies: Vec<_> = latencies.into_iter().collect::<Result<Vec<_>>>()?.concat();
    Ok(Sum {
        requests: latencies.len(),
        processor,
        wall,
        latencies,
    })
}

async fn ask(channel: Channel) -> Result<Vec<Duration>> {
    let requests = REQUESTS_A_ROUND / CONNECTIONS / CALLERS_A_CONNECTION;
    let mut client = TokenServiceClient::new(channel);
    let mut latencies = Vec::with_capacity(requests);
    for _ in 0..requests {
        let request = GetTokenRequest {
            credential_id: CREDENTIAL.to_owned(),
            ..GetTokenRequest::default()
        };
        let began = Instant::now();
        client.get_token(request).await?;
        latencies.push(began.elapsed());
    }
    Ok(latencies)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark has no lifecycle")]
fn tokio_task<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(work)
}

impl Sum {
    fn add(&mut self, more: Self) {
        self.requests += more.requests;
        self.processor += more.processor;
        self.wall += more.wall;
        self.latencies.extend(more.latencies);
        self.latencies.sort_unstable();
    }

    fn processor_a_request(&self) -> Duration {
        self.processor / u32::try_from(self.requests).unwrap_or(u32::MAX)
    }

    fn latency(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies[(last as f64 * share) as usize]
    }
}

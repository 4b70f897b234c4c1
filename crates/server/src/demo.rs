//! `evergrant demo`: the main job in one minute. A real server on embedded defaults, a strict provider beside it, and
//! every figure measured in the run that prints it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use evergrant_proto::v1::credential_service_client::CredentialServiceClient;
use evergrant_proto::v1::event_service_client::EventServiceClient;
use evergrant_proto::v1::token_service_client::TokenServiceClient;
use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::{self, WatchResponse};
use evergrant_providers::sandbox::{Control, GrantSpec, NewGrant, Sandbox, SandboxOptions};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::app::ServeError;
use crate::config::Config;
use crate::lifecycle::Lifecycle;
use crate::replica::Replica;

const CREDENTIAL: &str = "demo";
const CALLERS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// Shows the main job, and stays up afterwards if `keep` is set.
pub async fn run(metrics: PrometheusHandle, keep: bool) -> Result<(), ServeError> {
    let folder = Folder::make()?;
    let life = Lifecycle::new();
    let listen = ([127, 0, 0, 1], 0).into();
    let sandbox = Sandbox::start(SandboxOptions { listen }, life.stop())
        .await
        .map_err(failed)?;
    let config = folder.config(&sandbox)?;
    let began = Instant::now();
    let replica = Replica::start(&config, metrics, life.clone()).await?;
    say(&format!(
        "A server on SQLite is up after {:.0} ms, and a strict provider beside it:\n  a refresh token is good once, and using it again revokes the grant.",
        began.elapsed().as_secs_f64() * 1_000.0
    ));

    let channel = Channel::from_shared(format!("http://{}", replica.grpc()))
        .map_err(failed)?
        .connect()
        .await
        .map_err(failed)?;
    let story = Story {
        channel,
        control: sandbox.control(),
    };
    story.tell().await?;
    if !keep {
        say("\nTo try it yourself, run evergrant demo --keep, which stays up.");
        life.drain();
        return Ok(replica.finish().await?);
    }
    say("\nTry it yourself:");
    say(&format!(
        "  evergrant connect sandbox --server http://{}",
        replica.grpc()
    ));
    say(&format!(
        "  grpcurl -plaintext -d '{{\"credential_id\":\"{CREDENTIAL}\"}}' {0} evergrant.v1.TokenService/GetToken\n  grpcurl -plaintext -d '{{}}' {0} evergrant.v1.EventService/Watch",
        replica.grpc()
    ));
    life.until_signalled().await.map_err(failed)?;
    life.drain();
    Ok(replica.finish().await?)
}

struct Story {
    channel: Channel,
    control: Control,
}

impl Story {
    async fn tell(&self) -> Result<(), ServeError> {
        let grant = self.grant()?;
        self.create(&grant).await?;
        say(&format!(
            "\n{CALLERS} callers ask at once for a token that has expired."
        ));
        let calls_before = self.refreshes();
        let began = Instant::now();
        let generations = self.ask_all().await?;
        let took = began.elapsed();
        let calls = self.refreshes() - calls_before;
        let distinct: std::collections::BTreeSet<_> = generations.iter().collect();
        say(&format!(
            "  {} answers in {:.0} ms, {} distinct token, {calls} call to the provider.",
            generations.len(),
            took.as_secs_f64() * 1_000.0,
            distinct.len()
        ));

        say("\nThe user revokes the grant at the provider; a caller reports the refused token.");
        let mut events = self.watch().await?;
        self.control.revoke_grant(&grant.family).map_err(failed)?;
        let began = Instant::now();
        let current = generations.first().copied().unwrap_or_default();
        let refused = self.get(Some(current)).await;
        let event = next(&mut events, |event| {
            matches!(event, Event::CredentialInvalidated(_))
        })
        .await?;
        say(&format!(
            "  CredentialInvalidated arrived after {:.0} ms.",
            began.elapsed().as_secs_f64() * 1_000.0
        ));
        if let Event::CredentialInvalidated(event) = event {
            say(&format!(
                "  provider_error={} generation={}",
                event.provider_error, event.generation
            ));
        }
        if let Err(refusal) = refused {
            say(&format!("  The caller got {refusal}"));
        }
        let calls_before = self.refreshes();
        for _ in 0..CALLERS {
            if self.get(None).await.is_ok() {
                return Err(ServeError::Failed(
                    "a dead grant answered with a token".into(),
                ));
            }
        }
        let calls = self.refreshes() - calls_before;
        say(&format!(
            "  {CALLERS} more requests for the dead grant made {calls} calls to the provider."
        ));

        say("\nThe user connects again.");
        let grant = self.grant()?;
        let began = Instant::now();
        self.reconnect(&grant).await?;
        next(&mut events, |event| {
            matches!(event, Event::CredentialRestored(_))
        })
        .await?;
        say(&format!(
            "  CredentialRestored arrived after {:.0} ms.",
            began.elapsed().as_secs_f64() * 1_000.0
        ));
        let answer = self.get(None).await.map_err(failed)?;
        say(&format!(
            "  The next request has a token of generation {}.",
            answer.generation
        ));
        Ok(())
    }

    fn grant(&self) -> Result<NewGrant, ServeError> {
        self.control
            .create_grant(GrantSpec::default())
            .map_err(failed)
    }

    fn refreshes(&self) -> usize {
        self.control.ledger().token_requests().count()
    }

    async fn create(&self, grant: &NewGrant) -> Result<(), ServeError> {
        let credential = v1::Credential {
            credential_id: CREDENTIAL.into(),
            provider: "sandbox".into(),
            ..v1::Credential::default()
        };
        let request = v1::CreateCredentialRequest {
            credential: Some(credential),
            material: Some(v1::TokenMaterial {
                // It expired a while ago, so that the first request must refresh it.
                expires_at: Some(prost_types::Timestamp {
                    seconds: 1,
                    nanos: 0,
                }),
                ..material(grant)
            }),
        };
        let mut client = CredentialServiceClient::new(self.channel.clone());
        client.create_credential(request).await.map_err(failed)?;
        Ok(())
    }

    async fn reconnect(&self, grant: &NewGrant) -> Result<(), ServeError> {
        let request = v1::ReconnectCredentialRequest {
            credential_id: CREDENTIAL.into(),
            material: Some(material(grant)),
            ..v1::ReconnectCredentialRequest::default()
        };
        let mut client = CredentialServiceClient::new(self.channel.clone());
        client.reconnect_credential(request).await.map_err(failed)?;
        Ok(())
    }

    /// An answer, or the refusal in words.
    async fn get(&self, refused: Option<u64>) -> Result<v1::GetTokenResponse, String> {
        use v1::get_token_request::Rejected;
        let request = v1::GetTokenRequest {
            credential_id: CREDENTIAL.into(),
            rejected: refused.map(Rejected::RejectedGeneration),
            ..v1::GetTokenRequest::default()
        };
        let mut client = TokenServiceClient::new(self.channel.clone());
        match client.get_token(request).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(format!("{:?}: {}", status.code(), status.message())),
        }
    }

    /// The generations that all callers got.
    async fn ask_all(&self) -> Result<Vec<u64>, ServeError> {
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let caller = Self {
                channel: self.channel.clone(),
                control: self.control.clone(),
            };
            callers.spawn(async move { caller.get(None).await });
        }
        let answers: Result<Vec<_>, _> = callers.join_all().await.into_iter().collect();
        Ok(answers
            .map_err(failed)?
            .iter()
            .map(|answer| answer.generation)
            .collect())
    }

    async fn watch(&self) -> Result<tonic::Streaming<WatchResponse>, ServeError> {
        let mut client = EventServiceClient::new(self.channel.clone());
        let mut events = client
            .watch(v1::WatchRequest::default())
            .await
            .map_err(failed)?
            .into_inner();
        next(&mut events, |event| matches!(event, Event::SnapshotEnd(_))).await?;
        Ok(events)
    }
}

fn material(grant: &NewGrant) -> v1::TokenMaterial {
    v1::TokenMaterial {
        access_token: grant.access_token.expose().to_owned(),
        refresh_token: grant.refresh_token.expose().to_owned(),
        ..v1::TokenMaterial::default()
    }
}

async fn next(
    events: &mut tonic::Streaming<WatchResponse>,
    is_wanted: impl Fn(&Event) -> bool,
) -> Result<Event, ServeError> {
    let wait = async {
        while let Some(message) = events.message().await.map_err(failed)? {
            if let Some(event) = message.event.filter(|event| is_wanted(event)) {
                return Ok(event);
            }
        }
        Err(ServeError::Failed("the stream ended".into()))
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| Err(ServeError::Failed("an event did not arrive".into())))
}

/// A folder of this run alone, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self, ServeError> {
        let name = format!("evergrant-demo-{}", uuid::Uuid::new_v4().simple());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).map_err(failed)?;
        Ok(Self(path))
    }

    fn config(&self, sandbox: &Sandbox) -> Result<Config, ServeError> {
        let own = self.0.join("providers.d");
        std::fs::create_dir(&own).map_err(failed)?;
        let entry = sandbox.catalogue_entry("sandbox");
        std::fs::write(own.join("sandbox.toml"), entry).map_err(failed)?;
        let settings = [
            ("EVERGRANT__SERVER__LISTEN", "127.0.0.1:0".to_owned()),
            ("EVERGRANT__SERVER__ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            (
                "EVERGRANT__STORE__URL",
                format!("sqlite://{}", self.0.join("demo.db").display()),
            ),
            ("EVERGRANT__PROVIDERS__DIR", own.display().to_string()),
            ("EVERGRANT__CLIENTS__DEMO__PROVIDER", "sandbox".to_owned()),
            ("EVERGRANT__CLIENTS__DEMO__CLIENT_ID", "sandbox".to_owned()),
            (
                "EVERGRANT__CLIENTS__DEMO__CLIENT_SECRET",
                "sandbox-secret".to_owned(),
            ),
            (
                "EVERGRANT__CLIENTS__DEMO__REDIRECT_URIS",
                "http://127.0.0.1/callback".to_owned(),
            ),
        ];
        let settings = settings
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        Ok(Config::load(None, settings, Vec::new())?)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning of its temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn say(line: &str) {
    println!("{line}");
}

fn failed(error: impl std::fmt::Display) -> ServeError {
    ServeError::Failed(error.to_string())
}

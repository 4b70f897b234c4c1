//! A provider that refuses every grant at once: what it says is held until an operator has looked.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use evergrant_proto::v1::provider_service_client::ProviderServiceClient;
use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::{CredentialState, ListProvidersRequest, ProviderClient};
use evergrant_providers::sandbox::{Fault, FaultRule};
use tonic::Code;

use crate::harness::caller::reason;
use crate::harness::eventually::eventually;
use crate::harness::process::Process;
use crate::harness::replica::Replica;
use crate::harness::scene::{CLIENT, PROVIDER, SOON, Scene};
use crate::harness::watcher::{Watcher, everything};

const CREDENTIALS: usize = 40;
/// So many die before the tenth refusal engages the brake.
const BELIEVED: usize = 9;
/// Held grants are tried again within half a minute.
const RETRIED: Duration = Duration::from_secs(50);

/// A stage on which the provider has refused all grants, and all but nine are held.
struct Braked {
    scene: Scene,
    replicas: [Replica; 2],
    watcher: Watcher,
}

impl Braked {
    async fn start() -> Result<Self> {
        let scene = Scene::without_redis().await?;
        let refusal = Fault::FlakyInvalidGrant {
            probability: 1.0,
            seed: 1,
        };
        scene
            .sandbox
            .control()
            .add_fault(FaultRule::always(refusal))?;
        let replicas: [_; 2] = scene.replicas().await?;
        let watcher = Watcher::start(&replicas[1], everything()).await?;
        for number in 0..CREDENTIALS {
            scene.expired_credential(&replicas[0], &id(number)).await?;
        }
        let braked =
            |event: &Event| matches!(event, Event::ClientBraked(told) if told.client == CLIENT);
        watcher.wait_for("the alarm", SOON, braked).await?;
        let held = async || {
            let brake = standing(&replicas[1]).await.ok()?.brake?;
            (brake.held as usize == CREDENTIALS - BELIEVED).then_some(())
        };
        eventually("all others are held", SOON, held).await?;
        Ok(Self {
            scene,
            replicas,
            watcher,
        })
    }

    fn count(&self, wanted: fn(&Event) -> bool) -> usize {
        self.watcher.count(wanted)
    }

    async fn active(&self) -> Result<Vec<String>> {
        let mut active = Vec::new();
        for id in (0..CREDENTIALS).map(id) {
            let told = self.replicas[1].caller().credential(&id).await?;
            if told.state() == CredentialState::Active {
                active.push(id);
            }
        }
        Ok(active)
    }
}

fn id(number: usize) -> String {
    format!("c-{number}")
}

async fn standing(replica: &Replica) -> Result<ProviderClient> {
    let mut service = ProviderServiceClient::new(replica.channel());
    let request = ListProvidersRequest {
        provider: PROVIDER.to_owned(),
    };
    let mut providers = service
        .list_providers(request)
        .await?
        .into_inner()
        .providers;
    ensure!(providers.len() == 1, "{providers:?}");
    Ok(providers.remove(0).clients.remove(0))
}

/// What `evergrant provider …` prints.
async fn provider(replica: &Replica, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evergrant"));
    command
        .arg("provider")
        .args(arguments)
        .env("EVERGRANT_SERVER", format!("http://{}", replica.grpc()));
    let mut process = Process::spawn("evergrant provider", command)?;
    let status = process.end(SOON).await?;
    ensure!(status.success(), "{status}: {}", process.stderr());
    Ok(process.stdout().trim_end().to_owned())
}

fn is_death(event: &Event) -> bool {
    matches!(event, Event::CredentialInvalidated(_))
}

fn is_release(event: &Event) -> bool {
    matches!(event, Event::ClientReleased(_))
}

#[tokio::test]
async fn a_provider_that_refuses_everything_by_mistake_costs_few_grants_and_all_others_come_back()
-> Result<()> {
    let stage = Braked::start().await?;
    let active = stage.active().await?;
    assert_eq!(active.len(), CREDENTIALS - BELIEVED);
    assert_eq!(stage.count(is_death), BELIEVED);
    for (id, replica) in active.iter().zip(stage.replicas.iter().cycle()) {
        let refusal = replica.caller().token(id).await.expect_err("it is held");
        let braked = (Code::Unavailable, "CLIENT_BRAKED".to_owned());
        assert_eq!(reason(&refusal), braked);
    }
    let listed = provider(&stage.replicas[0], &["list"]).await?;
    assert!(listed.contains("engaged, 31 held"), "{listed}");
    let engaged = async || {
        let metrics = stage.replicas[1].metrics().await.ok()?;
        (metrics.sum("evergrant_brake_engaged", &[("client", CLIENT)]) > 0.0).then_some(())
    };
    eventually("the gauge", SOON, engaged).await?;

    stage.scene.sandbox.control().clear_faults();
    let said = provider(&stage.replicas[1], &["release", PROVIDER, "--retry"]).await?;
    assert_eq!(said, "31 grants are tried again");
    for (id, replica) in active.iter().zip(stage.replicas.iter().cycle()) {
        let caller = replica.caller();
        let works = async || caller.token(id).await.ok();
        let answer = eventually("a token", RETRIED, works).await?;
        assert_eq!(answer.generation, 2);
    }
    assert_eq!(stage.count(is_death), BELIEVED);
    stage
        .watcher
        .wait_for("the release", SOON, is_release)
        .await?;
    assert!(standing(&stage.replicas[0]).await?.brake.is_none());
    Ok(())
}

#[tokio::test]
async fn an_operator_who_believes_the_provider_ends_what_is_held_and_everybody_is_told()
-> Result<()> {
    let stage = Braked::start().await?;
    let said = provider(
        &stage.replicas[0],
        &["release", PROVIDER, "--client", CLIENT, "--invalidate"],
    )
    .await?;
    assert_eq!(said, "31 grants are invalidated");
    stage
        .watcher
        .wait_for("the release", SOON, is_release)
        .await?;
    assert_eq!(stage.count(is_death), CREDENTIALS);
    assert_eq!(stage.active().await?, [""; 0]);
    let again = provider(&stage.replicas[1], &["release", PROVIDER, "--retry"]).await?;
    assert_eq!(again, "nothing is held");
    assert!(standing(&stage.replicas[1]).await?.brake.is_none());
    Ok(())
}

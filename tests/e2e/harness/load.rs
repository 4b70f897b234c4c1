//! Callers who never stop, and who do of all that errors tell them only this: after UNAVAILABLE they go to the next
//! replica.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use evergrant_providers::sandbox::{Control, GrantSpec, RotationMode};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::background::background;
use super::caller::{Caller, credential, fresh};
use super::eventually::eventually;
use super::replica::channel_to;
use super::scene::{SOON, Scene};
use super::watcher::Addresses;

const PAUSE: Duration = Duration::from_millis(20);
const ASKERS: usize = 6;
/// How long an access token of theirs is good.
const SHORT: u64 = 2;

/// Callers in the background: some ask for tokens that expire every other second, one reports tokens as refused, one
/// stores new credentials, and one lets a grant die and come back. They end with the load.
pub struct Load {
    answers: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    /// Begins, at all of `addresses`, which may change meanwhile. Every grant is strict.
    pub async fn start(scene: &Scene, addresses: &Addresses) -> Result<Self> {
        let answers = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = Vec::new();
        for number in 0..ASKERS + 3 {
            let caller = Insistent {
                addresses: addresses.clone(),
                turn: number,
                connected: None,
                answers: Arc::clone(&answers),
                stop: Arc::clone(&stop),
            };
            let control = scene.sandbox.control();
            callers.push(match number.saturating_sub(ASKERS) {
                0 if number < ASKERS => background(caller.ask(format!("asked-{number}"), control)),
                0 => background(caller.refuse(control)),
                1 => background(caller.create(control)),
                _ => background(caller.turn(control)),
            });
        }
        let load = Self {
            answers,
            stop,
            callers,
        };
        load.goes_on().await?;
        Ok(load)
    }

    /// Waits until everybody had a few answers more. An error if they do not get them soon.
    pub async fn goes_on(&self) -> Result<()> {
        let enough = self.answers.load(Ordering::Relaxed) + 20 * (ASKERS + 3);
        eventually("the load to go on", SOON, async || {
            let failed = self.callers.iter().any(JoinHandle::is_finished);
            (failed || self.answers.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await
    }

    /// Ends it. An error if anybody met anything but an answer or UNAVAILABLE, or waited too long.
    pub async fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await??;
        }
        Ok(())
    }
}

struct Insistent {
    addresses: Addresses,
    turn: usize,
    connected: Option<(SocketAddr, Caller)>,
    answers: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Insistent {
    async fn ask(mut self, id: String, control: Control) -> Result<()> {
        let spec = GrantSpec {
            access_token_ttl_seconds: SHORT,
            ..GrantSpec::with_mode(RotationMode::Strict)
        };
        self.store(&id, &control, spec).await?;
        while self.goes_on().await {
            let id = &id;
            self.call(|caller| async move { caller.token(id).await })
                .await?;
        }
        Ok(())
    }

    async fn refuse(mut self, control: Control) -> Result<()> {
        let id = "refused";
        let spec = GrantSpec::with_mode(RotationMode::Strict);
        self.store(id, &control, spec).await?;
        while self.goes_on().await {
            let token = self
                .call(|caller| async move { caller.token(id).await })
                .await?;
            let seen = token.generation;
            self.call(|caller| async move { caller.refused(id, seen).await })
                .await?;
        }
        Ok(())
    }

    async fn create(mut self, control: Control) -> Result<()> {
        let mut number = 0;
        while self.goes_on().await {
            number += 1;
            let spec = GrantSpec::with_mode(RotationMode::Strict);
            self.store(&format!("new-{number}"), &control, spec).await?;
        }
        Ok(())
    }

    async fn turn(mut self, control: Control) -> Result<()> {
        let id = "turned";
        let spec = GrantSpec::with_mode(RotationMode::Strict);
        self.store(id, &control, spec.clone()).await?;
        while self.goes_on().await {
            self.call(|caller| async move { caller.invalidate(id).await })
                .await?;
            let grant = &control.create_grant(spec.clone())?;
            self.call(|caller| async move { caller.reconnect(id, fresh(grant), false).await })
                .await?;
        }
        Ok(())
    }

    async fn store(&mut self, id: &str, control: &Control, spec: GrantSpec) -> Result<()> {
        let grant = &control.create_grant(spec)?;
        let tries = &AtomicUsize::new(0);
        self.call(|caller| async move {
            let again = tries.fetch_add(1, Ordering::Relaxed) > 0;
            match caller.store(credential(id), fresh(grant)).await {
                // An earlier try stored it, and its answer was lost.
                Err(error) if again && error.code() == Code::AlreadyExists => Ok(()),
                result => result.map(drop),
            }
        })
        .await
    }

    async fn goes_on(&mut self) -> bool {
        self.answers.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
        !self.stop.load(Ordering::Relaxed)
    }

    async fn call<T, F>(&mut self, work: impl Fn(Caller) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let deadline = Instant::now() + SOON;
        loop {
            let address = self.addresses.at(self.turn);
            let caller = match &self.connected {
                Some((there, caller)) if *there == address => caller.clone(),
                _ => Caller::new(channel_to(address)),
            };
            self.connected = Some((address, caller.clone()));
            let answer = tokio::time::timeout_at(deadline, work(caller)).await;
            match answer.context("no answer came in time")? {
                Ok(answer) => return Ok(answer),
                Err(error) if is_unavailable(&error) && Instant::now() < deadline => {}
                Err(error) => bail!("a caller that tries again met {error:?}"),
            }
            self.turn += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What is UNAVAILABLE to other clients of gRPC, a connection that is refused or reset, has other codes in tonic.
fn is_unavailable(error: &Status) -> bool {
    let mut sources =
        std::iter::successors(std::error::Error::source(error), |error| error.source());
    error.code() == Code::Unavailable
        || sources.any(|source| source.is::<tonic::transport::Error>())
}

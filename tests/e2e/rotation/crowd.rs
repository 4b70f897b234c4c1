//! Many callers at once, and what all of them must get.

use std::collections::BTreeSet;
use std::ops::Range;

use anyhow::{Result, ensure};
use evergrant_proto::v1::{GetTokenResponse, TokenMaterial};
use futures_util::future::join_all;
use tonic::Status;

use crate::harness::caller::{Caller, credential, in_seconds};
use crate::harness::oidc::OidcProvider;
use crate::harness::replica::Replica;
use crate::harness::scene::Scene;

const CALLERS_A_REPLICA: usize = 50;
const CALLERS_A_CONNECTION: usize = 10;

/// The answers of fifty callers of each replica, all asking at once.
pub fn ask_all(
    replicas: &[Replica],
    credential: &str,
) -> impl Future<Output = Vec<Result<GetTokenResponse, Status>>> + Send + use<> {
    let callers: Vec<Caller> = replicas
        .iter()
        .flat_map(|replica| (0..CALLERS_A_REPLICA / CALLERS_A_CONNECTION).map(|_| replica.caller()))
        .flat_map(|caller| std::iter::repeat_n(caller, CALLERS_A_CONNECTION))
        .collect();
    let credential = credential.to_owned();
    async move { join_all(callers.iter().map(|caller| caller.token(&credential))).await }
}

/// In each round, everybody asks for the token of a credential that has just expired, and gets the one token of
/// the one call that this cost.
pub async fn rounds(scene: &Scene, replicas: &[Replica], rounds: Range<usize>) -> Result<()> {
    let mut waited = 0;
    for round in rounds.clone() {
        let id = format!("round-{round}");
        let replica = &replicas[round % replicas.len()];
        let grant = scene.expired_credential(replica, &id).await?;
        waited += usize::from(all_alike(ask_all(replicas, &id).await)?);
        let calls = scene.sandbox.calls_for(&grant);
        ensure!(calls == 1, "round {round} cost {calls} calls");
    }
    // Else the tokens were renewed in the background, before anybody asked.
    ensure!(
        waited * 2 > rounds.len(),
        "callers met a refresh in {waited} rounds only"
    );
    scene.sandbox.assert_one_call_a_token()
}

/// One such round at the certified server.
pub async fn oidc_round(oidc: &OidcProvider, replicas: &[Replica], round: usize) -> Result<()> {
    let id = format!("round-{round}");
    let grant = oidc.issue_grant().await?;
    let material = TokenMaterial {
        access_token: grant.access_token,
        refresh_token: grant.refresh_token,
        expires_at: Some(in_seconds(-60)),
        ..TokenMaterial::default()
    };
    replicas[round % replicas.len()]
        .caller()
        .store(credential(&id), material)
        .await?;
    all_alike(ask_all(replicas, &id).await)?;
    let refreshed = oidc.ledger().await?.count("grant.success");
    ensure!(
        refreshed == round as u64 + 1,
        "{refreshed} refreshes after {} rounds",
        round + 1
    );
    Ok(())
}

/// Whether a caller waited for a refresh. Fails unless all have the same token, of the second generation.
fn all_alike(answers: Vec<Result<GetTokenResponse, Status>>) -> Result<bool> {
    let answers: Vec<_> = answers.into_iter().collect::<Result<_, _>>()?;
    let tokens: BTreeSet<_> = answers
        .iter()
        .map(|answer| (answer.generation, &answer.access_token))
        .collect();
    ensure!(tokens.len() == 1, "callers got {} tokens", tokens.len());
    ensure!(
        tokens.iter().all(|&(generation, _)| generation == 2),
        "callers got a token of another generation"
    );
    Ok(answers.iter().any(|answer| answer.refreshed))
}

//! TokenService: the hot path.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use evergrant_core::broker::{Answer, Ask, Broker, Refused, TokenError};
use evergrant_core::cache::LiveGrant;
use evergrant_core::clock::{Clock, Timestamp};
use evergrant_core::ids::{CredentialKey, Generation};
use evergrant_core::refresh::Failure;
use evergrant_proto::encoded::Encoded;
use evergrant_proto::encoded::token::token_service_server::TokenService;
use evergrant_proto::v1;
use futures_util::stream::{self, StreamExt as _};
use prost::Message as _;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::call::Call;
use super::caller::Permission;
use super::convert::means::scope_set;
use super::convert::{credential_key, duration, tenant, to_duration, to_timestamp};
use super::gate::Gate;
use super::status::{ApiError, failure_reason, reason_name, token_error};
use crate::audit::Ticket;

const MAX_BATCH: usize = 1_000;
/// Requests of a batch that are served at a time: enough to hide a provider's latency.
const BATCH_CONCURRENCY: usize = 64;

/// Serves TokenService.
#[derive(Clone)]
pub struct Tokens {
    broker: Arc<Broker>,
    gate: Gate,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// A service that asks `broker`.
    pub fn new(broker: Arc<Broker>, gate: Gate, clock: Arc<dyn Clock>) -> Self {
        Self {
            broker,
            gate,
            clock,
        }
    }

    async fn get(&self, call: &Call, request: v1::GetTokenRequest) -> Result<Encoded, ApiError> {
        let (key, ask) = parse(request, call.deadline())?;
        call.concerns(&key);
        call.require(Permission::TokenGet, Some(&key.tenant))?;
        let answer = self.ask(&key, &ask).await?;
        call.discloses(answer.live.grant.facts.generation);
        Ok(encode(&answer))
    }

    async fn ask(&self, key: &CredentialKey, ask: &Ask) -> Result<Answer, ApiError> {
        self.broker
            .get_token(key, ask)
            .await
            .map_err(|error| self.render_error(error))
    }

    fn render_error(&self, error: TokenError) -> ApiError {
        token_error(error, self.clock.now())
    }

    async fn get_batch(
        &self,
        call: &Call,
        batch: v1::BatchGetTokensRequest,
    ) -> Result<v1::BatchGetTokensResponse, ApiError> {
        let v1::BatchGetTokensRequest {
            tenant_id,
            requests,
        } = batch;
        let owner = tenant(&tenant_id)?;
        call.require(Permission::TokenGet, Some(&owner))?;
        if requests.is_empty() || requests.len() > MAX_BATCH {
            return Err(ApiError::invalid(
                "requests",
                "must hold 1 to 1,000 requests",
            ));
        }
        let foreign = requests
            .iter()
            .position(|one| !one.tenant_id.is_empty() && one.tenant_id != owner.as_str());
        if let Some(index) = foreign {
            let field = format!("requests[{index}].tenant_id");
            return Err(ApiError::invalid(
                field,
                "must be empty or the batch's tenant",
            ));
        }
        let served: Vec<_> = stream::iter(requests)
            .map(|mut one| {
                one.tenant_id = owner.to_string();
                self.get_one(call, one)
            })
            .buffered(BATCH_CONCURRENCY)
            .collect()
            .await;
        let (results, tickets): (_, Vec<_>) = served.into_iter().unzip();
        for ticket in tickets.into_iter().flatten() {
            call.on_record(ticket).await?;
        }
        Ok(v1::BatchGetTokensResponse { results })
    }

    /// One result of a batch, and the ticket of its record if it is a token.
    async fn get_one(
        &self,
        call: &Call,
        request: v1::GetTokenRequest,
    ) -> (v1::BatchGetTokensResult, Option<Ticket>) {
        use v1::batch_get_tokens_result::Outcome;
        let result = match parse(request, call.deadline()) {
            Ok((key, ask)) => {
                let result = self.ask(&key, &ask).await;
                let generation = |answer: &Answer| answer.live.grant.facts.generation;
                let ticket = call.note_token(&key, result.as_ref().map(generation));
                result.map(|answer| (answer, ticket))
            }
            Err(error) => Err(error),
        };
        let (outcome, ticket) = match result {
            Ok((answer, ticket)) => (Outcome::Token(render(&answer)), Some(ticket)),
            Err(error) => {
                let error = v1::BatchError {
                    code: error.code() as i32,
                    reason: error.reason_name().to_owned(),
                    message: error.message().to_owned(),
                    retry_after: error.wait().map(to_duration),
                };
                (Outcome::Error(error), None)
            }
        };
        let result = v1::BatchGetTokensResult {
            outcome: Some(outcome),
        };
        (result, ticket)
    }
}

#[tonic::async_trait]
impl TokenService for Tokens {
    async fn get_token(
        &self,
        request: Request<v1::GetTokenRequest>,
    ) -> Result<Response<Encoded>, Status> {
        let work = async |call: Call, message| self.get(&call, message).await;
        self.gate.serve("GetToken", request, work).await
    }

    async fn batch_get_tokens(
        &self,
        request: Request<v1::BatchGetTokensRequest>,
    ) -> Result<Response<v1::BatchGetTokensResponse>, Status> {
        let work = async |call: Call, message| self.get_batch(&call, message).await;
        self.gate.serve("BatchGetTokens", request, work).await
    }
}

fn parse(
    request: v1::GetTokenRequest,
    deadline: Option<Instant>,
) -> Result<(CredentialKey, Ask), ApiError> {
    let v1::GetTokenRequest {
        tenant_id,
        credential_id,
        min_validity,
        scopes,
        rejected,
    } = request;
    let key = credential_key(&tenant_id, &credential_id)?;
    let scopes = Some(scope_set("scopes", scopes)?).filter(|scopes| !scopes.is_empty());
    let min_validity = min_validity
        .map(|wanted| duration("min_validity", wanted))
        .transpose()?
        .unwrap_or_default();
    let refused = rejected.map(refused).transpose()?;
    let ask = Ask {
        min_validity,
        scopes,
        refused,
        deadline,
    };
    Ok((key, ask))
}

fn refused(rejected: v1::get_token_request::Rejected) -> Result<Refused, ApiError> {
    use v1::get_token_request::Rejected;
    match rejected {
        Rejected::RejectedGeneration(0) => Err(ApiError::invalid(
            "rejected_generation",
            "must be the generation of an answer, which is 1 or more",
        )),
        Rejected::RejectedGeneration(generation) => Ok(Refused::Generation(Generation(generation))),
        Rejected::RejectedTokenSha256(digest) => <[u8; 32]>::try_from(digest.as_ref())
            .map(Refused::Sha256)
            .map_err(|_| ApiError::invalid("rejected_token_sha256", "must have 32 bytes")),
    }
}

/// The answer: what every answer with this token has in common, encoded once, and the fields of this one.
fn encode(answer: &Answer) -> Encoded {
    let shared = answer
        .live
        .rendered(|live| Bytes::from(lasting(live).encode_to_vec()));
    let own = passing(answer);
    Encoded {
        shared: shared.clone(),
        own: own.encode_to_vec(),
    }
}

/// The whole answer as one message.
fn render(answer: &Answer) -> v1::GetTokenResponse {
    let v1::GetTokenResponse {
        expires_in,
        refreshed,
        refresh_failure,
        ..
    } = passing(answer);
    v1::GetTokenResponse {
        expires_in,
        refreshed,
        refresh_failure,
        ..lasting(&answer.live)
    }
}

fn lasting(live: &LiveGrant) -> v1::GetTokenResponse {
    let (facts, tokens) = (&live.grant.facts, &live.grant.tokens);
    let scheme = &live.profile.header_scheme;
    let token = tokens.access_token.expose();
    let value = if scheme.is_empty() {
        token.to_owned()
    } else {
        format!("{scheme} {token}")
    };
    v1::GetTokenResponse {
        access_token: token.to_owned(),
        token_type: tokens.token_type.clone(),
        expires_at: facts.expires_at.map(to_timestamp),
        expires_in: None,
        generation: facts.generation.0,
        scopes: facts.scopes.clone(),
        header: Some(v1::Header {
            name: live.profile.header_name.clone(),
            value,
        }),
        metadata: tokens.metadata.clone().into_iter().collect(),
        refreshed: false,
        refresh_failure: None,
    }
}

fn passing(answer: &Answer) -> v1::GetTokenResponse {
    let expires_at: Option<Timestamp> = answer.live.grant.facts.expires_at;
    let expires_in: Option<Duration> = expires_at.map(|end| end.since(answer.now));
    v1::GetTokenResponse {
        expires_in: expires_in.map(to_duration),
        refreshed: answer.refreshed,
        refresh_failure: answer.failure.as_ref().map(to_refresh_failure),
        ..v1::GetTokenResponse::default()
    }
}

fn to_refresh_failure(failure: &Failure) -> v1::RefreshFailure {
    v1::RefreshFailure {
        reason: reason_name(failure_reason(failure)).to_owned(),
        message: failure.message.clone(),
        next_attempt_at: failure.next_at.map(to_timestamp),
    }
}

#[cfg(test)]
mod tests;

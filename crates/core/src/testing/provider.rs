//! A token endpoint in memory that follows a script, and by default is as strict as they come.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::held::{Gate, Held};
use crate::clock::Clock;
use crate::grant::{Grant, GrantType, InvalidationReason, Means, TokenSet};
use crate::ids::{ClientKey, Generation, GrantId};
use crate::provider::{
    CallError, Delivery, Issued, Profile, Providers, Renewal, Revocation, Rotation, UnknownClient,
    Verdict,
};
use crate::secret::{AccessToken, RefreshToken};

mod ageing;
mod families;
mod revocations;
#[cfg(test)]
mod tests;

use ageing::Ends;
use families::Families;
pub use families::Reuse;
use revocations::Revocations;

/// One provider for all clients. It records every call.
///
/// A call whose turn in the script has come does as ordered; any other is answered by what the provider knows of
/// the refresh token. Each consent begins a *family*, the chain of refresh tokens that follow from it.
pub struct ScriptedProviders {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    profile: Profile,
    knows_clients: bool,
    lifetime: Option<Duration>,
    latency: Duration,
    families: Families,
    ends: Ends,
    script: VecDeque<Step>,
    otherwise: Option<CallError>,
    calls: Vec<Call>,
    revocations: Revocations,
    in_flight: HashMap<String, usize>,
    most_with_one_token: usize,
    most_at_once: usize,
}

/// A call as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// For which grant.
    pub grant: GrantId,
    /// The generation of the token set that it was made with.
    pub generation: Generation,
    /// The refresh token that it carried.
    pub refresh_token: Option<RefreshToken>,
    /// The means that it carried.
    pub means: Means,
}

impl Call {
    fn of(grant: &Grant) -> Self {
        Self {
            grant: grant.facts.id.clone(),
            generation: grant.facts.generation,
            refresh_token: grant.tokens.refresh_token.clone(),
            means: grant.tokens.means.clone(),
        }
    }
}

#[derive(Debug)]
enum Step {
    Answer(Box<Result<Issued, CallError>>),
    Hold(Gate),
    HoldAnswer(Gate),
    LoseAnswer,
    TimeOut,
}

impl std::fmt::Debug for ScriptedProviders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedProviders").finish_non_exhaustive()
    }
}

impl ScriptedProviders {
    /// A provider of hour-long access tokens and single-use refresh tokens, that revokes the family when one
    /// is used again.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            state: Mutex::new(State {
                profile: profile(Rotation::SingleUse),
                knows_clients: true,
                lifetime: Some(Duration::from_secs(3600)),
                latency: Duration::ZERO,
                families: Families::new(Reuse::Revokes),
                ends: Ends::default(),
                script: VecDeque::new(),
                otherwise: None,
                calls: Vec::new(),
                revocations: Revocations::default(),
                in_flight: HashMap::new(),
                most_with_one_token: 0,
                most_at_once: 0,
            }),
        })
    }

    /// What becomes of a used refresh token from now on, and what the profile says of it.
    pub fn set_reuse(&self, reuse: Reuse, rotation: Rotation) {
        let mut state = self.state();
        state.families.reuse = reuse;
        state.profile = profile(rotation);
    }

    /// Changes what the profile says.
    pub fn set_profile(&self, change: impl FnOnce(&mut Profile)) {
        change(&mut self.state().profile);
    }

    /// From now on the configuration knows no client.
    pub fn forget_clients(&self) {
        self.state().knows_clients = false;
    }

    /// How long access tokens live from now on; `None`: answers state no expiry.
    pub fn set_lifetime(&self, lifetime: Option<Duration>) {
        self.state().lifetime = lifetime;
    }

    /// How long refresh tokens live from now on, counted from when they were issued or, where a refresh moves their
    /// end, from their last use; `None`: for ever.
    pub fn set_refresh_lifetime(&self, lifetime: Option<Duration>) {
        self.state().ends.lifetime = lifetime;
    }

    /// How long every call takes from now on.
    pub fn set_latency(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// The first token set of a new family.
    pub fn consent(&self, family: &str) -> TokenSet {
        let mut state = self.state();
        let has_refresh_tokens = !state.profile.renewal.self_renewing;
        let refresh_token = state.families.begin(family);
        let issued = state.issue(&*self.clock, refresh_token);
        TokenSet {
            access_token: issued.access_token,
            token_type: issued.token_type,
            expires_at: issued.expires_at,
            refresh_token: issued.refresh_token.filter(|_| has_refresh_tokens),
            refresh_expires_at: issued.refresh_expires_at,
            scopes: Vec::new(),
            metadata: BTreeMap::new(),
            means: Means::default(),
            minted_by: None,
        }
    }

    /// The user of a family withdraws access.
    pub fn revoke(&self, family: &str) {
        self.state().families.revoke(family);
    }

    /// Whether the provider would accept this refresh token, without using it.
    pub fn accepts(&self, refresh_token: &RefreshToken) -> bool {
        self.state().families.accepts(refresh_token.expose())
    }

    /// The next call is answered so, and nothing becomes of its refresh token.
    pub fn answer_next(&self, answer: Result<Issued, CallError>) {
        self.order(Step::Answer(Box::new(answer)));
    }

    /// The next call waits before the provider does anything, for as long as it is held: longer than its
    /// time-out if need be, as in a process that is paused.
    pub fn hold_next(&self) -> Held {
        let (gate, held) = Gate::closed();
        self.order(Step::Hold(gate));
        held
    }

    /// The provider acts on the next call, and its answer waits for as long as it is held.
    pub fn hold_next_answer(&self) -> Held {
        let (gate, held) = Gate::closed();
        self.order(Step::HoldAnswer(gate));
        held
    }

    /// The provider acts on the next call, and its answer is lost.
    pub fn lose_next_answer(&self) {
        self.order(Step::LoseAnswer);
    }

    /// The next call takes all its time and brings nothing; the provider never saw it.
    pub fn time_out_next(&self) {
        self.order(Step::TimeOut);
    }

    /// Answers every call that has no step of its own with `error`, until this is called with `None`.
    pub fn fail_all(&self, error: Option<CallError>) {
        self.state().otherwise = error;
    }

    /// All calls so far, in the order in which they came.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// The most calls that were ever under way with one and the same refresh token.
    pub fn most_with_one_token(&self) -> usize {
        self.state().most_with_one_token
    }

    /// The most calls that were ever under way.
    pub fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    fn order(&self, step: Step) {
        self.state().script.push_back(step);
    }

    /// What the provider makes of the refresh token of `grant`, or of its means, which are always good.
    fn act(&self, grant: &Grant) -> Result<Issued, CallError> {
        let mut state = self.state();
        if let Some(error) = &state.otherwise {
            return Err(error.clone());
        }
        if grant.facts.grant_type.is_minted() {
            return Ok(state.mint(&*self.clock));
        }
        let now = self.clock.now();
        let renewal = state.profile.renewal;
        if renewal.self_renewing {
            if !ageing::renews(&renewal, grant, now) {
                return Err(refused(InvalidationReason::GrantRevoked));
            }
            return Ok(state.mint(&*self.clock));
        }
        let used = text(grant);
        if state.ends.has_ended(&used, now) {
            return Err(refused(InvalidationReason::GrantRevoked));
        }
        match state.families.spend(&used) {
            Some(successor) => Ok(state.issue(&*self.clock, successor)),
            None => Err(refused(InvalidationReason::GrantRevoked)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Providers for ScriptedProviders {
    fn profile(&self, _client: &ClientKey) -> Result<Profile, UnknownClient> {
        Ok(self.state().profile.clone())
    }

    fn check(&self, client: &ClientKey) -> Result<(), UnknownClient> {
        if self.state().knows_clients {
            return Ok(());
        }
        Err(UnknownClient::Client {
            provider: client.provider.to_string(),
            client: client.client.to_string(),
        })
    }

    async fn refresh(&self, grant: &Grant, timeout: Duration) -> Result<Issued, CallError> {
        let (step, latency) = {
            let mut state = self.state();
            state.record(grant);
            (state.script.pop_front(), state.latency)
        };
        let _under_way = UnderWay {
            provider: self,
            refresh_token: text(grant),
        };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        match step {
            None => self.act(grant),
            Some(Step::Answer(answer)) => *answer,
            Some(Step::Hold(gate)) => {
                gate.wait().await;
                self.act(grant)
            }
            Some(Step::HoldAnswer(gate)) => {
                let answer = self.act(grant);
                gate.wait().await;
                answer
            }
            Some(Step::LoseAnswer) => {
                let _ = self.act(grant);
                Err(lost())
            }
            Some(Step::TimeOut) => {
                tokio::time::sleep(timeout).await;
                Err(lost())
            }
        }
    }

    async fn revoke(&self, grant: &Grant, _timeout: Duration) -> Result<Revocation, CallError> {
        self.take_back(grant).await
    }
}

impl State {
    fn record(&mut self, grant: &Grant) {
        self.calls.push(Call::of(grant));
        let with_this = self.in_flight.entry(text(grant)).or_default();
        *with_this += 1;
        self.most_with_one_token = self.most_with_one_token.max(*with_this);
        self.most_at_once = self.most_at_once.max(self.in_flight.values().sum());
    }

    fn mint(&mut self, clock: &dyn Clock) -> Issued {
        let minted = self.issue(clock, String::new());
        Issued {
            refresh_token: None,
            ..minted
        }
    }

    fn issue(&mut self, clock: &dyn Clock, refresh_token: String) -> Issued {
        let renewal = &self.profile.renewal;
        let moves = renewal.end_moves || renewal.refresh_token_idle.is_some();
        let refresh_expires_at = self.ends.issue(&refresh_token, clock.now(), moves);
        Issued {
            access_token: AccessToken::new(self.families.next_access_token()),
            token_type: "Bearer".into(),
            expires_at: self.lifetime.map(|lifetime| clock.now().plus(lifetime)),
            refresh_token: Some(RefreshToken::new(refresh_token)),
            refresh_expires_at,
            scopes: None,
            metadata: BTreeMap::new(),
            minted_by: None,
        }
    }
}

/// A call that has not ended, be it answered or dropped.
struct UnderWay<'a> {
    provider: &'a ScriptedProviders,
    refresh_token: String,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(calls) = self.provider.state().in_flight.get_mut(&self.refresh_token) {
            *calls -= 1;
        }
    }
}

/// A whole answer that says `code`, and means `verdict`.
pub fn failure(verdict: Verdict, code: &str) -> CallError {
    CallError {
        verdict,
        delivery: Delivery::Answered,
        status: Some(400),
        code: code.to_owned(),
        message: format!("the provider answered {code}"),
        retry_after: None,
        grant_specific: false,
    }
}

/// The answer of a provider that holds the grant for dead.
pub fn refused(reason: InvalidationReason) -> CallError {
    failure(Verdict::Grant(reason), "invalid_grant")
}

fn lost() -> CallError {
    CallError {
        verdict: Verdict::Transient,
        delivery: Delivery::Unknown,
        status: None,
        code: String::new(),
        message: "the provider did not answer".into(),
        retry_after: None,
        grant_specific: false,
    }
}

fn text(grant: &Grant) -> String {
    let token = grant.tokens.refresh_token.as_ref();
    // Calls that mint have no token in common, but must not overlap for one grant either.
    let mint = || format!("minted by {}", grant.facts.id);
    token.map_or_else(mint, |token| token.expose().to_owned())
}

fn profile(rotation: Rotation) -> Profile {
    Profile {
        rotation,
        grant_types: vec![GrantType::AuthorizationCode],
        flaky_refusals: false,
        renewal: Renewal::default(),
        header_name: "Authorization".into(),
        header_scheme: "Bearer".into(),
        limits: crate::provider::Limits::default(),
    }
}

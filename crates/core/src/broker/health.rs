//! How clients stand, as operators and background work ask.

use super::Broker;
use crate::brake::Verdict;
use crate::breaker::{BreakerState, ClientBreaker, Refusal};
use crate::budget::Usage;
use crate::ids::{ClientKey, Generation, GrantId};
use crate::refresh::Ports;
use crate::store::StoreError;

impl Broker {
    pub(crate) fn ports(&self) -> &Ports {
        &self.ports
    }

    pub(crate) fn breaker(&self) -> &ClientBreaker {
        &self.breaker
    }

    /// Whether an attempt of the grant would be put off here, as far as is remembered.
    pub(crate) fn is_cooling(&self, grant: &GrantId, generation: Generation) -> bool {
        let now = self.ports.clock.now();
        self.memory.cooling(grant, generation, now).is_some()
    }

    /// Whether refreshes of the client would be refused without a call now.
    pub fn client_is_rejected(&self, client: &ClientKey) -> bool {
        self.breaker.refusal(client).is_some()
    }

    /// Why no call is made for the client now.
    pub(crate) fn refusal(&self, client: &ClientKey) -> Option<Refusal> {
        self.breaker.refusal(client)
    }

    /// How the client stands, as far as this process has seen.
    pub fn breaker_state(&self, client: &ClientKey) -> BreakerState {
        self.breaker.state(client)
    }

    /// The clients that are rejected, as far as this process has seen.
    pub fn rejected_clients(&self) -> Vec<ClientKey> {
        self.breaker.rejected()
    }

    /// How much of the client's budget is in use here.
    pub fn budget(&self, client: &ClientKey) -> Usage {
        let limits = self.ports.providers.limits(client);
        self.budgets.usage(client, limits)
    }

    /// How many grants of the client may be renewed now, without taking the last places from callers.
    pub fn room(&self, client: &ClientKey) -> usize {
        let most = match self.breaker.state(client) {
            BreakerState::Closed => usize::MAX,
            _ if self.client_is_rejected(client) => 0,
            // The next probe is due.
            _ => 1,
        };
        let limits = self.ports.providers.limits(client);
        self.budgets.room(client, limits).min(most)
    }

    /// Releases the brake of a client as an operator decided. Answers how many grants were held; `None` if it is not
    /// engaged. Cancelled, some of the held grants may be invalidated and the rest still held.
    pub async fn release_brake(
        &self,
        client: &ClientKey,
        verdict: Verdict,
    ) -> Result<Option<u64>, StoreError> {
        self.refresher.release_brake(client, verdict).await
    }

    /// How many live and dead grants are remembered, and how many flights are in the air.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let (live, dead) = self.memory.len();
        (live, dead, self.flights.len())
    }
}

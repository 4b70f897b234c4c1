//! The strict provider, within the test's own process, so that a test can hold a call and read the ledger without a
//! round trip.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use evergrant_providers::sandbox::{
    self, Control, Dialect, Fault, FaultRule, Gate, GateRule, GrantSpec, NewGrant, Point,
    RotationMode, SandboxOptions,
};
use tokio_util::sync::CancellationToken;

use super::scene::SOON;

/// A running sandbox. It ends when dropped.
pub struct Sandbox {
    server: sandbox::Sandbox,
    stop: CancellationToken,
}

impl Sandbox {
    /// Starts one on a free port.
    pub async fn start() -> Result<Self> {
        let stop = CancellationToken::new();
        let server = sandbox::Sandbox::start(SandboxOptions::default(), stop.clone()).await?;
        Ok(Self { server, stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.addr()
    }

    /// All that can be asked of it.
    pub fn control(&self) -> Control {
        self.server.control()
    }

    /// A catalogue entry that says how grants of `mode` are to be treated.
    pub fn entry(&self, name: &str, mode: RotationMode) -> String {
        self.server
            .catalogue_entry_for(name, Dialect::Rfc6749, mode)
    }

    /// A catalogue entry for the endpoint that speaks as Slack does.
    pub fn slack_entry(&self, name: &str) -> String {
        self.server.catalogue_entry_slack(name)
    }

    /// A catalogue entry that reaches this sandbox by way of `address`, e.g. of a proxy.
    pub fn entry_by_way_of(&self, address: SocketAddr, name: &str, mode: RotationMode) -> String {
        let direct = self.address().to_string();
        self.entry(name, mode)
            .replace(&direct, &address.to_string())
    }

    /// A new grant whose access tokens live for an hour.
    pub fn grant(&self, mode: RotationMode) -> Result<NewGrant> {
        Ok(self.control().create_grant(GrantSpec::with_mode(mode))?)
    }

    /// Holds the calls for `grant` at `point` until the gate is opened.
    pub fn hold(&self, grant: &NewGrant, point: Point) -> Hold {
        Hold(self.control().add_gate(GateRule {
            point,
            family: Some(grant.family.clone()),
        }))
    }

    /// Lets `fault` befall every call for `grant` from now on.
    pub fn fail_always(&self, grant: &NewGrant, fault: Fault) -> Result<()> {
        let rule = FaultRule::always(fault).for_family(&grant.family);
        Ok(self.control().add_fault(rule)?)
    }

    /// How many refreshes came so far, whatever became of them.
    pub fn calls(&self) -> usize {
        self.control().ledger().token_requests().count()
    }

    /// How many refreshes of one grant came so far, whatever became of them.
    pub fn calls_for(&self, grant: &NewGrant) -> usize {
        self.control()
            .ledger()
            .token_requests()
            .filter(|entry| entry.family.as_deref() == Some(&grant.family))
            .count()
    }

    /// Whether the provider still honours the grant.
    pub fn is_alive(&self, grant: &NewGrant) -> Result<bool> {
        Ok(!self.control().grant(&grant.family)?.revoked)
    }

    /// Fails if a refresh token was spent twice, used twice at once or presented more than once, or if a rotation never
    /// reached its client.
    pub fn assert_one_call_a_token(&self) -> Result<()> {
        let ledger = self.control().ledger();
        let violations = ledger.violations();
        ensure!(violations.is_empty(), "the ledger shows {violations:?}");
        let beyond = ledger.calls_beyond(1);
        ensure!(beyond.is_empty(), "the ledger shows {beyond:?}");
        let lost = ledger.lost_rotations();
        ensure!(lost.is_empty(), "rotations were lost: {lost:?}");
        Ok(())
    }
}

/// A gate that holds calls.
pub struct Hold(Gate);

impl Hold {
    /// Waits until a call is held. An error if none comes soon.
    pub async fn arrival(&self) -> Result<()> {
        tokio::time::timeout(SOON, self.0.wait_for_arrivals(1))
            .await
            .context("waited in vain for a call to the provider")
    }

    /// Lets go what is held and all that comes later.
    pub fn open(&self) {
        self.0.open();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

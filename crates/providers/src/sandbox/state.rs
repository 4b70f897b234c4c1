//! All that the sandbox knows, behind one lock, and what is done to it when a call is processed.

use std::sync::{Mutex, MutexGuard, OnceLock};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::call::Call;
use super::client::Clients;
use super::codes::Codes;
use super::devices::{Begun, Devices};
use super::fault::Point;
use super::fault_queue::{Effects, FaultQueue};
use super::gate::{Gate, Gates};
use super::grants::{Grants, Issue};
use super::ledger::{Endpoint, Outcome, Recorder};
use super::proof::Replays;
use super::refusal::Refusal;
use super::token::Fingerprint;
use crate::catalogue::Catalogue;

/// What the tasks of one sandbox share.
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) base_url: String,
    pub(super) shutdown: CancellationToken,
    pub(super) tracker: TaskTracker,
    /// The providers that can be played; read when one is first asked for.
    catalogue: OnceLock<Catalogue>,
}

impl Shared {
    pub(super) fn new(base_url: String, shutdown: CancellationToken) -> Self {
        let state = State {
            clients: Clients::default(),
            codes: Codes::default(),
            devices: Devices::default(),
            grants: Grants::default(),
            replays: Replays::default(),
            faults: FaultQueue::default(),
            gates: Gates::default(),
            ledger: Recorder::start(),
        };
        Self {
            state: Mutex::new(state),
            base_url,
            shutdown,
            tracker: TaskTracker::new(),
            catalogue: OnceLock::new(),
        }
    }

    pub(super) fn catalogue(&self) -> &Catalogue {
        self.catalogue.get_or_init(Catalogue::builtin)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds the state")
    }
}

pub(super) struct State {
    pub(super) clients: Clients,
    pub(super) codes: Codes,
    pub(super) devices: Devices,
    pub(super) grants: Grants,
    pub(super) replays: Replays,
    pub(super) faults: FaultQueue,
    pub(super) gates: Gates,
    pub(super) ledger: Recorder,
}

/// What a processed call is answered, before it is put into the words of a dialect.
pub(super) enum Reply {
    Issued(Issue),
    /// A device waits for its user from now on.
    Device(Begun),
    /// A token was revoked, or was unknown, which is the same to its bearer.
    Revoked,
    /// The facts of a good token, or `None`.
    Introspected(Option<Facts>),
    /// The resource behind a good access token, or `None`.
    Resource(Option<Facts>),
    Refused(Refusal),
}

/// What a good token stands for.
pub(super) struct Facts {
    pub(super) family: String,
    pub(super) client_id: String,
    pub(super) scope: String,
    /// In how many seconds it ends, if it does.
    pub(super) expires_in: Option<u64>,
}

impl State {
    /// Enters a call into the ledger and takes the faults that are meant for it.
    pub(super) fn arrive(&mut self, call: &Call) -> (u64, Effects) {
        let sequence = self.ledger.open(call.endpoint, call.dialect);
        let known = call
            .refresh_token()
            .and_then(|token| self.grants.known_refresh(token));
        let family = self.family_of(call);
        let effects = self.faults.take(call.endpoint, family.as_deref());
        let entry = self.ledger.entry(sequence);
        entry.family = family;
        let provider = call.played.as_ref().map(|played| &played.entry.name);
        entry.provider = provider.map(ToString::to_string);
        entry.refresh_token = call.refresh_token().map(Fingerprint::of);
        entry.faults = effects.kinds.iter().map(|&kind| kind.to_owned()).collect();
        if let Some(known) = known {
            entry.mode = Some(known.mode);
            entry.parent = Some(known.issued_by);
        }
        (sequence, effects)
    }

    /// The closed gates that a call comes to at `point`.
    pub(super) fn gates_before(&self, call: &Call, point: Point) -> Vec<Gate> {
        match call.endpoint {
            Endpoint::Token => self
                .gates
                .on_the_way(point, self.family_of(call).as_deref()),
            _ => Vec::new(),
        }
    }

    /// Does what a call asks for, at once and as a whole.
    pub(super) fn process(&mut self, call: &Call, sequence: u64) -> Reply {
        let now = Instant::now();
        let reply = self
            .perform(call, sequence, now)
            .unwrap_or_else(Reply::Refused);
        let outcome = match &reply {
            Reply::Issued(issue) if issue.replayed => Outcome::Replayed,
            Reply::Issued(_) => Outcome::Issued,
            Reply::Revoked => Outcome::Revoked,
            Reply::Introspected(_) | Reply::Resource(_) | Reply::Device(_) => Outcome::Answered,
            Reply::Refused(_) => Outcome::Refused,
        };
        self.decide(sequence, outcome);
        let entry = self.ledger.entry(sequence);
        match &reply {
            Reply::Refused(refusal) => entry.refusal = Some(*refusal),
            Reply::Issued(issue) => {
                entry.issued_access_token = Some(Fingerprint::of(issue.access_token.expose()));
                entry.issued_refresh_token = issue
                    .refresh_token
                    .as_ref()
                    .map(|token| Fingerprint::of(token.expose()));
            }
            Reply::Revoked | Reply::Introspected(_) | Reply::Resource(_) | Reply::Device(_) => {}
        }
        reply
    }

    /// Notes that a fault took the place of processing.
    pub(super) fn intercept(&mut self, sequence: u64, refusal: Option<Refusal>) {
        self.decide(sequence, Outcome::Intercepted);
        self.ledger.entry(sequence).refusal = refusal;
    }

    /// Notes what the control API did, which is over as soon as it is done.
    pub(super) fn note_control(&mut self, sequence: u64, family: &str, outcome: Outcome) {
        self.decide(sequence, outcome);
        self.ledger.entry(sequence).family = Some(family.to_owned());
        self.end(sequence, None, true);
    }

    fn decide(&mut self, sequence: u64, outcome: Outcome) {
        let number = self.ledger.next();
        let entry = self.ledger.entry(sequence);
        entry.processed = Some(number);
        entry.outcome = Some(outcome);
    }

    /// Notes the end of a call: `status` is that of the answer, if one is sent.
    pub(super) fn end(&mut self, sequence: u64, status: Option<u16>, delivered: bool) {
        let number = self.ledger.next();
        let entry = self.ledger.entry(sequence);
        entry.ended = Some(number);
        entry.status = status;
        entry.delivered = delivered;
    }

    /// Notes that the client of a call went away before its answer.
    pub(super) fn client_left(&mut self, sequence: u64) {
        let number = self.ledger.next();
        if let Some(entry) = self.ledger.find(sequence) {
            entry.client_left = Some(number);
        }
    }

    fn family_of(&self, call: &Call) -> Option<String> {
        let of_refresh = |token: &str| Some(self.grants.known_refresh(token)?.family);
        match call.endpoint {
            Endpoint::Token => of_refresh(call.refresh_token()?),
            Endpoint::Revoke | Endpoint::Introspect => {
                let token = call.parameter("token")?;
                of_refresh(token).or_else(|| self.grants.family_of_access(token))
            }
            Endpoint::Resource => self.grants.family_of_access(call.bearer.as_deref()?),
            Endpoint::Device | Endpoint::Control => None,
        }
    }

    fn perform(&mut self, call: &Call, sequence: u64, now: Instant) -> Result<Reply, Refusal> {
        if call.malformed.is_some() {
            return Err(Refusal::MalformedRequest);
        }
        if call.endpoint == Endpoint::Resource {
            let status = call
                .bearer
                .as_deref()
                .and_then(|token| self.grants.good_access(token, now));
            return Ok(Reply::Resource(status.map(Facts::of)));
        }
        if call.endpoint == Endpoint::Token {
            return self.token(call, sequence, now).map(Reply::Issued);
        }
        let client = self.authenticate(call)?;
        let required = |name| call.parameter(name).ok_or(Refusal::MalformedRequest);
        match call.endpoint {
            Endpoint::Device => {
                let spec = call.terms(&client);
                Ok(Reply::Device(self.devices.begin(spec, now)))
            }
            Endpoint::Revoke => {
                self.grants.revoke_token(required("token")?, &client, now)?;
                Ok(Reply::Revoked)
            }
            Endpoint::Introspect => {
                let token = required("token")?;
                let good = self.grants.good_access(token, now);
                let good = good.or_else(|| self.grants.good_refresh(token, now));
                let expires_in = self.grants.seconds_left(token, now);
                Ok(Reply::Introspected(good.map(|status| Facts {
                    expires_in,
                    ..Facts::of(status)
                })))
            }
            Endpoint::Token | Endpoint::Resource | Endpoint::Control => {
                Err(Refusal::MalformedRequest)
            }
        }
    }
}

impl Facts {
    fn of(status: &super::grants::GrantStatus) -> Self {
        Self {
            family: status.family.clone(),
            client_id: status.spec.client_id.clone(),
            scope: status.spec.scopes.join(" "),
            expires_in: None,
        }
    }
}

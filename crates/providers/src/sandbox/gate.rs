//! Gates: hold matching calls at a point until told to let them go, so that a test can act in the midst of a call
//! without a sleep.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::fault::Point;

/// Which calls to the token endpoint a gate holds, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateRule {
    /// Where calls are held.
    #[serde(rename = "where")]
    pub point: Point,
    /// Only calls about this grant; all by default.
    #[serde(default)]
    pub family: Option<String>,
}

/// How a gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateStatus {
    /// Its name.
    pub id: u64,
    /// How many calls it holds now. A call is held though its client has gone.
    pub waiting: usize,
    /// How many calls have come to it while it was closed.
    pub arrived: usize,
    /// Whether it was opened. It never closes again.
    pub open: bool,
}

/// A gate that was set up. Cheap to clone; dropping it does not open it.
#[derive(Debug, Clone)]
pub struct Gate {
    rule: Arc<GateRule>,
    status: Arc<watch::Sender<GateStatus>>,
}

impl Gate {
    fn new(id: u64, rule: GateRule) -> Self {
        let status = GateStatus {
            id,
            waiting: 0,
            arrived: 0,
            open: false,
        };
        Self {
            rule: Arc::new(rule),
            status: Arc::new(watch::Sender::new(status)),
        }
    }

    /// Its name in the control API.
    pub fn id(&self) -> u64 {
        self.status.borrow().id
    }

    /// How it stands now.
    pub fn status(&self) -> GateStatus {
        *self.status.borrow()
    }

    /// Waits until `count` calls have come to it; for ever if they do not. Cancelling changes nothing.
    pub async fn wait_for_arrivals(&self, count: usize) {
        self.wait_until(|status| status.arrived >= count).await;
    }

    /// Lets go what it holds and all that comes later.
    pub fn open(&self) {
        self.status.send_modify(|status| status.open = true);
    }

    pub(super) fn holds(&self, point: Point, family: Option<&str>) -> bool {
        !self.status.borrow().open
            && self.rule.point == point
            && (self.rule.family.is_none() || self.rule.family.as_deref() == family)
    }

    /// Comes to the gate and waits until it is open. Cancelling leaves it.
    pub(super) async fn pass(&self) {
        self.status.send_modify(|status| {
            status.arrived += 1;
            status.waiting += 1;
        });
        let _visit = Visit(self);
        self.wait_until(|status| status.open).await;
    }

    async fn wait_until(&self, condition: impl FnMut(&GateStatus) -> bool) {
        let mut changes = self.status.subscribe();
        changes
            .wait_for(condition)
            .await
            .expect("this gate holds the sender");
    }
}

struct Visit<'a>(&'a Gate);

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.status.send_modify(|status| status.waiting -= 1);
    }
}

/// Every gate that was set up.
#[derive(Default)]
pub(super) struct Gates(Vec<Gate>);

impl Gates {
    pub(super) fn add(&mut self, rule: GateRule) -> Gate {
        let id = u64::try_from(self.0.len()).expect("a count of gates fits") + 1;
        let gate = Gate::new(id, rule);
        self.0.push(gate.clone());
        gate
    }

    pub(super) fn get(&self, id: u64) -> Option<Gate> {
        self.0.iter().find(|gate| gate.id() == id).cloned()
    }

    /// The closed gates on the way of a call.
    pub(super) fn on_the_way(&self, point: Point, family: Option<&str>) -> Vec<Gate> {
        let holding = self.0.iter().filter(|gate| gate.holds(point, family));
        holding.cloned().collect()
    }
}

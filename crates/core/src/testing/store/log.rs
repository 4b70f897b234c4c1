//! The event log in memory.

use std::collections::VecDeque;

use crate::clock::Timestamp;
use crate::events::{Event, EventBody, LogEpoch, LogPosition};
use crate::ids::CredentialKey;

#[derive(Debug, Clone)]
pub(super) struct Log {
    epoch: LogEpoch,
    pub(super) revision: u64,
    head: u64,
    floor: u64,
    events: VecDeque<Event>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            epoch: new_epoch(),
            revision: 0,
            head: 0,
            floor: 0,
            events: VecDeque::new(),
        }
    }
}

impl Log {
    pub(super) fn position(&self) -> LogPosition {
        LogPosition {
            epoch: self.epoch.clone(),
            head: self.head,
            floor: self.floor,
        }
    }

    pub(super) fn renew_epoch(&mut self) {
        self.epoch = new_epoch();
    }

    pub(super) fn lose(&mut self, seq: u64) {
        self.events.retain(|event| event.seq != seq);
    }

    pub(super) fn append(&mut self, bodies: &[EventBody], at: Timestamp) -> u64 {
        self.revision += 1;
        for body in bodies {
            self.head += 1;
            self.events.push_back(Event {
                seq: self.head,
                at,
                body: body.clone(),
            });
        }
        self.head
    }

    pub(super) fn after(&self, seq: u64, limit: u32) -> Vec<Event> {
        let later = self.events.iter().filter(|event| event.seq > seq);
        later.take(limit as usize).cloned().collect()
    }

    pub(super) fn of(&self, key: &CredentialKey, limit: u32) -> Vec<Event> {
        let newest = self.events.iter().rev();
        newest
            .filter(|event| {
                event.body.tenant() == Some(&key.tenant) && event.body.credential() == Some(&key.id)
            })
            .take(limit as usize)
            .cloned()
            .collect()
    }

    pub(super) fn prune(&mut self, older_than: Timestamp, limit: u32) -> u64 {
        let farthest = self.floor + u64::from(limit);
        let last_old = self
            .events
            .iter()
            .rfind(|event| event.at < older_than && event.seq <= farthest);
        self.floor = last_old.map_or(self.floor, |event| event.seq);
        let before = self.events.len();
        self.events.retain(|event| event.seq > self.floor);
        (before - self.events.len()) as u64
    }
}

fn new_epoch() -> LogEpoch {
    LogEpoch(uuid::Uuid::new_v4().to_string().into())
}

//! Devices that wait for a user to consent elsewhere (RFC 8628).

use std::time::Duration;

use tokio::time::Instant;

use super::kept::Kept;
use super::mode::GrantSpec;
use super::refusal::Refusal;
use super::token::{Digest, random, sha256};

/// How long both codes are good.
const LIFETIME: Duration = Duration::from_secs(600);
/// The least time between two polls. Real providers ask for more; here people and tests wait.
const INTERVAL: Duration = Duration::from_secs(1);
/// What a device that polls too soon has to add (RFC 8628 section 3.5).
const PENALTY: Duration = Duration::from_secs(5);
/// For how long it is known of a code that it has ended.
const TOLD: Duration = LIFETIME;
const MOST: usize = 10_000;
/// No vowels, so that no words come out (RFC 8628 section 6.1).
const LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";

/// The answer to a device that begins (RFC 8628 section 3.2).
pub(super) struct Begun {
    pub(super) device_code: String,
    pub(super) user_code: String,
    pub(super) expires_in: u64,
    pub(super) interval: u64,
}

struct Device {
    /// What is granted if the user approves.
    spec: GrantSpec,
    user_code: String,
    ends_at: Instant,
    interval: Duration,
    polled_at: Option<Instant>,
    decision: Option<bool>,
    redeemed: bool,
}

/// The devices that began, but for those whose codes ended long ago.
pub(super) struct Devices(Kept<Digest, Device>);

impl Default for Devices {
    fn default() -> Self {
        Self(Kept::at_most(MOST))
    }
}

impl Devices {
    /// A device asks for what `spec` says.
    pub(super) fn begin(&mut self, spec: GrantSpec, now: Instant) -> Begun {
        let device_code = random("sbx_device_");
        let user_code = user_code();
        let device = Device {
            spec,
            user_code: user_code.clone(),
            ends_at: now + LIFETIME,
            interval: INTERVAL,
            polled_at: None,
            decision: None,
            redeemed: false,
        };
        let until = device.ends_at + TOLD;
        self.0
            .insert(sha256(&device_code), device, Some(until), now);
        Begun {
            device_code,
            user_code,
            expires_in: LIFETIME.as_secs(),
            interval: INTERVAL.as_secs(),
        }
    }

    /// The client and the scopes of the device that shows this code, while its user may decide.
    pub(super) fn waiting(&self, user_code: &str, now: Instant) -> Option<(&str, &[String])> {
        let device = self.0.values().find(|it| it.is_asked(user_code, now))?;
        Some((&device.spec.client_id, &device.spec.scopes))
    }

    /// The user's decision. `false` if no device waits with this code.
    pub(super) fn decide(&mut self, user_code: &str, approved: bool, now: Instant) -> bool {
        let mut devices = self.0.values_mut();
        let Some(device) = devices.find(|it| it.is_asked(user_code, now)) else {
            return false;
        };
        device.decision = Some(approved);
        true
    }

    /// What the user granted, once (RFC 8628 section 3.5).
    pub(super) fn poll(
        &mut self,
        device_code: &str,
        client: &str,
        now: Instant,
    ) -> Result<GrantSpec, Refusal> {
        let device = self.0.get_mut(&sha256(device_code));
        let device = device.filter(|device| !device.redeemed);
        let device = device.ok_or(Refusal::UnknownDeviceCode)?;
        if device.spec.client_id != client {
            return Err(Refusal::TokenOfAnotherClient);
        }
        if device.ends_at <= now {
            return Err(Refusal::ExpiredDeviceCode);
        }
        let last = device.polled_at.replace(now);
        if last.is_some_and(|last| now < last + device.interval) {
            device.interval += PENALTY;
            return Err(Refusal::PolledTooSoon);
        }
        match device.decision {
            None => Err(Refusal::AuthorizationPending),
            Some(false) => Err(Refusal::DeniedByUser),
            Some(true) => {
                device.redeemed = true;
                Ok(device.spec.clone())
            }
        }
    }
}

impl Device {
    /// Case and dashes do not matter (RFC 8628 section 6.1).
    fn is_asked(&self, user_code: &str, now: Instant) -> bool {
        let letters = |code: &str| code.replace(['-', ' '], "").to_ascii_uppercase();
        self.decision.is_none()
            && self.ends_at > now
            && letters(&self.user_code) == letters(user_code)
    }
}

fn user_code() -> String {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source works");
    let letter = |byte: &u8| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]);
    let (head, tail) = bytes.split_at(4);
    let half = |half: &[u8]| half.iter().map(letter).collect::<String>();
    format!("{}-{}", half(head), half(tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_that_comes_too_soon_lengthens_the_wait_even_if_the_user_has_approved() {
        let (mut devices, start) = (Devices::default(), Instant::now());
        let begun = devices.begin(GrantSpec::default(), start);
        let poll = |devices: &mut Devices, millis: u64| {
            let at = start + Duration::from_millis(millis);
            devices.poll(&begun.device_code, "sandbox", at)
        };
        assert_eq!(poll(&mut devices, 0), Err(Refusal::AuthorizationPending));
        assert_eq!(poll(&mut devices, 500), Err(Refusal::PolledTooSoon));
        let typed = begun.user_code.to_lowercase().replace('-', "");
        assert!(devices.decide(&typed, true, start));
        assert!(!devices.decide(&typed, false, start), "it was decided");
        assert_eq!(poll(&mut devices, 6_499), Err(Refusal::PolledTooSoon));
        assert_eq!(poll(&mut devices, 17_499), Ok(GrantSpec::default()));
        assert_eq!(poll(&mut devices, 60_000), Err(Refusal::UnknownDeviceCode));
    }

    #[test]
    fn codes_end_and_belong_to_one_client() {
        let (mut devices, start) = (Devices::default(), Instant::now());
        let begun = devices.begin(GrantSpec::default(), start);
        let foreign = devices.poll(&begun.device_code, "other", start);
        assert_eq!(foreign, Err(Refusal::TokenOfAnotherClient));
        let late = start + LIFETIME;
        assert!(devices.waiting(&begun.user_code, late).is_none());
        let ended = devices.poll(&begun.device_code, "sandbox", late);
        assert_eq!(ended, Err(Refusal::ExpiredDeviceCode));
    }

    #[test]
    fn a_device_that_ended_is_told_so_for_as_long_again_and_forgotten() {
        let (mut devices, start) = (Devices::default(), Instant::now());
        let first = devices.begin(GrantSpec::default(), start);
        for second in 0..20_000 {
            let now = start + Duration::from_secs(second);
            devices.begin(GrantSpec::default(), now);
            if second == LIFETIME.as_secs() {
                let ended = devices.poll(&first.device_code, "sandbox", now);
                assert_eq!(ended, Err(Refusal::ExpiredDeviceCode));
            }
        }
        assert!(devices.0.values().count() <= 3_000);
        let gone = devices.poll(&first.device_code, "sandbox", start);
        assert_eq!(gone, Err(Refusal::UnknownDeviceCode));
    }
}

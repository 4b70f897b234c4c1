//! What a call to the token endpoint brings, by its grant type.

use tokio::time::Instant;

use super::call::{Call, STATE};
use super::client::Presented;
use super::codes::{self, NotRedeemed};
use super::grants::Issue;
use super::mode::GrantSpec;
use super::proof::Assertion;
use super::refusal::Refusal;
use super::state::State;
use crate::catalogue::TokenGrant;

/// The only type of token that can be exchanged (RFC 8693 section 3).
pub(super) const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

/// Every grant type that the token endpoint knows.
pub(super) const GRANTS: [TokenGrant; 6] = [
    TokenGrant::RefreshToken,
    TokenGrant::AuthorizationCode,
    TokenGrant::ClientCredentials,
    TokenGrant::JwtBearer,
    TokenGrant::TokenExchange,
    TokenGrant::DeviceCode,
];

fn required<'c>(call: &'c Call, name: &str) -> Result<&'c str, Refusal> {
    call.parameter(name).ok_or(Refusal::MalformedRequest)
}

impl State {
    /// The client that a call proves to be from.
    pub(super) fn authenticate(&mut self, call: &Call) -> Result<String, Refusal> {
        let Presented::Assertion { token, id } = &call.client else {
            return self.clients.authenticate(&call.client);
        };
        let assertion = Assertion::read(token).ok_or(Refusal::BadClientAssertion)?;
        let client = assertion.issuer().to_owned();
        // RFC 7523 section 3: the subject is the client. Some providers want none, or another.
        let is_own = call.played.is_some() || assertion.text("sub") == Some(&client);
        let key = self.clients.key(&client).ok_or(Refusal::UnknownClient)?;
        let now = self.ledger.now_ms().div_euclid(1_000);
        let wanted = &call.client_assertion;
        let holds = is_own
            && id.as_ref().is_none_or(|id| *id == client)
            && assertion.holds(key, wanted, now, &mut self.replays);
        holds.then_some(client).ok_or(Refusal::BadClientAssertion)
    }

    /// Tokens for what `call` presents, in the name of ledger entry `sequence`.
    pub(super) fn token(
        &mut self,
        call: &Call,
        sequence: u64,
        now: Instant,
    ) -> Result<Issue, Refusal> {
        let grant_type = call.parameter("grant_type");
        let grant = GRANTS
            .into_iter()
            .find(|grant| Some(grant.usual_grant_type()) == grant_type);
        if grant == Some(TokenGrant::JwtBearer) {
            return self.assert(call, sequence, now);
        }
        let client = self.authenticate(call)?;
        match grant {
            None if grant_type.is_none() => Err(Refusal::MalformedRequest),
            None | Some(TokenGrant::JwtBearer) => Err(Refusal::UnsupportedGrantType),
            Some(TokenGrant::RefreshToken) => {
                let token = required(call, "refresh_token")?;
                let scope = call.parameter("scope");
                self.grants.refresh(token, &client, scope, sequence, now)
            }
            Some(TokenGrant::AuthorizationCode) => self.redeem(call, &client, sequence, now),
            Some(TokenGrant::DeviceCode) => {
                let code = required(call, "device_code")?;
                let spec = self.devices.poll(code, &client, now)?;
                let issue = self.grants.create(spec.clone(), sequence, now);
                self.note_grant(sequence, &issue, Some(&spec));
                Ok(issue)
            }
            Some(TokenGrant::ClientCredentials) if self.clients.is_public(&client) => {
                Err(Refusal::PublicClient)
            }
            Some(TokenGrant::ClientCredentials) => {
                Ok(self.mint(call, call.terms(&client), sequence, now))
            }
            Some(TokenGrant::TokenExchange) => self.exchange(call, &client, sequence, now),
        }
    }

    /// Redeems an authorization code (RFC 6749 section 4.1.3).
    fn redeem(
        &mut self,
        call: &Call,
        client: &str,
        sequence: u64,
        now: Instant,
    ) -> Result<Issue, Refusal> {
        let code = required(call, "code")?;
        let presented = codes::Presented {
            code,
            client_id: client,
            redirect_uri: call.parameter("redirect_uri"),
            code_verifier: call.parameter("code_verifier"),
            state: call.parameter(STATE),
        };
        let spec = match self.codes.check(&presented, now) {
            Ok(consent) => consent.spec.clone(),
            Err(NotRedeemed::Refused(refusal)) => return Err(refusal),
            Err(NotRedeemed::Again(family)) => {
                self.grants.revoke(&family, now);
                return Err(Refusal::UsedCode);
            }
        };
        let issue = self.grants.create(spec.clone(), sequence, now);
        self.codes.spend(code, &issue.family);
        self.note_grant(sequence, &issue, Some(&spec));
        Ok(issue)
    }

    /// Mints for an assertion (RFC 7523 section 2.1). Its issuer is the client, unless the request names one.
    fn assert(&mut self, call: &Call, sequence: u64, now: Instant) -> Result<Issue, Refusal> {
        let client = match call.client {
            Presented::Nothing | Presented::Anyone => None,
            _ => Some(self.authenticate(call)?),
        };
        let assertion = Assertion::read(required(call, "assertion")?);
        let assertion = assertion.ok_or(Refusal::BadAssertion)?;
        let issuer = assertion.issuer();
        let key = self.clients.key(issuer).ok_or(Refusal::BadAssertion)?;
        let seconds = self.ledger.now_ms().div_euclid(1_000);
        if !assertion.holds(key, &call.assertion, seconds, &mut self.replays) {
            return Err(Refusal::BadAssertion);
        }
        let mut spec = call.terms(client.as_deref().unwrap_or(issuer));
        if let Some(scopes) = assertion.text("scope") {
            spec.scopes = scopes.split_whitespace().map(str::to_owned).collect();
        }
        Ok(self.mint(call, spec, sequence, now))
    }

    /// Exchanges an access token of this sandbox for one of no more scope (RFC 8693 section 2).
    fn exchange(
        &mut self,
        call: &Call,
        client: &str,
        sequence: u64,
        now: Instant,
    ) -> Result<Issue, Refusal> {
        let subject = required(call, "subject_token")?;
        let wanted = call.parameter("requested_token_type");
        if required(call, "subject_token_type")? != ACCESS_TOKEN_TYPE
            || wanted.is_some_and(|wanted| wanted != ACCESS_TOKEN_TYPE)
        {
            return Err(Refusal::BadSubjectToken);
        }
        let subject = self.grants.good_access(subject, now);
        let granted = subject.map(|status| status.spec.scopes.clone());
        let granted = granted.ok_or(Refusal::BadSubjectToken)?;
        let mut spec = call.terms(client);
        if call.parameter("scope").is_none() {
            spec.scopes = granted;
        } else if !spec.scopes.iter().all(|scope| granted.contains(scope)) {
            return Err(Refusal::ExceedingScope);
        }
        Ok(self.mint(call, spec, sequence, now))
    }

    fn mint(&mut self, call: &Call, spec: GrantSpec, sequence: u64, now: Instant) -> Issue {
        let played = call.played.as_ref();
        if played.is_some_and(|played| played.entry.single_active_token) {
            self.grants.revoke_minted(&spec.client_id);
        }
        let issue = self.grants.mint(spec, now);
        self.note_grant(sequence, &issue, None);
        issue
    }

    /// Notes the grant that a call made. One that was minted has no refresh token that could rotate.
    fn note_grant(&mut self, sequence: u64, issue: &Issue, spec: Option<&GrantSpec>) {
        let entry = self.ledger.entry(sequence);
        entry.family = Some(issue.family.clone());
        entry.mode = spec.map(|spec| spec.mode);
    }
}

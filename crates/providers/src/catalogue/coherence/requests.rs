//! Parameters and headers that a request would hold twice, or not at all although it is about them.

use std::collections::{BTreeMap, BTreeSet};

use http::header::AUTHORIZATION;

use super::Told;
use super::made::{Made, SECOND};
use crate::catalogue::entry::{ClientAuth, Parameter};

pub(super) fn check(told: &mut Told<'_, '_, '_>) {
    let all = Made::of(told.entry);
    for made in &all {
        parameters(told, made);
        names(told, made);
        omissions(told, made);
    }
    headers(told, &all);
}

/// What the protocol sets is not for `parameters` to say.
fn parameters(told: &mut Told<'_, '_, '_>, made: &Made<'_>) {
    let request = made.request;
    for (name, fact) in &request.parameters {
        let mut sent = made
            .sends
            .iter()
            .filter(|sent| is_always_sent(told, made, **sent));
        let sent = sent.find(|parameter| request.name_of(**parameter) == name);
        let grant_type = request.name_of(Parameter::GrantType) == name;
        if let Some(parameter) = sent {
            let usual = parameter.usual_name();
            let mend = match parameter {
                Parameter::GrantType => {
                    "the key grant_type of [grants.X] gives it another value".to_owned()
                }
                _ => format!("omit = [\"{usual}\"] would leave that out"),
            };
            let why = format!("is sent already, as the standard parameter {usual}: {mend}");
            told.tell(&fact.field, why);
        } else if grant_type && made.table == SECOND {
            told.tell(
                &fact.field,
                "stands under the key grant_type of the request",
            );
        }
    }
}

/// Scopes are sent where there are any: those that the caller asks for, else those of the entry.
fn is_always_sent(told: &Told<'_, '_, '_>, made: &Made<'_>, parameter: Parameter) -> bool {
    let facts = made.grant.map(|grant| told.entry.grants.get(grant));
    parameter != Parameter::Scope || facts.is_some_and(|facts| !facts.default_scopes.is_empty())
}

/// Two parameters of one name cannot be told apart.
fn names(told: &mut Told<'_, '_, '_>, made: &Made<'_>) {
    let request = made.request;
    for (index, parameter) in made.sends.iter().enumerate() {
        let name = request.name_of(*parameter);
        let mut before = made.sends[..index].iter();
        let Some(other) = before.find(|other| request.name_of(**other) == name) else {
            continue;
        };
        let stated = [&made.table, "request"]
            .into_iter()
            .find_map(|table: &str| {
                let mut paths = [parameter, other]
                    .into_iter()
                    .map(|parameter| format!("{table}.names.{}", parameter.usual_name()));
                paths.find(|path| told.places.has(path))
            });
        let (one, other) = (other.usual_name(), parameter.usual_name());
        let why = format!("{one} and {other} of one request would both be named {name}");
        told.tell(&stated.unwrap_or_else(|| made.table.clone()), why);
    }
}

fn omissions(told: &mut Told<'_, '_, '_>, made: &Made<'_>) {
    let request = made.request;
    let proof = request.client_auth == ClientAuth::PrivateKeyJwt;
    let proof = proof.then_some(Parameter::ClientAssertion);
    for parameter in made.about.into_iter().chain(proof) {
        if request.omit.contains(&parameter) {
            let paths = [format!("{}.omit", made.table), "request.omit".to_owned()];
            let path = paths.iter().find(|path| told.places.has(path));
            let usual = parameter.usual_name();
            let path = path.cloned().unwrap_or_else(|| made.table.clone());
            told.tell(
                &path,
                format!(
                    "leaves out {usual}, without which {} says nothing",
                    made.table
                ),
            );
        }
    }
}

/// A header that each request which has it replaces by that of its `client_auth`.
fn headers(told: &mut Told<'_, '_, '_>, all: &[Made<'_>]) {
    let mut kept = BTreeSet::new();
    let mut replaced = BTreeMap::new();
    for made in all {
        let mut headers = made.request.headers.iter();
        let Some((_, fact)) = headers.find(|(name, _)| *name == AUTHORIZATION) else {
            continue;
        };
        match made.request.client_auth {
            auth @ (ClientAuth::Basic
            | ClientAuth::BasicRaw
            | ClientAuth::BearerRefreshToken
            | ClientAuth::BearerAccessToken) => {
                replaced.entry(&fact.field).or_insert(auth);
            }
            ClientAuth::Body | ClientAuth::None | ClientAuth::PrivateKeyJwt => {
                kept.insert(&fact.field);
            }
        }
    }
    for (field, auth) in replaced {
        if told.states(field) && !kept.contains(field) {
            told.tell(
                field,
                format!("is what client_auth = {:?} makes", auth.name()),
            );
        }
    }
}

//! Parameters and headers that a request would hold twice, or not at all although it is about them.

use http::header::AUTHORIZATION;

use super::Told;
use super::made::{Made, SECOND};
use crate::catalogue::entry::{ClientAuth, Parameter};

pub(super) fn check(told: &mut Told<'_, '_, '_>) {
    for made in Made::of(told.entry) {
        parameters(told, &made);
        names(told, &made);
        omissions(told, &made);
        headers(told, &made);
    }
}

/// What the protocol sets is not for `parameters` to say.
fn parameters(told: &mut Told<'_, '_, '_>, made: &Made<'_>) {
    let request = made.request;
    for (name, fact) in &request.parameters {
        let mut sent = made.sends.iter();
        let sent = sent.find(|parameter| request.name_of(**parameter) == name);
        let grant_type = request.name_of(Parameter::GrantType) == name;
        let secret = request.name_of(Parameter::ClientSecret) == name && !made.mints();
        if let Some(parameter) = sent {
            let usual = parameter.usual_name();
            told.tell(
                &fact.field,
                format!("is what the protocol sends as {usual}, which omit leaves out"),
            );
        } else if grant_type && made.table == SECOND {
            told.tell(
                &fact.field,
                "stands under the key grant_type of the request",
            );
        } else if secret {
            let why = "is the client's own, which client_auth = \"body\" sends";
            told.tell(&fact.field, why);
        }
    }
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

fn headers(told: &mut Told<'_, '_, '_>, made: &Made<'_>) {
    let own = match made.request.client_auth {
        ClientAuth::Basic
        | ClientAuth::BasicRaw
        | ClientAuth::BearerRefreshToken
        | ClientAuth::BearerAccessToken => true,
        ClientAuth::Body | ClientAuth::None | ClientAuth::PrivateKeyJwt => false,
    };
    let mut headers = made.request.headers.iter();
    if own && let Some((_, fact)) = headers.find(|(name, _)| *name == AUTHORIZATION) {
        let auth = made.request.client_auth.name();
        told.tell(&fact.field, format!("is what client_auth = {auth:?} makes"));
    }
}

//! Placeholders that never have a value where they stand, that are misspelt, or that stand for nothing.

use super::Told;
use super::made::Made;
use crate::catalogue::entry::{AssertionFacts, ClientAuth, Entry, TokenGrant};
use crate::catalogue::template::{Fact, Template};

/// What requests and answers hold of their own. Nobody can give it, so that it fills a placeholder only where the engine
/// says so.
const KEPT: [&str; 15] = [
    "access_token",
    "assertion",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "device_code",
    "id_token",
    "jti",
    "nonce",
    "refresh_token",
    "scopes",
    "state",
    "subject_token",
    "token_url",
];

/// A text with placeholders, and what fills those.
struct Use<'e> {
    table: String,
    field: &'e str,
    template: &'e Template,
    fills: Vec<&'e str>,
}

pub(super) fn check(told: &mut Told<'_, '_, '_>) {
    let entry = told.entry;
    let uses = uses(entry);
    for used in &uses {
        for name in used.template.placeholders() {
            if KEPT.contains(&name) && !has_value(entry, &uses, used, name) {
                let why = format!("holds {{{name}}}, which has no value there");
                told.tell(used.field, why);
            } else if let Some(meant) = slip(entry, &uses, used, name) {
                let why =
                    format!("holds {{{name}}}, which nothing fills; {{{meant}}} may be meant");
                told.tell(used.field, why);
            }
        }
    }
    unused(told);
}

/// Whether a text of that table has a placeholder which is told to be misspelt.
pub(super) fn has_slip(entry: &Entry, table: &str) -> bool {
    let uses = uses(entry);
    let mut of_table = uses.iter().filter(|used| used.table == table);
    of_table.any(|used| {
        let mut names = used.template.placeholders();
        names.any(|name| slip(entry, &uses, used, name).is_some())
    })
}

/// While anything is wrong, what is mentioned anywhere counts as used.
fn unused(told: &mut Told<'_, '_, '_>) {
    let used = told.entry.placeholder_names();
    let idle = told.entry.placeholders.keys().filter(|name| {
        let mentioned = !told.report.is_clean() && told.places.mention(name);
        !used.contains(name.as_str()) && !mentioned
    });
    for name in idle.cloned().collect::<Vec<_>>() {
        told.tell(&format!("placeholders.{name}"), "is used nowhere");
    }
}

/// A text that may be left out needs a value in one of the requests that it is for.
fn has_value(entry: &Entry, uses: &[Use<'_>], used: &Use<'_>, name: &str) -> bool {
    let of_field = uses.iter().filter(|other| other.field == used.field);
    let mut filled = of_field.filter(|other| other.fills.contains(&name));
    used.fills.contains(&name)
        || is_given(entry, name)
        || (used.template.has_optional() && filled.next().is_some())
}

fn is_given(entry: &Entry, name: &str) -> bool {
    let mut responses = entry.grants.iter().map(|grant| &grant.response);
    entry.placeholders.contains_key(name)
        || responses.any(|response| response.metadata.contains_key(name))
}

/// The name that is meant by one that only this text has. What the engine or the entry names can be meant; what a client or
/// a grant brings may have any name, so in doubt nothing is said.
fn slip<'e>(entry: &'e Entry, uses: &[Use<'e>], used: &Use<'e>, name: &str) -> Option<&'e str> {
    let mut others = uses.iter().filter(|other| other.field != used.field);
    let is_elsewhere = others.any(|other| other.template.placeholders().any(|it| it == name));
    let mut grants = entry.grants.iter();
    let is_brought = grants.any(|grant| grant.required.iter().any(|it| it == name));
    if is_elsewhere || is_brought || used.fills.contains(&name) || is_given(entry, name) {
        return None;
    }
    let own = entry.placeholders.keys();
    let metadata = entry
        .grants
        .iter()
        .flat_map(|it| it.response.metadata.keys());
    let known = own.chain(metadata).map(String::as_str);
    let mut known = used.fills.iter().copied().chain(known);
    known.find(|known| is_slip(name, known))
}

/// Whether one letter within a long name is missing, too many, or swapped with its neighbour. A letter that is another one
/// may make another word (`api_key`, `app_key`), one at the end a plural, and digits count.
fn is_slip(name: &str, meant: &str) -> bool {
    const FEWEST_LETTERS: usize = 6;
    let letters =
        |text: &str| -> String { text.chars().filter(|it| !it.is_ascii_digit()).collect() };
    let sorted = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.sort_unstable();
        bytes
    };
    let is_long = letters(name).len().min(letters(meant).len()) >= FEWEST_LETTERS;
    let is_other_letter = name.len() == meant.len() && sorted(name) != sorted(meant);
    let is_longer = name.starts_with(meant) || meant.starts_with(name);
    is_long
        && strsim::damerau_levenshtein(name, meant) == 1
        && letters(name) != letters(meant)
        && !is_other_letter
        && !is_longer
}

/// Every text of a request that is made.
fn uses(entry: &Entry) -> Vec<Use<'_>> {
    let mut uses = Vec::new();
    for made in Made::of(entry) {
        let grant = made.grant.map(|grant| entry.grants.get(grant));
        let mut fills = made.fills.clone();
        if made.mints() {
            fills.extend(["client_secret", "subject_token", "subject_token_type"]);
            let required = grant.into_iter().flat_map(|grant| &grant.required);
            fills.extend(required.map(String::as_str));
        }
        let (field, url) = made.url;
        uses.push(Use {
            table: made.table.clone(),
            field,
            template: url.template(),
            fills: fills.clone(),
        });
        fills.push("token_url");
        if made.grant == Some(TokenGrant::AuthorizationCode) {
            fills.push("state");
        }
        let request = made.request;
        let headers = request.headers.iter().map(|(_, fact)| fact);
        let facts = request.parameters.values().chain(headers);
        let assertion = entry.assertion.as_ref();
        let assertion = assertion.filter(|_| made.grant == Some(TokenGrant::JwtBearer));
        let proof = request.client_auth == ClientAuth::PrivateKeyJwt;
        let proof = proof.then_some(&entry.client_assertion);
        let signed = assertion.into_iter().chain(proof).flat_map(signed);
        for Fact { field, value } in facts.chain(signed) {
            uses.push(Use {
                table: made.table.clone(),
                field,
                template: value,
                fills: fills.clone(),
            });
        }
    }
    uses.extend(of_consents(entry));
    uses
}

fn signed(facts: &AssertionFacts) -> impl Iterator<Item = &Fact<Template>> {
    facts.claims.values().chain([&facts.key_id])
}

/// Where users are sent, and where a device asks.
fn of_consents(entry: &Entry) -> Vec<Use<'_>> {
    let fills = vec!["client_id", "redirect_uri"];
    let mut uses = Vec::new();
    if let Some(url) = &entry.authorize_url {
        let facts = entry.authorize.parameters.values();
        let facts = facts.map(|fact| (fact.field.as_str(), &fact.value));
        for (field, template) in facts.chain([("authorize_url", url.template())]) {
            uses.push(Use {
                table: "authorize".to_owned(),
                field,
                template,
                fills: fills.clone(),
            });
        }
    }
    if let Some(url) = &entry.device_url {
        uses.push(Use {
            table: "device".to_owned(),
            field: "device_url",
            template: url.template(),
            fills: vec!["client_id", "redirect_uri", "jti", "scopes"],
        });
    }
    uses
}

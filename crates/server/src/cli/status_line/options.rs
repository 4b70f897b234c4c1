//! What a field of a request is called on the command line.

use crate::cli::means::is_name_of_secret;

/// Fields and what gives them. A name in capitals is an argument without an option, or the value of one that another verb
/// takes so, as usage lines have it.
const OPTIONS: [(&str, &str); 43] = [
    ("after", "--after"),
    ("client", "--client"),
    ("credential.client", "--client"),
    ("credential.credential_id", "CREDENTIAL"),
    ("credential.grant_type", "--grant-type"),
    ("credential.labels", "--label"),
    ("credential.provider", "PROVIDER"),
    ("credential.provider_account", "--account"),
    ("credential.tenant_id", "--tenant"),
    ("credential_id", "CREDENTIAL"),
    ("credential_ids", "--credential"),
    ("generation", "--generation"),
    ("grant_id", "--grant"),
    ("integration.credential_ids", "--credential"),
    ("integration.integration_id", "INTEGRATION"),
    ("integration.labels", "--label"),
    ("integration.tenant_id", "--tenant"),
    ("integration_id", "INTEGRATION"),
    ("labels", "--label"),
    ("material", "--material or --token-response"),
    ("material.metadata", "--placeholder"),
    ("material.parameters", "--parameter"),
    (
        "material.parameters.subject_credential",
        "--subject-credential",
    ),
    ("material.scopes", "--scope"),
    ("material.signing_key", "--signing-key"),
    ("material.token_response", "--token-response"),
    ("min_validity", "--min-validity"),
    ("parameters", "--parameter"),
    ("placeholders", "--placeholder"),
    ("provider", "PROVIDER"),
    ("provider_account", "--account"),
    ("providers", "--provider"),
    ("reason", "--reason"),
    ("rejected_generation", "--rejected-generation"),
    ("rejected_token_sha256", "--rejected-token"),
    ("scopes", "--scope"),
    ("target", "--tenant, --provider, --client or --caller"),
    ("target.caller", "--caller"),
    ("target.client", "--client"),
    ("target.provider", "--provider"),
    ("target.since", "--since"),
    ("target.tenant_id", "--tenant"),
    ("tenant_id", "--tenant"),
];

/// What to type for `field`, such as `--placeholder shop` for `material.metadata.shop`; the field itself if it is none that
/// an option gives.
pub(super) fn option_for(field: &str) -> String {
    if let Some((_, option)) = OPTIONS.iter().find(|(known, _)| *known == field) {
        return (*option).to_owned();
    }
    let pair = |option: &str, name: &str| format!("{option} {name}");
    if let Some(name) = field.strip_prefix("material.parameters.") {
        return match is_name_of_secret(name) {
            true => pair("--parameter-file", name),
            false => pair("--parameter", name),
        };
    }
    if let Some(name) = field.strip_prefix("parameters.") {
        return pair("--parameter", name);
    }
    let placeholder = field.strip_prefix("material.metadata.");
    if let Some(name) = placeholder.or_else(|| field.strip_prefix("placeholders.")) {
        return pair("--placeholder", name);
    }
    match field.strip_prefix("material.") {
        Some(name) => format!("{name} of --material"),
        None => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_called_as_it_is_typed() {
        for (field, option) in [
            ("material.metadata.shop", "--placeholder shop"),
            ("placeholders.shop", "--placeholder shop"),
            ("material.parameters.subject", "--parameter subject"),
            (
                "material.parameters.corpsecret",
                "--parameter-file corpsecret",
            ),
            (
                "material.parameters.subject_credential",
                "--subject-credential",
            ),
            ("material.token_response", "--token-response"),
            ("material.expires_at", "expires_at of --material"),
            ("material", "--material or --token-response"),
            ("credential.client", "--client"),
            ("page_token", "page_token"),
        ] {
            assert_eq!(option_for(field), option);
        }
    }

    #[test]
    fn the_table_is_in_order_and_names_no_field_twice() {
        let mut fields = OPTIONS.map(|(field, _)| field).to_vec();
        assert!(fields.is_sorted());
        fields.dedup();
        assert_eq!(fields.len(), OPTIONS.len());
    }
}

//! The methods of our services, as the wire contract has them.

use std::collections::HashMap;
use std::sync::LazyLock;

use evergrant_proto::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::FileDescriptorSet;

/// A method of a service.
#[derive(Debug)]
pub struct Method {
    /// Its service with the package, e.g. `evergrant.v1.TokenService`.
    pub service: String,
    /// Its own name, e.g. `GetToken`.
    pub name: String,
}

/// The method at a path such as `/evergrant.v1.TokenService/GetToken`; `None` for what a caller made up.
pub fn at(path: &str) -> Option<&'static Method> {
    METHODS.get(path)
}

/// All of them, in no order.
pub fn all() -> impl Iterator<Item = &'static Method> {
    METHODS.values()
}

static METHODS: LazyLock<HashMap<String, Method>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("our own descriptors decode");
    let services = files.file.iter().flat_map(|file| {
        let in_package = |service| (file.package(), service);
        file.service.iter().map(in_package)
    });
    services
        .flat_map(|(package, service)| {
            service.method.iter().map(move |method| {
                let service = format!("{package}.{}", service.name());
                let name = method.name().to_owned();
                (format!("/{service}/{name}"), Method { service, name })
            })
        })
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_by_their_path_and_nothing_else_is() {
        let method = at("/evergrant.v1.TokenService/GetToken").unwrap();
        assert_eq!(method.service, "evergrant.v1.TokenService");
        assert_eq!(method.name, "GetToken");
        assert!(at("/evergrant.v1.TokenService/Nonsense").is_none());
        assert!(all().any(|method| method.name == "Watch"));
    }
}

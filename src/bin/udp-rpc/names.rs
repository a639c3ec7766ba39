//! Names of methods by their ids, so that a transcript says more than a hash.
//!
//! The built-in ones are known from their descriptors; one that is called is learnt.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use prost_reflect::DescriptorPool;
use udp_rpc::service::builtin::DESCRIPTORS;
use udp_rpc::wire::MethodId;

static NAMES: LazyLock<Mutex<BTreeMap<MethodId, String>>> = LazyLock::new(|| {
    let mut names = BTreeMap::new();
    if let Ok(pool) = DescriptorPool::decode(DESCRIPTORS) {
        for service in pool.services() {
            for method in service.methods() {
                let name = format!("{}/{}", service.full_name(), method.name());
                names.insert(MethodId::of(&name), name);
            }
        }
    }
    Mutex::new(names)
});

/// The name of a method, if it is known.
pub(crate) fn of(method: MethodId) -> Option<String> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner).get(&method).cloned()
}

/// Remembers a name.
pub(crate) fn learn(name: &str) {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    names.insert(MethodId::of(name), name.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_methods_are_known_and_others_are_learnt() {
        assert!(of(MethodId::of("udprpc.v1.Calculator/Add")).is_some());
        assert_eq!(of(MethodId::of("no.Such/Method")), None);
        learn("demo.Learnt/Method");
        assert_eq!(of(MethodId::of("demo.Learnt/Method")).as_deref(), Some("demo.Learnt/Method"));
    }
}

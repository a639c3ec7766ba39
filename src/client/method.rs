//! A method as its callers know it.

use std::borrow::Cow;

use crate::service::Idempotency;
use crate::wire::MethodId;

/// A method: its name, and what its schema says of its effects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    name: Cow<'static, str>,
    id: MethodId,
    idempotency: Idempotency,
}

impl Method {
    /// The method called `full_name` (`package.Service/Method`), of whose effects nothing is
    /// known: it is never run twice on behalf of one call.
    pub fn new(full_name: impl Into<String>) -> Self {
        Self::named(Cow::Owned(full_name.into()))
    }

    fn named(name: Cow<'static, str>) -> Self {
        let id = MethodId::of(&name);
        Self { name, id, idempotency: Idempotency::Unknown }
    }

    /// The same, with what the *schema* says (protobuf's `idempotency_level`). Only a method
    /// without side effects may be issued again after an unknown outcome.
    #[must_use]
    pub fn with_idempotency(self, idempotency: Idempotency) -> Self {
        Self { idempotency, ..self }
    }

    /// Its full name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn into_name(self) -> Cow<'static, str> {
        self.name
    }

    /// Its id on the wire.
    pub fn id(&self) -> MethodId {
        self.id
    }

    /// Whether its schema says that it has no side effects.
    pub fn has_no_side_effects(&self) -> bool {
        self.idempotency == Idempotency::NoSideEffects
    }
}

impl From<&str> for Method {
    fn from(full_name: &str) -> Self {
        Self::new(full_name)
    }
}

impl From<&Method> for Method {
    fn from(method: &Method) -> Self {
        method.clone()
    }
}

#[cfg(feature = "protobuf")]
impl<Req, Rep> From<&crate::service::Unary<Req, Rep>> for Method {
    fn from(method: &crate::service::Unary<Req, Rep>) -> Self {
        Self::named(Cow::Borrowed(method.name())).with_idempotency(method.idempotency())
    }
}

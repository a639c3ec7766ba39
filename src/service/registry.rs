//! The methods that a server offers: gathered in a [`Registry`], then sealed into [`Services`].
//!
//! A request names its method by a hash, so two names with one hash, like two methods with one
//! name, are refused here, before anything is served. Sealing is the start-up check: after it the
//! set of methods is fixed, which is what reflection and health tell about.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use super::bundle::Service;
use super::method::Method;
use super::names;
use crate::wire::{MAX_BODY, MethodId};

#[cfg(feature = "protobuf")]
use {
    super::catalog::Catalog,
    super::schema::Schema,
    std::sync::{Arc, OnceLock},
};

/// Methods on their way into a server.
///
/// ```
/// use udp_rpc::service::{Method, Registry};
///
/// let mut registry = Registry::new();
/// registry.add(Method::inline("demo.Clock/Tick", |_context, _request, reply| {
///     reply.push(1);
///     Ok(())
/// }))?;
/// let services = registry.seal()?;
/// assert_eq!(&*services.methods()[0].name, "demo.Clock/Tick");
/// # Ok::<(), udp_rpc::service::RegistryError>(())
/// ```
#[derive(Debug, Default)]
pub struct Registry {
    /// In the order in which they were added.
    methods: Vec<Method>,
    /// Where in `methods` the method with an id is.
    by_id: BTreeMap<MethodId, usize>,
    /// The types and semantics of methods, as far as anybody has told them.
    #[cfg(feature = "protobuf")]
    schema: Schema,
    /// Filled when the registry is sealed; reflection and health hold it.
    #[cfg(feature = "protobuf")]
    catalog: Arc<OnceLock<Catalog>>,
}

impl Registry {
    /// No methods.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a method.
    ///
    /// # Errors
    ///
    /// A name that is not valid or is taken, an id that another name has, a reply longer than can
    /// be sent. The registry stays as it was.
    pub fn add(&mut self, method: Method) -> Result<&mut Self, RegistryError> {
        let id = method.id();
        self.add_as(id, method)
    }

    /// Adds all methods of a service, and describes them: of its descriptors those of its own file
    /// and of what that imports.
    ///
    /// # Errors
    ///
    /// What is wrong with the service itself, and whatever [`add`](Self::add) and `describe` can
    /// say. None of its methods is there then.
    pub fn add_service(&mut self, service: Service) -> Result<&mut Self, RegistryError> {
        #[cfg(feature = "protobuf")]
        let name = service.name().to_owned();
        let (descriptors, methods) = service.into_parts()?;
        let before = self.methods.len();
        for method in methods {
            if let Err(error) = self.add(method) {
                self.truncate(before);
                return Err(error);
            }
        }
        #[cfg(feature = "protobuf")]
        if let Err(error) = self.schema.add_file_with(descriptors, &name) {
            self.truncate(before);
            return Err(error);
        }
        #[cfg(not(feature = "protobuf"))]
        let _ = descriptors;
        Ok(self)
    }

    /// Takes all but the first `length` methods out again.
    fn truncate(&mut self, length: usize) {
        self.methods.truncate(length);
        self.by_id.retain(|_, place| *place < length);
    }

    /// Adds a method under an id, so that tests can make ids collide.
    fn add_as(&mut self, id: MethodId, method: Method) -> Result<&mut Self, RegistryError> {
        let name = || method.name.to_string();
        names::check(&method.name)
            .map_err(|why| RegistryError::InvalidName { name: name(), why })?;
        if method.longest_reply > MAX_BODY {
            return Err(RegistryError::ReplyTooLong { name: name(), bytes: method.longest_reply });
        }
        match self.by_id.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(self.methods.len());
            }
            Entry::Occupied(entry) => {
                let other = &self.methods[*entry.get()].name;
                return Err(if *other == method.name {
                    RegistryError::Duplicate { name: name() }
                } else {
                    RegistryError::Collision { name: name(), other: other.to_string(), id }
                });
            }
        }
        self.methods.push(method);
        Ok(self)
    }

    /// Adds the description of services: a serialised `google.protobuf.FileDescriptorSet` with all
    /// that it imports. It tells reflection the types, and its `idempotency_level` is what counts.
    /// Files that are there already are skipped.
    ///
    /// # Errors
    ///
    /// Bytes that are no such set, or that say something else about a file or a type than what is
    /// there.
    #[cfg(feature = "protobuf")]
    pub fn describe(&mut self, file_descriptor_set: &[u8]) -> Result<&mut Self, RegistryError> {
        self.schema.add(file_descriptor_set)?;
        Ok(self)
    }

    /// Adds the description of what one file declares, with all that it imports, and nothing else of
    /// the set: other services of it are not known here.
    #[cfg(feature = "protobuf")]
    pub(crate) fn describe_file(
        &mut self,
        file_descriptor_set: &[u8],
        file: &str,
    ) -> Result<&mut Self, RegistryError> {
        self.schema.add_file_of(file_descriptor_set, file)?;
        Ok(self)
    }

    /// What will be known of all methods once the registry is sealed.
    #[cfg(feature = "protobuf")]
    pub(crate) fn catalog(&self) -> Arc<OnceLock<Catalog>> {
        Arc::clone(&self.catalog)
    }

    /// Ends the gathering; a server takes what comes of it.
    ///
    /// # Errors
    ///
    /// A description that declares a method here as streaming, or that lacks a type it needs.
    pub fn seal(self) -> Result<Services, RegistryError> {
        #[cfg(feature = "protobuf")]
        {
            let mut methods = self.methods;
            for method in &mut methods {
                if let Some(declared) = self.schema.method(&method.name) {
                    if declared.client_streaming || declared.server_streaming {
                        return Err(RegistryError::Streaming { name: method.name.to_string() });
                    }
                    method.idempotency = declared.idempotency;
                }
            }
            let catalog = Catalog::new(&methods, self.schema)?;
            // A registry is sealed once, because sealing takes it.
            let _ = self.catalog.set(catalog);
            Ok(Services { methods })
        }
        #[cfg(not(feature = "protobuf"))]
        Ok(Services { methods: self.methods })
    }
}

/// The fixed set of methods that a server runs.
#[derive(Debug)]
pub struct Services {
    methods: Vec<Method>,
}

impl Services {
    /// All methods, in the order in which they were added.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }
}

/// Why a set of methods cannot be served.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryError {
    /// The name is not of the form `package.Service/Method`.
    InvalidName {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A method of this name is there already.
    Duplicate {
        /// The name.
        name: String,
    },
    /// Two names have one id, so a request could mean either: one has to be renamed.
    Collision {
        /// The name that was to be added.
        name: String,
        /// The one that is there.
        other: String,
        /// The id of both.
        id: MethodId,
    },
    /// The longest reply that a method declares cannot be sent.
    ReplyTooLong {
        /// The method.
        name: String,
        /// What it declares, bytes.
        bytes: usize,
    },
    /// The description says that a method streams; only unary ones can be served.
    Streaming {
        /// The method.
        name: String,
    },
    /// A service was given a method that does not have its name.
    OfAnotherService {
        /// The method.
        name: String,
        /// The service.
        service: String,
    },
    /// A service was told to change a method that it does not have.
    NoSuchMethod {
        /// The method.
        name: String,
        /// The service.
        service: String,
        /// The methods that it has.
        offered: Vec<String>,
    },
    /// A method was to run inline that answers later.
    CannotBeInline {
        /// The method.
        name: String,
    },
    /// The description is damaged, or contradicts itself or another.
    Schema(String),
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName { name, why } => {
                write!(f, "{name:?} is no method name (package.Service/Method): {why}")
            }
            Self::Duplicate { name } => write!(f, "method {name} is registered twice"),
            Self::Collision { name, other, id } => {
                write!(f, "methods {name} and {other} have the same id {id}; rename one")
            }
            Self::ReplyTooLong { name, bytes } => write!(
                f,
                "method {name} declares replies of {bytes} bytes and a datagram holds {MAX_BODY}"
            ),
            Self::Streaming { name } => {
                write!(f, "method {name} is declared as streaming and registered as unary")
            }
            Self::OfAnotherService { name, service } => {
                write!(f, "method {name} is not one of the service {service}")
            }
            Self::NoSuchMethod { name, service, offered } if offered.is_empty() => {
                write!(f, "{service} has no method {name}; it has none")
            }
            Self::NoSuchMethod { name, service, offered } => {
                write!(f, "{service} has no method {name}; it has {}", offered.join(", "))
            }
            Self::CannotBeInline { name } => {
                write!(f, "method {name} answers later, so it cannot run inline")
            }
            Self::Schema(why) => write!(f, "descriptors: {why}"),
        }
    }
}

impl std::error::Error for RegistryError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(name: &str) -> Method {
        Method::inline(name, |_, _, _| Ok(()))
    }

    #[test]
    fn second_method_of_a_name_is_refused() {
        let mut registry = Registry::new();
        registry.add(method("a.B/C")).unwrap();
        let error = registry.add(method("a.B/C")).unwrap_err();
        assert_eq!(error.to_string(), "method a.B/C is registered twice");
        assert_eq!(registry.seal().unwrap().methods().len(), 1);
    }

    #[test]
    fn two_names_with_one_id_are_refused() {
        let mut registry = Registry::new();
        registry.add_as(MethodId(7), method("a.B/C")).unwrap();
        let error = registry.add_as(MethodId(7), method("a.B/D")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "methods a.B/D and a.B/C have the same id 0000000000000007; rename one"
        );
    }

    #[test]
    fn name_without_a_service_is_refused() {
        let error = Registry::new().add(method("add")).unwrap_err();
        assert!(matches!(error, RegistryError::InvalidName { .. }), "{error}");
    }

    #[test]
    fn reply_longer_than_a_datagram_is_refused() {
        let mut registry = Registry::new();
        registry.add(method("a.B/C").longest_reply(MAX_BODY)).unwrap();
        let error = registry.add(method("a.B/D").longest_reply(MAX_BODY + 1)).unwrap_err();
        assert!(error.to_string().contains("a datagram holds 1184"), "{error}");
    }
}

//! A service as it is added to a server: its methods under one name, and their description.
//!
//! Generated code makes one of an implementation; whoever adds it may still say which of its
//! methods run where. What is wrong with that is told when the service is added.

use super::{Action, Method, RegistryError};

/// Methods of one service, on their way into a [`Registry`](super::Registry).
///
/// ```
/// use udp_rpc::service::{Method, Registry, Service};
///
/// let text = Service::new("demo.Text", &[])
///     .method(Method::pooled("demo.Text/Upper", |_context, request, reply| {
///         reply.extend(request.to_ascii_uppercase());
///         Ok(())
///     }))
///     // It is quick, so it may as well run on the event loop.
///     .inline(&["Upper"]);
/// Registry::new().add_service(text)?;
/// # Ok::<(), udp_rpc::service::RegistryError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a service serves once it is added to a registry"]
pub struct Service {
    name: String,
    descriptors: &'static [u8],
    methods: Vec<Method>,
    /// The first thing that was asked and cannot be.
    wrong: Option<RegistryError>,
}

impl Service {
    /// A service without methods: its full name, `package.Service`, or `Service` where there is no
    /// package, and its description, a serialised `google.protobuf.FileDescriptorSet` with all that
    /// it imports, which may be empty. (Without the feature `protobuf` nobody reads it.)
    pub fn new(name: &str, descriptors: &'static [u8]) -> Self {
        Self { name: name.to_owned(), descriptors, methods: Vec::new(), wrong: None }
    }

    /// Adds a method, whose full name begins with the service's.
    pub fn method(mut self, method: Method) -> Self {
        let own = method.name.strip_prefix(&*self.name).is_some_and(|rest| rest.starts_with('/'));
        if own {
            self.methods.push(method);
        } else {
            let (name, service) = (method.name.to_string(), self.name.clone());
            self.wrong.get_or_insert(RegistryError::OfAnotherService { name, service });
        }
        self
    }

    /// Runs these methods, `SayHello` and so on, right on the server's event loop in place of its
    /// pool: those that end within microseconds and wait for nothing.
    pub fn inline(mut self, methods: &[&str]) -> Self {
        for name in methods {
            let full = format!("{}/{name}", self.name);
            let Some(method) = self.find(&full) else { continue };
            match &method.action {
                Action::Pooled(handler) => method.action = Action::Inline(handler.clone()),
                Action::Inline(_) => {}
                Action::Deferred(_) => {
                    self.wrong.get_or_insert(RegistryError::CannotBeInline { name: full });
                }
            }
        }
        self
    }

    /// Puts a method in the place of the one that has its name, such as one that answers through a
    /// responder.
    pub fn replace(mut self, method: Method) -> Self {
        let name = method.name.to_string();
        if let Some(place) = self.find(&name) {
            *place = method;
        }
        self
    }

    /// The method with this full name; without one, that is what is wrong.
    fn find(&mut self, full: &str) -> Option<&mut Method> {
        let place = self.methods.iter().position(|method| *method.name == *full);
        if place.is_none() {
            let offered = self.methods.iter().map(|method| method.name.to_string()).collect();
            let (name, service) = (full.to_owned(), self.name.clone());
            self.wrong.get_or_insert(RegistryError::NoSuchMethod { name, service, offered });
        }
        self.methods.get_mut(place?)
    }

    /// The full name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The methods so far.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// Description and methods, if nothing is wrong.
    pub(super) fn into_parts(self) -> Result<(&'static [u8], Vec<Method>), RegistryError> {
        match self.wrong {
            Some(error) => Err(error),
            None => Ok((self.descriptors, self.methods)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Registry;
    use super::*;

    fn pooled(name: &str) -> Method {
        Method::pooled(name, |_, _, _| Ok(()))
    }

    fn service() -> Service {
        Service::new("a.B", &[]).method(pooled("a.B/C")).method(pooled("a.B/D"))
    }

    /// How the methods of a registry run.
    fn actions(service: Service) -> Result<Vec<String>, RegistryError> {
        let mut registry = Registry::new();
        registry.add_service(service)?;
        let services = registry.seal()?;
        let methods = services.methods().iter();
        Ok(methods.map(|method| format!("{} {:?}", method.name, method.action)).collect())
    }

    #[test]
    fn each_method_runs_where_it_was_last_said() {
        assert_eq!(actions(service()), Ok(vec!["a.B/C Pooled".into(), "a.B/D Pooled".into()]));
        let changed = service()
            .inline(&["C"])
            .replace(Method::deferred("a.B/D", |_, _, responder| responder.respond(Ok(vec![]))));
        assert_eq!(actions(changed), Ok(vec!["a.B/C Inline".into(), "a.B/D Deferred".into()]));
    }

    #[test]
    fn what_a_service_does_not_have_is_told_when_it_is_added() {
        let deferred = Method::deferred("a.B/E", |_, _, _| ());
        for (wrong, why) in [
            (service().inline(&["c"]), "a.B has no method a.B/c; it has a.B/C, a.B/D"),
            (service().replace(pooled("a.B/X")), "a.B has no method a.B/X; it has a.B/C, a.B/D"),
            (service().method(pooled("a.Bee/C")), "method a.Bee/C is not one of the service a.B"),
            (
                service().method(deferred).inline(&["E"]),
                "method a.B/E answers later, so it cannot run inline",
            ),
        ] {
            assert_eq!(actions(wrong).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn service_that_clashes_with_what_is_there_adds_nothing() {
        let mut registry = Registry::new();
        registry.add(pooled("a.B/D")).unwrap();
        let error = registry.add_service(service()).unwrap_err();
        assert_eq!(error, RegistryError::Duplicate { name: "a.B/D".into() });
        registry.add(pooled("a.B/C")).unwrap();
        assert_eq!(registry.seal().unwrap().methods().len(), 2);
    }
}

//! The signature of a method of protobuf messages, whatever its shape: a constant that says its name,
//! its types and its semantics.

/// Makes a type of signatures, over the request's and the reply's message.
macro_rules! signature {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name<Request, Reply> {
            name: &'static str,
            idempotency: $crate::service::Idempotency,
            types: std::marker::PhantomData<fn(Request) -> Reply>,
        }

        impl<Request, Reply> Clone for $name<Request, Reply> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<Request, Reply> Copy for $name<Request, Reply> {}

        impl<Request, Reply> std::fmt::Debug for $name<Request, Reply> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("name", &self.name)
                    .field("idempotency", &self.idempotency)
                    .finish()
            }
        }

        impl<Request, Reply> $name<Request, Reply> {
            /// The method with this full name, `package.Service/Method`. Until said otherwise a
            /// second run may do harm.
            pub const fn new(name: &'static str) -> Self {
                Self { name, idempotency: $crate::service::Idempotency::Unknown, types: std::marker::PhantomData }
            }

            /// Declares that the method has no side effects: a client may issue it again by itself.
            #[must_use]
            pub const fn no_side_effects(mut self) -> Self {
                self.idempotency = $crate::service::Idempotency::NoSideEffects;
                self
            }

            /// Declares that a second run adds nothing to the first.
            #[must_use]
            pub const fn idempotent(mut self) -> Self {
                self.idempotency = $crate::service::Idempotency::Idempotent;
                self
            }

            /// Full name.
            pub const fn name(&self) -> &'static str {
                self.name
            }

            /// What a second run would do.
            pub const fn idempotency(&self) -> $crate::service::Idempotency {
                self.idempotency
            }

            /// The id by which requests name this method.
            pub const fn id(&self) -> $crate::wire::MethodId {
                $crate::wire::MethodId::of(self.name)
            }
        }
    };
}

pub(super) use signature;

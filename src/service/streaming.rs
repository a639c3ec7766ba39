//! Methods that stream, as far as there are any: their signatures, and why they cannot be called.

use std::fmt;
use std::marker::PhantomData;

use super::Idempotency;
use crate::wire::MethodId;

macro_rules! signature {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Streams are not on the wire yet: nobody can serve or call it. It is known all the same,
        /// and reflection tells of it.
        pub struct $name<Request, Reply> {
            name: &'static str,
            idempotency: Idempotency,
            types: PhantomData<fn(Request) -> Reply>,
        }

        impl<Request, Reply> Clone for $name<Request, Reply> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<Request, Reply> Copy for $name<Request, Reply> {}

        impl<Request, Reply> fmt::Debug for $name<Request, Reply> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
                Self { name, idempotency: Idempotency::Unknown, types: PhantomData }
            }

            /// Declares that the method has no side effects.
            #[must_use]
            pub const fn no_side_effects(mut self) -> Self {
                self.idempotency = Idempotency::NoSideEffects;
                self
            }

            /// Declares that a second run adds nothing to the first.
            #[must_use]
            pub const fn idempotent(mut self) -> Self {
                self.idempotency = Idempotency::Idempotent;
                self
            }

            /// Full name.
            pub const fn name(&self) -> &'static str {
                self.name
            }

            /// What a second run would do.
            pub const fn idempotency(&self) -> Idempotency {
                self.idempotency
            }

            /// The id by which requests name this method.
            pub const fn id(&self) -> MethodId {
                MethodId::of(self.name)
            }
        }
    };
}

signature! {
    /// The signature of a method that takes one `Request` and gives many a `Reply`.
    ServerStreaming
}

signature! {
    /// The signature of a method that takes many a `Request` and gives one `Reply`.
    ClientStreaming
}

signature! {
    /// The signature of a method that takes many a `Request` and gives many a `Reply`.
    Bidirectional
}

/// What can be sent to a method that streams: nothing yet. Generated clients have such methods, so
/// that whoever calls one is told by the compiler.
///
/// ```compile_fail,E0277
/// use udp_rpc::service::Streamed;
///
/// fn parrot_says_hello<Request: Streamed>(request: Request) -> Request::Stream {
///     request.stream()
/// }
/// parrot_says_hello("Annie");
/// ```
#[diagnostic::on_unimplemented(
    message = "this method streams, and streams are not on the wire yet",
    label = "cannot be sent to a method that streams",
    note = "unary methods of the same service can be called"
)]
pub trait Streamed: sealed::Sealed {
    /// What the call is.
    type Stream;

    /// Begins the call.
    fn stream(self) -> Self::Stream;
}

mod sealed {
    /// Implemented by nothing.
    pub trait Sealed {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_of_a_stream_tells_name_and_semantics() {
        const WATCH: ServerStreaming<u64, u64> =
            ServerStreaming::new("a.B/Watch").no_side_effects();
        assert_eq!(WATCH.id(), MethodId::of("a.B/Watch"));
        assert_eq!((WATCH.name(), WATCH.idempotency()), ("a.B/Watch", Idempotency::NoSideEffects));
        let copy = WATCH;
        assert_eq!(format!("{copy:?}"), format!("{WATCH:?}"));
        let fill = ClientStreaming::<u64, u64>::new("a.B/Fill").idempotent();
        assert_eq!(fill.idempotency(), Idempotency::Idempotent);
        assert_eq!(Bidirectional::<u64, u64>::new("a.B/C").idempotency(), Idempotency::Unknown);
    }
}

//! Methods that stream, as far as there are any: their signatures, and why they cannot be called.

use super::signature::signature;

signature! {
    /// The signature of a method that takes one `Request` and gives many a `Reply`.
    ///
    /// Streams are not on the wire yet: nobody can serve or call it. It is known all the same, and
    /// reflection tells of it.
    ServerStreaming
}

signature! {
    /// The signature of a method that takes many a `Request` and gives one `Reply`.
    ///
    /// Streams are not on the wire yet: nobody can serve or call it. It is known all the same, and
    /// reflection tells of it.
    ClientStreaming
}

signature! {
    /// The signature of a method that takes many a `Request` and gives many a `Reply`.
    ///
    /// Streams are not on the wire yet: nobody can serve or call it. It is known all the same, and
    /// reflection tells of it.
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
    use crate::service::Idempotency;
    use crate::wire::MethodId;

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

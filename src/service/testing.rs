//! What the unit tests of services share: contexts, responders, and running one method.

use std::sync::mpsc;

use super::{OwnedContext, Responder, Status};

/// A context with an hour left and no gauges.
pub(crate) fn context(method: &str) -> OwnedContext {
    OwnedContext::for_test(method)
}

/// A responder, and where its answer arrives.
pub(crate) fn responder() -> (Responder, mpsc::Receiver<Result<Vec<u8>, Status>>) {
    let (answer, answers) = mpsc::channel();
    (Responder::new(move |result| answer.send(result).unwrap()), answers)
}

#[cfg(feature = "protobuf")]
pub(crate) use typed::{compile, run, run_in};

/// What only the tests of typed methods need.
#[cfg(feature = "protobuf")]
mod typed {
    use super::*;
    use crate::service::{Action, Method};

    /// Runs a method to its end on this thread.
    pub(crate) fn run(method: &Method, body: &[u8]) -> Result<Vec<u8>, Status> {
        run_in(context(&method.name), method, body)
    }

    /// The same, in a context of the test's own.
    pub(crate) fn run_in(
        context: OwnedContext,
        method: &Method,
        body: &[u8],
    ) -> Result<Vec<u8>, Status> {
        match &method.action {
            Action::Inline(handler) | Action::Pooled(handler) => {
                let mut reply = Vec::new();
                handler(&context.borrow(), body, &mut reply)?;
                Ok(reply)
            }
            Action::Deferred(handler) => {
                let (responder, answers) = responder();
                handler(context, body.to_vec(), responder);
                answers.recv().unwrap()
            }
        }
    }

    /// Descriptors of one file, imports and comments included, as a generator would hand them over.
    pub(crate) fn compile(source: &str) -> Vec<u8> {
        let file = protox::file::File::from_source("test.proto", source).unwrap();
        let google = protox::file::GoogleFileResolver::new();
        let mut compiler = protox::Compiler::with_file_resolver(One(file, google));
        compiler.include_imports(true).include_source_info(true).open_file("test.proto").unwrap();
        compiler.encode_file_descriptor_set()
    }

    /// Resolves one file, and Google's own.
    struct One(protox::file::File, protox::file::GoogleFileResolver);

    impl protox::file::FileResolver for One {
        fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
            match name {
                "test.proto" => Ok(self.0.clone()),
                _ => self.1.open_file(name),
            }
        }
    }
}

//! `call`: one call from the command line to the answer.
//!
//! Two round trips and a handshake at most: Describe resolves the name and fetches the types, the
//! call itself follows in the same session. Everything that is wrong with the command line is
//! said before the call is sent.

use prost::Message;
use prost_reflect::DynamicMessage;
use udp_rpc::wire::Code;

use crate::args::{CallArgs, Format, Global};
use crate::batch;
use crate::batch::source::{self, Data};
use crate::details;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::guard;
use crate::input;
use crate::local::Local;
use crate::metadata;
use crate::output;
use crate::remote::Remote;
use crate::schema::{self, Method, Types};

/// Calls and prints.
///
/// # Errors
///
/// How the call ended, if not in an answer.
pub(crate) fn run(global: &Global, args: &CallArgs) -> Result<Exit, Failure> {
    let data = args.data.as_deref().map(|data| source::open(data, args.lines));
    let data = data.transpose().map_err(Failure::usage)?;
    if matches!(data, Some(Data::Many(_))) && global.output == Format::Raw {
        return Err(Failure::usage("of many answers nobody could say where one ends: -o raw"));
    }
    let metadata = metadata::gather(&args.metadata).map_err(Failure::usage)?;
    let local = Local::open(&args.protos)?;
    let mut remote = Remote::open(global)?.with_metadata(metadata);
    let method = match local {
        Some(local) => local.method(&args.method)?,
        None => remote.describe(&args.method)?,
    };
    let types = callable(&method)?;
    details::learn(types.reply.parent_pool());
    let request = match data {
        Some(Data::Many(requests)) => {
            return batch::run(global, args, &mut remote, (&method, types), requests);
        }
        Some(Data::One(text)) => {
            request(&method, types, || input::from_chunk(&types.request, &text))?
        }
        None => request(&method, types, || input::from_arguments(&types.request, &args.arguments))?,
    };
    let answer = remote.call(&method.name, &request.encode_to_vec(), method.no_side_effects())?;
    let rendered = render(types, &answer.reply.body, global.output).map_err(Failure::Answer)?;
    output::print(&rendered)?;
    if answer.interrupted {
        output::note("interrupted: too late, it had run; its answer is above");
        return Ok(Exit::Interrupted);
    }
    Ok(Exit::Ok)
}

/// The types of a method that can be called from here.
pub(crate) fn callable(method: &Method) -> Result<&Types, Failure> {
    let unimplemented =
        |message: String| Failure::NotSent(Code::Unimplemented, message, Vec::new());
    if let Some(shape) = schema::shape(method.streaming) {
        return Err(unimplemented(format!(
            "{} is {shape}, which this version does not call",
            method.name
        )));
    }
    if !method.served {
        return Err(unimplemented(format!(
            "this server declares {} and does not run it",
            method.name
        )));
    }
    typed(method)
}

/// The types of a method that has any.
pub(crate) fn typed(method: &Method) -> Result<&Types, Failure> {
    method.types.as_ref().ok_or_else(|| {
        let message = format!("{} takes raw bytes, which no schema describes", method.name);
        Failure::NotSent(Code::Unimplemented, message, Vec::new())
    })
}

/// What the command line builds of requests, or the usage error that names their fields.
pub(crate) fn request<T>(
    method: &Method,
    types: &Types,
    build: impl FnOnce() -> Result<T, String>,
) -> Result<T, Failure> {
    let built = guard::quietly(build).ok_or_else(|| {
        let message = format!("the server's description of {} makes no sense", method.name);
        Failure::NotSent(Code::Internal, message, Vec::new())
    })?;
    built.map_err(|error| {
        let takes = format!("{} takes {}", method.name, input::fields(&types.request));
        Failure::Usage(error, vec![takes])
    })
}

/// The reply as the bytes for stdout.
pub(crate) fn render(types: &Types, body: &[u8], format: Format) -> Result<Vec<u8>, String> {
    if format == Format::Raw {
        return Ok(body.to_vec());
    }
    let rendered = guard::quietly(|| {
        let reply = DynamicMessage::decode(types.reply.clone(), body)
            .map_err(|error| format!("its answer is not a {}: {error}", types.reply.full_name()))?;
        output::render(&reply, body, format)
            .map_err(|error| format!("its answer has no JSON form: {error}"))
    });
    rendered.unwrap_or_else(|| Err("its answer makes no sense by its description".to_owned()))
}

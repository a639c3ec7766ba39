//! The requests of a run, made before it.

use std::borrow::Cow;

use prost::Message;
use prost_reflect::{Kind, MessageDescriptor};

use super::random::{Dice, Pattern};
use crate::args::BenchArgs;
use crate::batch::chunks::Chunk;
use crate::batch::reader;
use crate::batch::source::{self, Data, Requests as Source};
use crate::input;

/// Requests that are drawn: enough that no cache of a server holds them by accident, and made in
/// no time.
const DRAWN: usize = 16_384;

/// Most that the requests may take together, bytes.
const REQUESTS_MAX: usize = 256 << 20;

/// What requests are made of, as the command line has it.
pub(super) enum Ingredients {
    /// Arguments, and how many bytes the first field that holds any is to have.
    Arguments { arguments: Vec<String>, size: Option<usize>, random: bool },
    /// One request as JSON.
    One { chunk: Chunk, random: bool },
    /// Any number of them.
    Many(Source),
}

/// Requests that calls take in turn, and then from the beginning again; there is one at least.
pub(super) struct Requests(Vec<Vec<u8>>);

impl Ingredients {
    /// Opens what the command line names.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or what is asked for does not go together.
    pub(super) fn gather(args: &BenchArgs) -> Result<Ingredients, String> {
        let random = args.random;
        let Some(data) = args.data.as_deref() else {
            let arguments = args.arguments.clone();
            return Ok(Ingredients::Arguments { arguments, size: args.size, random });
        };
        match source::open(data, args.lines)? {
            Data::One(chunk) => Ok(Ingredients::One { chunk, random }),
            Data::Many(_) if random => {
                Err("--random is for one request; of several, each is as it is".to_owned())
            }
            Data::Many(requests) => Ok(Ingredients::Many(requests)),
        }
    }

    /// Makes the requests.
    ///
    /// # Errors
    ///
    /// The sentence for the user: what does not fit the type, and where.
    pub(super) fn requests(self, descriptor: &MessageDescriptor) -> Result<Requests, String> {
        match self {
            Ingredients::Arguments { mut arguments, size, random } => {
                if let Some(size) = size {
                    arguments.push(filler(descriptor, &arguments, size)?);
                }
                let patterns: Vec<_> =
                    arguments.iter().map(|argument| Pattern::of_argument(argument)).collect();
                drawn(random, &arguments, &patterns, |arguments| {
                    Ok(input::from_arguments(descriptor, arguments)?.encode_to_vec())
                })
            }
            Ingredients::One { chunk, random } => {
                let text = chunk.text.clone().unwrap_or_default();
                let pattern = Pattern::of_json(&text);
                drawn(random, &[text], &[pattern], |texts| {
                    let mut filled = chunk.clone();
                    if let (Ok(text), Some(with)) = (&mut filled.text, texts.first()) {
                        text.clone_from(with);
                    }
                    Ok(input::from_chunk(descriptor, &filled)?.encode_to_vec())
                })
            }
            Ingredients::Many(source) => listed(source, descriptor),
        }
    }
}

/// The requests that `build` makes of texts: of these, or of what is drawn for the patterns.
fn drawn(
    random: bool,
    texts: &[String],
    patterns: &[Pattern],
    build: impl Fn(&[String]) -> Result<Vec<u8>, String>,
) -> Result<Requests, String> {
    if !random {
        return Ok(Requests(vec![build(texts)?]));
    }
    if !patterns.iter().any(Pattern::has_range) {
        return Err("--random draws for arguments like 1..1000, and there is none".to_owned());
    }
    let mut dice = Dice::new();
    let request = |_| {
        let filled: Vec<_> = patterns.iter().map(|pattern| pattern.fill(&mut dice)).collect();
        build(&filled)
    };
    (0..DRAWN).map(request).collect::<Result<_, _>>().map(Requests)
}

/// All requests of an input.
fn listed(source: Source, descriptor: &MessageDescriptor) -> Result<Requests, String> {
    let (mut requests, mut bytes) = (Vec::new(), 0);
    for chunk in source.chunks {
        for request in reader::requests(&chunk, descriptor) {
            let request = request?;
            bytes += request.len() + size_of::<Vec<u8>>();
            requests.push(request);
        }
        if bytes > REQUESTS_MAX {
            return Err(format!("more than {} MiB of requests", REQUESTS_MAX >> 20));
        }
    }
    if requests.is_empty() {
        return Err("there is no request in the data".to_owned());
    }
    Ok(Requests(requests))
}

/// The argument that fills the first field of text or bytes to which no argument gives a value by
/// its name.
fn filler(
    descriptor: &MessageDescriptor,
    arguments: &[String],
    size: usize,
) -> Result<String, String> {
    let is_given = |name: &str| {
        arguments.iter().any(|argument| argument.split_once('=').is_some_and(|(n, _)| n == name))
    };
    let fields = input::in_order(descriptor);
    let field = fields.iter().find(|field| {
        let is_single = !field.is_list() && !field.is_map();
        let holds_bytes = matches!(field.kind(), Kind::String | Kind::Bytes);
        is_single && holds_bytes && !is_given(field.name()) && !is_given(field.json_name())
    });
    let field = field.ok_or("there is no field of text or bytes for --size to fill")?;
    let filling = "x".repeat(size);
    let value = match field.kind() {
        Kind::Bytes => Cow::Owned(data_encoding::BASE64.encode(filling.as_bytes())),
        _ => Cow::Borrowed(filling.as_str()),
    };
    Ok(format!("{}={value}", field.name()))
}

impl Requests {
    /// The request of this turn.
    pub(super) fn get(&self, turn: usize) -> &[u8] {
        self.0.get(turn % self.0.len()).map_or(&[], Vec::as_slice)
    }

    /// How many different ones there may be.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes of the shortest and of the longest.
    pub(super) fn bytes(&self) -> (usize, usize) {
        let lengths = || self.0.iter().map(Vec::len);
        (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost_reflect::DynamicMessage;

    use super::*;
    use crate::testing::message;

    fn arguments(
        of: &str,
        words: &[&str],
        size: Option<usize>,
        random: bool,
    ) -> Result<Requests, String> {
        let arguments = words.iter().map(ToString::to_string).collect();
        Ingredients::Arguments { arguments, size, random }.requests(&message(of))
    }

    fn json(text: &str, random: bool) -> Result<Requests, String> {
        let chunk = Chunk { line: 1, read: 0, text: Ok(text.to_owned()) };
        Ingredients::One { chunk, random }.requests(&message("Inner"))
    }

    #[test]
    fn one_request_is_made_again_and_again() {
        let requests = arguments("One", &["7"], None, false).unwrap();
        assert_eq!(requests.len(), 1);
        assert_eq!((requests.get(0), requests.get(5)), (&[8, 7][..], &[8, 7][..]));
        // Without --random a range is what it looks like: no number.
        assert!(arguments("One", &["1..9"], None, false).is_err());
    }

    #[test]
    fn drawn_requests_differ_and_are_the_same_in_the_next_run() {
        let draw = || arguments("One", &["1..1000000"], None, true).unwrap();
        let (one, other) = (draw(), draw());
        assert_eq!((one.len(), one.0 == other.0), (DRAWN, true));
        assert!(one.0.iter().collect::<BTreeSet<_>>().len() > DRAWN * 9 / 10);
        assert_eq!(one.bytes(), (2, 4));
        let drawn = json(r#"{"n":"1..100"}"#, true).unwrap();
        assert_eq!(drawn.0.iter().collect::<BTreeSet<_>>().len(), 100);
    }

    #[test]
    fn random_without_anything_to_draw_is_an_error() {
        let error = arguments("One", &["7"], None, true).map(drop).unwrap_err();
        assert!(error.contains("like 1..1000"), "{error}");
        assert!(json(r#"{"n":1}"#, true).is_err());
    }

    #[test]
    fn size_fills_the_first_field_that_holds_bytes() {
        let filled = |words: &[&str]| {
            let requests = arguments("Every", words, Some(1_000), false)?;
            let request = DynamicMessage::decode(message("Every"), requests.get(0)).unwrap();
            let length = |name: &str| {
                let value = request.get_field_by_name(name).unwrap();
                value.as_str().map(str::len).or(value.as_bytes().map(|bytes| bytes.len()))
            };
            Ok::<_, String>((length("name").unwrap(), length("data").unwrap()))
        };
        assert_eq!(filled(&[]).unwrap(), (1_000, 0));
        assert_eq!(filled(&["colour=RED"]).unwrap(), (1_000, 0));
        assert_eq!(filled(&["name=Ada"]).unwrap(), (3, 1_000));
        let error = arguments("One", &[], Some(1), false).map(drop).unwrap_err();
        assert!(error.contains("--size"), "{error}");
    }

    #[test]
    fn listed_requests_take_turns() {
        let list = |text: &str| {
            let Ok(Data::Many(source)) = source::open(text, true) else { panic!("{text}") };
            Ingredients::Many(source).requests(&message("Inner"))
        };
        let requests = list("{\"n\":3}\n\n{\"n\":4} {\"n\":5}\n").unwrap();
        let turns: Vec<_> = (0..4).map(|turn| requests.get(turn)[1]).collect();
        assert_eq!(turns, [3, 4, 5, 3]);
        let error = list("{\"n\":3}\n{\"n\":\"x\"}\n").map(drop).unwrap_err();
        assert!(error.contains("line 2"), "{error}");
        assert!(list("\n").is_err());
    }
}

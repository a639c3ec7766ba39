//! One call told datagram by datagram, from what the path has seen.

use udp_rpc::core::Time;
use udp_rpc::wire::{Code, FromServer, Kind, parse_from_server};

use super::path::Passage;
use crate::datagram::{self, Decoded};
use crate::style::Style;
use crate::units;

/// Tells a call.
pub(super) struct Story<'a> {
    style: Style,
    /// The call as people write it, `add(20, 22)`.
    call: &'a str,
    /// Reads a reply's body.
    answer: &'a dyn Fn(&[u8]) -> String,
    /// When the first datagram entered the path.
    start: Option<Time>,
    /// When the last copy of the request did.
    last_request: Option<Time>,
    requests: u32,
    /// The first reply: when it entered, which came through.
    replies: u32,
}

impl<'a> Story<'a> {
    /// A story to be told.
    pub(super) fn new(style: Style, call: &'a str, answer: &'a dyn Fn(&[u8]) -> String) -> Self {
        Story { style, call, answer, start: None, last_request: None, requests: 0, replies: 0 }
    }

    /// The line on one datagram.
    pub(super) fn tell(&mut self, passage: &Passage) -> String {
        let start = *self.start.get_or_insert(passage.at);
        let at = units::millis(passage.at.since(start));
        let Ok(decoded) = datagram::decode(&passage.datagram) else {
            return format!("{at:>7.1} ms  ??? {} bytes of garbage", passage.datagram.len());
        };
        let lost = passage.became.copies == 0;
        let arrow = match (decoded.from_server, lost) {
            (false, false) => "-->".to_owned(),
            (true, false) => "<--".to_owned(),
            (false, true) => self.style.bad("--X"),
            (true, true) => self.style.bad("X--"),
        };
        let kind = self.style.strong(&format!("{:<9}", decoded.kind.name()));
        let remark = self.remark(passage, &decoded);
        format!("{at:>7.1} ms  {arrow} {kind}  {remark}")
    }

    fn remark(&mut self, passage: &Passage, decoded: &Decoded) -> String {
        let remark = match decoded.kind {
            Kind::Hello => "may I have a session? (the server keeps nothing yet)".to_owned(),
            Kind::HelloAck => "here is one, with proofs of birth and address".to_owned(),
            Kind::Request => self.request(passage, decoded),
            Kind::Reply => self.reply(passage, decoded),
            Kind::Progress => "I have it and am still at it".to_owned(),
            Kind::Challenge => "prove your address first".to_owned(),
            Kind::Close => "the session is done with".to_owned(),
            _ => format!("attempt {}", decoded.attempt),
        };
        let became = passage.became;
        match became.copies {
            0 => format!("{remark}: {}", self.style.bad("LOST")),
            1 if became.reordered => format!("{remark}, {}", self.style.odd("held back")),
            1 => remark,
            _ => format!("{remark}; {}", self.style.odd("a COPY follows late")),
        }
    }

    fn request(&mut self, passage: &Passage, decoded: &Decoded) -> String {
        self.requests += 1;
        let before = self.last_request.replace(passage.at);
        let attempt = decoded.attempt;
        match before {
            None => format!("{}, attempt {attempt}", self.call),
            Some(before) => {
                let waited = units::show(passage.at.since(before));
                let again = self.style.odd("the same call again");
                format!("attempt {attempt}: {again}, no answer for {waited}")
            }
        }
    }

    fn reply(&mut self, passage: &Passage, decoded: &Decoded) -> String {
        self.replies += 1;
        let answer = match parse_from_server(&passage.datagram).map(|parsed| parsed.message) {
            Ok(FromServer::Reply { status: Code::Ok, body, .. }) => (self.answer)(body),
            Ok(FromServer::Reply { status, .. }) => status.to_string(),
            _ => String::new(),
        };
        let attempt = decoded.attempt;
        if self.replies == 1 {
            format!("{answer}, to attempt {attempt}")
        } else {
            let slot = self.style.odd("from the slot, not run again");
            format!("{answer}, to attempt {attempt}: {slot}")
        }
    }
}

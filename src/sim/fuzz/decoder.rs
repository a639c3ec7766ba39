//! The decoder: any bytes, as they are and with a right magic, version and CRC.

use crate::wire::{
    Datagram, FromClient, FromServer, HEADER_LEN, HELLO_LEN, MAX_DATAGRAM, parse_from_client,
    parse_from_server, seal,
};

/// Reads `data` as a datagram of either direction; what is accepted must mean the same when it is
/// written and read again.
///
/// # Panics
///
/// If it does not, or if the decoder does.
pub fn decoder(data: &[u8]) {
    read(data);
    if data.len() >= HEADER_LEN {
        let mut sealed = data.to_vec();
        sealed.splice(0..3, [0x55, 0x52, 1]);
        seal(&mut sealed);
        read(&sealed);
        // A bit more than half of all kinds are reached by chance; the rest by the right one here.
        sealed[3] = (sealed[3] & 0x80) | (sealed[3] & 0x07);
        seal(&mut sealed);
        read(&sealed);
    }
}

fn read(data: &[u8]) {
    if let Ok(parsed) = parse_from_client(data) {
        if let FromClient::Hello { length, .. } = parsed.message {
            assert_eq!(length, data.len());
            assert!((HELLO_LEN..=MAX_DATAGRAM).contains(&length), "a HELLO of {length} bytes");
        }
        assert!(parse_from_server(data).is_err(), "a datagram of both directions");
        let mut bytes = Vec::new();
        parsed.emit(&mut bytes);
        assert!(bytes.len() <= data.len(), "{} bytes became {}", data.len(), bytes.len());
        let again = parse_from_client(&bytes);
        assert_eq!(again.as_ref().map(plain), Ok(plain(&parsed)), "of {data:02x?}");
    }
    if let Ok(parsed) = parse_from_server(data) {
        let mut bytes = Vec::new();
        parsed.emit(&mut bytes);
        let again: Result<Datagram<FromServer<'_>>, _> = parse_from_server(&bytes);
        assert_eq!(again.as_ref(), Ok(&parsed), "of {data:02x?}");
    }
}

/// The datagram without what `emit` leaves out on purpose: options other than the proofs.
fn plain<'a>(parsed: &Datagram<FromClient<'a>>) -> Datagram<FromClient<'a>> {
    let mut plain = parsed.clone();
    if let FromClient::Request { options, unknown_critical, .. } = &mut plain.message {
        *options = &[];
        *unknown_critical = false;
    }
    plain
}

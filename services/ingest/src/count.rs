//! Counts the events of gRPC messages while their bytes come in, before anything is decoded: an
//! empty event has 2 bytes on the wire and hundreds in memory, so the limit on bytes alone would
//! let a message of 4 MiB become more than a gigabyte.

/// Bytes in front of every message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// The field of the events in both requests.
const EVENTS: u64 = 1;

/// A message has more events than are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// Reads the frames of one call and the top-level fields of its messages.
pub(crate) struct EventCount {
    limit: usize,
    /// Of the message that is being read.
    events: usize,
    /// Of all messages.
    begun_events: usize,
    prefix: [u8; PREFIX],
    /// How much of the prefix has come.
    begun: usize,
    /// Bytes of the message that have not come.
    left: usize,
    expected: Expected,
}

/// What the next byte of a message belongs to.
#[derive(Clone, Copy)]
enum Expected {
    Tag(Varint),
    /// The length of a field's value.
    Length(Varint),
    /// The value of a field that is a varint.
    Value,
    /// This many bytes of a value, at least one.
    Skipped(usize),
    /// What a decoder refuses without going on.
    Broken,
}

/// A varint of which some bytes have come.
#[derive(Clone, Copy, Default)]
struct Varint {
    value: u64,
    bits: u32,
}

impl Varint {
    /// Takes one byte; the value once it is complete.
    fn take(&mut self, byte: u8) -> Option<u64> {
        self.value |= u64::from(byte & 0x7f).checked_shl(self.bits).unwrap_or(0);
        self.bits += 7;
        (byte < 0x80).then_some(self.value)
    }

    /// A varint has at most ten bytes.
    fn is_too_long(self) -> bool {
        self.bits >= 70
    }
}

impl EventCount {
    /// Counts up to `limit` events in each message.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            events: 0,
            begun_events: 0,
            prefix: [0; PREFIX],
            begun: 0,
            left: 0,
            expected: Expected::Tag(Varint::default()),
        }
    }

    /// Whether no message has begun that is not complete.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.begun == 0
    }

    /// Reads on; how many events began. What is malformed is left to the decoder to refuse.
    ///
    /// # Errors
    /// As soon as there is one event too many.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Result<usize, TooMany> {
        let before = self.begun_events;
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.begun < PREFIX {
                self.prefix[self.begun] = byte;
                self.begun += 1;
                bytes = rest;
                if self.begun == PREFIX {
                    self.begin();
                }
            } else if let Expected::Skipped(_) | Expected::Broken = self.expected {
                let gone = self.skip(bytes.len());
                bytes = &bytes[gone..];
            } else {
                self.left -= 1;
                bytes = rest;
                self.field(byte)?;
            }
            if self.begun == PREFIX && self.left == 0 {
                self.begun = 0;
            }
        }
        Ok(self.begun_events - before)
    }

    fn begin(&mut self) {
        let [compressed, length @ ..] = self.prefix;
        self.left = u32::from_be_bytes(length) as usize;
        self.events = 0;
        // The service takes no compressed message.
        self.expected = match compressed {
            0 => Expected::Tag(Varint::default()),
            _ => Expected::Broken,
        };
    }

    /// Passes over as many of `there` bytes as nobody needs to look at.
    fn skip(&mut self, there: usize) -> usize {
        let mut gone = there.min(self.left);
        if let Expected::Skipped(wanted) = self.expected {
            gone = gone.min(wanted);
            self.expected = match wanted - gone {
                0 => Expected::Tag(Varint::default()),
                more => Expected::Skipped(more),
            };
        }
        self.left -= gone;
        gone
    }

    fn field(&mut self, byte: u8) -> Result<(), TooMany> {
        self.expected = match self.expected {
            Expected::Tag(mut tag) => match tag.take(byte) {
                Some(tag) => self.value(tag)?,
                None if tag.is_too_long() => Expected::Broken,
                None => Expected::Tag(tag),
            },
            Expected::Length(mut length) => match length.take(byte) {
                Some(0) => Expected::Tag(Varint::default()),
                Some(length) => self.value_of(length),
                None if length.is_too_long() => Expected::Broken,
                None => Expected::Length(length),
            },
            Expected::Value if byte < 0x80 => Expected::Tag(Varint::default()),
            other => other,
        };
        Ok(())
    }

    /// What follows a tag.
    fn value(&mut self, tag: u64) -> Result<Expected, TooMany> {
        Ok(match tag & 7 {
            0 => Expected::Value,
            1 => self.value_of(8),
            2 => {
                if tag >> 3 == EVENTS {
                    self.events += 1;
                    self.begun_events += 1;
                    if self.events > self.limit {
                        return Err(TooMany);
                    }
                }
                Expected::Length(Varint::default())
            }
            // Groups have no length. What is in one counts as if it were not, which is too much
            // at worst: no message of the contract has any.
            3 | 4 => Expected::Tag(Varint::default()),
            5 => self.value_of(4),
            _ => Expected::Broken,
        })
    }

    fn value_of(&self, length: u64) -> Expected {
        match usize::try_from(length) {
            Ok(length) if length <= self.left => Expected::Skipped(length),
            _ => Expected::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;
    use zhili_proto::conversation::v1::{Event, PublishRequest};

    use super::*;

    fn frame(message: &[u8]) -> Vec<u8> {
        let mut frame = vec![0];
        frame.extend((message.len() as u32).to_be_bytes());
        frame.extend(message);
        frame
    }

    fn request(events: usize) -> Vec<u8> {
        let event =
            Event { text: "你好".repeat(50), event_id: "m-1".to_owned(), ..Event::default() };
        frame(&PublishRequest { events: vec![event; events] }.encode_to_vec())
    }

    #[test]
    fn two_million_empty_events_are_refused_within_their_first_chunk() {
        let body = frame(&[0x0a, 0x00].repeat(2_000_000));
        assert_eq!(EventCount::new(1000).read(&body[..4096]), Err(TooMany));
    }

    #[test]
    fn events_behind_a_group_and_unknown_fields_are_counted_too() {
        // Fields 2 to 5: a group, a varint, 64 and 32 bits.
        let unknown = b"\x13\x14\x18\xff\x01\x21\0\0\0\0\0\0\0\0\x2d\0\0\0\0";
        let body = frame(&[unknown.as_slice(), &[0x0a, 0x00].repeat(11)].concat());
        assert_eq!(EventCount::new(10).read(&body), Err(TooMany));
        assert_eq!(EventCount::new(11).read(&body), Ok(11));
    }

    proptest! {
        #[test]
        fn each_message_is_counted_for_itself_however_it_comes_in_chunks(
            sizes in prop::collection::vec(0..8_usize, 1..6),
            limit in 0..8_usize,
            chunk in 1..400_usize,
        ) {
            let body: Vec<u8> = sizes.iter().flat_map(|&events| request(events)).collect();
            let mut count = EventCount::new(limit);
            let read: Result<usize, TooMany> = body.chunks(chunk).map(|chunk| count.read(chunk)).sum();
            if let Ok(events) = read {
                prop_assert_eq!(events, sizes.iter().sum::<usize>());
            }
            prop_assert_eq!(read.is_err(), sizes.iter().any(|&events| events > limit));
            prop_assert!(read.is_err() || count.is_between_messages());
        }

        /// Whatever it counts wrongly, a decoder must not make more of it.
        #[test]
        fn no_decoder_finds_more_events_than_were_counted(
            message in prop::collection::vec(
                prop::sample::select(vec![0_u8, 1, 2, 0x0a, 0x0b, 0x0c, 0x12, 0x80, 0xff, 8]),
                0..60,
            ),
        ) {
            let mut count = EventCount::new(usize::MAX);
            count.read(&frame(&message)).unwrap();
            if let Ok(request) = PublishRequest::decode(message.as_slice()) {
                prop_assert!(request.events.len() <= count.events);
            }
        }
    }
}

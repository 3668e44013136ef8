//! Message framing for [`tokio_util::codec`]: a thin coat on
//! [`deframe`], for clients and tools. The server's own path
//! hands whole batches to the connection and does not need it.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::wire::{DEFAULT_MESSAGE_LEN_MAX, Deframed, deframe};

/// Splits a byte stream into messages.
#[derive(Clone, Copy, Debug)]
pub struct MessageCodec {
    /// Largest message accepted, in octets.
    pub message_len_max: usize,
}

impl Default for MessageCodec {
    fn default() -> Self {
        Self {
            message_len_max: DEFAULT_MESSAGE_LEN_MAX,
        }
    }
}

impl Decoder for MessageCodec {
    /// One whole message.
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Bytes>> {
        match deframe(buffer, self.message_len_max) {
            Deframed::Message(message) => {
                let len = message.len();
                Ok(Some(buffer.split_to(len).freeze()))
            }
            Deframed::Incomplete { needed } => {
                buffer.reserve(needed.saturating_sub(buffer.len()));
                Ok(None)
            }
            Deframed::Broken(broken) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                broken.to_string(),
            )),
        }
    }
}

impl Encoder<&[u8]> for MessageCodec {
    type Error = io::Error;

    fn encode(&mut self, message: &[u8], buffer: &mut BytesMut) -> io::Result<()> {
        buffer.extend_from_slice(message);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_is_whole_and_keeps_the_rest() {
        let header = [1u8, 0, 0, 20];
        let mut buffer = BytesMut::from(&header[..]);
        let mut codec = MessageCodec::default();
        assert_eq!(codec.decode(&mut buffer).unwrap(), None);
        buffer.resize(20, 0);
        buffer.extend_from_slice(&header);
        assert_eq!(
            codec
                .decode(&mut buffer)
                .unwrap()
                .map(|message| message.len()),
            Some(20)
        );
        assert_eq!(codec.decode(&mut buffer).unwrap(), None);
        assert_eq!(&buffer[..], header);
        buffer[0] = 9;
        assert!(codec.decode(&mut buffer).is_err());
    }
}

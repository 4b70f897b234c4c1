//! Servers whose answers are encoded in advance.
//!
//! Most of a `GetTokenResponse` is the same until the next refresh, and most of an event is the same for every
//! stream. [`Encoded`] is such a part, shared, and the few fields that differ. Protobuf allows fields in any order,
//! so the parts are simply written one after the other.

use std::marker::PhantomData;

use bytes::{BufMut, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::{ProstCodec, ProstDecoder};

use crate::codec::buffer_settings;

/// The server of `TokenService` whose `GetToken` answers with [`Encoded`].
#[expect(clippy::allow_attributes, reason = "generated")]
pub mod token {
    include!(concat!(env!("OUT_DIR"), "/evergrant.v1.TokenService.rs"));
}

/// The server of `EventService` whose `Watch` streams [`Encoded`].
#[expect(clippy::allow_attributes, reason = "generated")]
pub mod event {
    include!(concat!(env!("OUT_DIR"), "/evergrant.v1.EventService.rs"));
}

/// An encoded protobuf message in two parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Fields that many answers have in common.
    pub shared: Bytes,
    /// Fields of this answer alone.
    pub own: Vec<u8>,
}

impl Encoded {
    /// A message that is all its own.
    pub fn whole(message: &impl Message) -> Self {
        Self {
            shared: Bytes::new(),
            own: message.encode_to_vec(),
        }
    }
}

/// Encodes [`Encoded`], decodes the protobuf message `U`.
#[derive(Debug, Clone)]
pub struct EncodedCodec<U>(PhantomData<U>);

impl<U> Default for EncodedCodec<U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<U> Codec for EncodedCodec<U>
where
    U: Message + Default + Send + 'static,
{
    type Encode = Encoded;
    type Decode = U;
    type Encoder = EncodedEncoder;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        EncodedEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<U, U>::raw_decoder(buffer_settings())
    }
}

/// Writes both parts of an [`Encoded`].
#[derive(Debug, Clone, Default)]
pub struct EncodedEncoder;

impl Encoder for EncodedEncoder {
    type Item = Encoded;
    type Error = Status;

    fn encode(&mut self, item: Encoded, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.shared.len() + item.own.len());
        buffer.put_slice(&item.shared);
        buffer.put_slice(&item.own);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffer_settings()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{GetTokenResponse, Header};

    #[test]
    fn two_parts_decode_as_one_message() {
        let shared = GetTokenResponse {
            access_token: "t".into(),
            header: Some(Header {
                name: "Authorization".into(),
                value: "Bearer t".into(),
            }),
            ..GetTokenResponse::default()
        };
        let own = GetTokenResponse {
            refreshed: true,
            ..GetTokenResponse::default()
        };
        let mut wire = shared.encode_to_vec();
        wire.extend(own.encode_to_vec());
        let whole = GetTokenResponse::decode(wire.as_slice()).unwrap();
        assert_eq!(
            whole,
            GetTokenResponse {
                refreshed: true,
                ..shared
            }
        );
    }
}

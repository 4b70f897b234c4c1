//! The wire contract of Evergrant, generated from the buf module in `proto/`.
//!
//! Nothing here is written by hand but the [`codec`]: messages, clients and servers of the
//! package `evergrant.v1` are in [`v1`], and [`FILE_DESCRIPTOR_SET`] describes them for reflection.

pub mod codec;
pub mod encoded;

/// Messages, clients and servers of the protobuf package `evergrant.v1`.
#[expect(
    missing_docs,
    reason = "generated; the .proto files hold the documentation"
)]
#[expect(clippy::all, clippy::allow_attributes, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("evergrant.v1");
}

/// The encoded `google.protobuf.FileDescriptorSet` of the package, for gRPC server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/evergrant.v1.bin"));

//! Generates the wire types with protox, so that no protoc is needed on the machine.

use std::path::{Path, PathBuf};

use prost::Message as _;
use tonic_build::manual::{Method, Service};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());

    let mut files = std::fs::read_dir(root.join("evergrant/v1"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    files.retain(|path| path.extension().is_some_and(|ext| ext == "proto"));
    files.sort();

    let descriptors = protox::compile(&files, [root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("evergrant.v1.bin"), descriptors.encode_to_vec())?;

    tonic_prost_build::configure()
        .codec_path("crate::codec::SmallBufferCodec")
        .bytes(".")
        .compile_fds(descriptors)?;

    // The two services whose answers are encoded in advance: the hot path, and the fan-out of one event to
    // thousands of streams. The ordinary servers of the same names stay for everyone else.
    tonic_build::manual::Builder::new()
        .build_client(false)
        .compile(&[token_service(), event_service()]);
    Ok(())
}

fn token_service() -> Service {
    Service::builder()
        .name("TokenService")
        .package("evergrant.v1")
        .comment("TokenService with answers that are encoded in advance.")
        .method(
            Method::builder()
                .name("get_token")
                .route_name("GetToken")
                .input_type("crate::v1::GetTokenRequest")
                .output_type("crate::encoded::Encoded")
                .codec_path("crate::encoded::EncodedCodec")
                .build(),
        )
        .method(
            Method::builder()
                .name("batch_get_tokens")
                .route_name("BatchGetTokens")
                .input_type("crate::v1::BatchGetTokensRequest")
                .output_type("crate::v1::BatchGetTokensResponse")
                .codec_path("crate::codec::SmallBufferCodec")
                .build(),
        )
        .build()
}

fn event_service() -> Service {
    Service::builder()
        .name("EventService")
        .package("evergrant.v1")
        .comment("EventService with messages that are encoded in advance.")
        .method(
            Method::builder()
                .name("watch")
                .route_name("Watch")
                .input_type("crate::v1::WatchRequest")
                .output_type("crate::encoded::Encoded")
                .codec_path("crate::encoded::EncodedCodec")
                .server_streaming()
                .build(),
        )
        .build()
}

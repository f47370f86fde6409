//! Compiles `proto/` into the API's Rust types (included by `src/api/proto.rs`), without `protoc`.
//!
//! The core-only build has no API and needs none of this, so the compiler is a dependency of the
//! `shell` feature alone.

#![allow(clippy::disallowed_macros, reason = "cargo reads a build script's stdout")]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=proto");
    #[cfg(feature = "shell")]
    api::generate();
}

#[cfg(feature = "shell")]
mod api {
    use tonic_prost_build::{Builder, FileDescriptorSet};

    const PROTO: &str = "proto/routelet/v1alpha1/routelet.proto";
    /// `FieldDescriptorProto.Type.TYPE_ENUM` of descriptor.proto.
    const TYPE_ENUM: i32 = 14;
    /// `FieldDescriptorProto.Type.TYPE_MESSAGE`.
    const TYPE_MESSAGE: i32 = 11;
    /// `FieldDescriptorProto.Label.LABEL_REPEATED`.
    const LABEL_REPEATED: i32 = 3;

    pub fn generate() {
        let descriptors = protox::compile([PROTO], ["proto"]).unwrap_or_else(|error| panic!("{error:?}"));
        serialize(tonic_prost_build::configure(), &descriptors)
            .compile_fds(descriptors)
            .unwrap_or_else(|error| panic!("{PROTO}: {error}"));
    }

    /// Gives every answer the JSON form that the proto file's head promises. Done from the
    /// descriptors, so that a new field cannot be forgotten.
    fn serialize(mut builder: Builder, descriptors: &FileDescriptorSet) -> Builder {
        for file in &descriptors.file {
            for message in &file.message_type {
                let name = format!(".{}.{}", file.package(), message.name());
                if name.ends_with("Request") {
                    continue;
                }
                builder = builder
                    .message_attribute(&name, "#[derive(serde::Serialize)]")
                    .message_attribute(&name, "#[serde(rename_all = \"camelCase\")]");
                for field in &message.field {
                    let path = format!("{name}.{}", field.name());
                    let single_message =
                        field.r#type == Some(TYPE_MESSAGE) && field.label != Some(LABEL_REPEATED);
                    if field.proto3_optional() || single_message {
                        builder = builder
                            .field_attribute(&path, "#[serde(skip_serializing_if = \"Option::is_none\")]");
                    }
                    if field.r#type == Some(TYPE_ENUM) {
                        let kind = field.type_name().rsplit('.').next().unwrap_or_default();
                        let with = format!("crate::api::words::serialize::<{kind}, _>");
                        builder =
                            builder.field_attribute(&path, format!("#[serde(serialize_with = \"{with}\")]"));
                    }
                }
            }
        }
        builder
    }
}

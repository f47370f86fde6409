//! What the commands that look at a running daemon have in common: where it answers, and in which
//! form its answer is printed.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

use super::Error;
use crate::api::{self, Answers, Client};

/// Whom to ask, and how to print the answer.
#[derive(Debug, clap::Args)]
pub struct Ask {
    /// Socket on which the daemon answers
    #[arg(long, value_name = "PATH", env = "ROUTELET_API_SOCKET", default_value = api::DEFAULT_SOCKET)]
    pub api_socket: PathBuf,
    /// Form of the answer
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

/// Form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns, for people; may change from version to version
    Table,
    /// JSON, for programs; fields are added, never renamed or removed
    Json,
}

impl Ask {
    /// Connects to the daemon.
    pub async fn connect(&self) -> Result<Client, Error> {
        Ok(Client::connect(&self.api_socket).await?)
    }
}

/// Prints one message as JSON.
pub fn json(message: &impl Serialize, out: &mut impl Write) -> Result<(), Error> {
    serde_json::to_writer_pretty(&mut *out, message).map_err(std::io::Error::from)?;
    Ok(writeln!(out)?)
}

/// Prints a list as one JSON array while it arrives, and returns its length. The list of a million
/// routes is never in memory as a whole.
pub async fn json_list<T: Serialize>(answers: &mut Answers<T>, out: &mut impl Write) -> Result<usize, Error> {
    let mut serializer = serde_json::Serializer::pretty(&mut *out);
    let mut array = serializer.serialize_seq(None).map_err(std::io::Error::from)?;
    let mut length = 0;
    while let Some(message) = answers.next().await? {
        array.serialize_element(&message).map_err(std::io::Error::from)?;
        length += 1;
    }
    array.end().map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(length)
}

//! One whole node, pure: peers, tables and FIB. [`intent::Intent`] in, [`view`]s out.

pub mod intent;
pub mod view;

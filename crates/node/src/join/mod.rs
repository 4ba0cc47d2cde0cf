//! `tandem join`

pub mod wire;

//! What has to be known at once: changes of the configuration, on this node and on Kamailio.
pub mod changes;
mod kamailio;

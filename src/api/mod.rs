//! gRPC over a View: the only place where proto types and domain types meet.

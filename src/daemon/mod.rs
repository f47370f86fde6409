//! Wiring: the driver loop, transport, metrics, start and stop.
